"""The WebSocket road: both ends of the channel on port 10000.

The rules are KubeEdge's (1.23: pkg/viaduct/pkg/{server,client,conn}, cloud/pkg/cloudhub/servers): any path, identity in
the headers ``Node_id``, ``Project_id`` and ``Connectionuse``, one JSON document per message, text frames that may be
fragmented, no extensions, no Origin. Silence is found with WebSocket pings, which a KubeEdge peer answers too.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

import trio
from trio_websocket import ConnectionRejected, WebSocketConnection, WebSocketRequest, wrap_client_stream, wrap_server_stream

from beehive.supervise import fatal_cause
from viaduct.admission import Admission, Started
from viaduct.causes import explain
from viaduct.handshake import HandshakeFailed, accept_tls, send_alert
from viaduct.link import Limits, Link, LinkClosed, LinkError, Peer
from viaduct.rejection import rejection_text
from viaduct.tls import TlsContext
from viaduct.websocket_link import WebSocketLink
from viaduct.wire import Wire, authority, linger, peer_address

log = logging.getLogger(__name__)

USE_MESSAGES: Final = "msg"
MAX_CONNECTIONS: Final = 4096

_HEADERS_LIMIT: Final = 64 * 1024
"""What a peer may send before the upgrade is done."""

_READ_SIZE: Final = 64 * 1024


class _Opening:
    """A connection until it is upgraded, with a deadline for all of it.

    Also what the WebSocket library needs of a nursery: a place for its reader, whose end must end only this connection.
    """

    def __init__(self, nursery: trio.Nursery, wire: Wire, scope: trio.CancelScope) -> None:
        self._nursery = nursery
        self._wire = wire
        self._scope = scope
        self._failure: Exception | None = None

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, reader)

    async def _run(self, reader: Callable[[], Awaitable[None]]) -> None:
        # The reader parses what a stranger sent; whatever it raises (also a UnicodeError for a strange Host header,
        # say) is about this one connection.
        try:
            await reader()
        except Exception as error:
            self._failure = error
        await linger(self._wire.tcp)  # so that the peer gets the close frame that says why
        self._wire.cut(self._failure)
        self._scope.cancel()

    def failure(self) -> BaseException | None:
        """Why the upgrade did not come about; None when the reader has not ended (so that it was the deadline)."""
        if self._failure is None and self._wire.closed.is_set():
            return self._wire.failure or ConnectionResetError(errno.ECONNRESET, "closed without an answer")
        return self._failure


@asynccontextmanager
async def connect(url: str, *, tls: TlsContext, node: str, project: str, limits: Limits | None = None) -> AsyncIterator[Link]:
    """Opens a link to ``wss://host:port/path`` and closes it at the end of the block.

    Raises LinkError whose text names the root cause and what to do: nobody listens, no such name, a certificate that
    does not fit, a clock that is wrong, an answer that is not an upgrade.
    """
    limits = limits or Limits()
    target = _parse(url)
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            link = await _open(nursery, target, tls, _identity(node, project), limits)
            nursery.start_soon(link.watch_silence)
            try:
                yield link
            finally:
                await link.finish()
        except BaseException as error:  # raised again below, outside of the nursery that would wrap it in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _open(
    nursery: trio.Nursery, target: SplitResult, tls: TlsContext, headers: list[tuple[bytes, bytes]], limits: Limits
) -> WebSocketLink:
    host, port = target.hostname or "", target.port or 443
    wire: Wire | None = None
    try:
        with trio.fail_after(limits.handshake) as scope:
            tcp = await trio.open_tcp_stream(host, port)
            stream = trio.SSLStream(tcp, tls, server_hostname=host, https_compatible=True)
            wire = Wire(stream, write=limits.write, allowance=_HEADERS_LIMIT)
            await _greet(stream)
            connection = await _request_upgrade(_Opening(nursery, wire, scope), wire, target, headers, limits)
        wire.allowance = None
        return WebSocketLink(connection, wire, Peer(address=authority(host, port)), limits)
    except Exception as error:
        raise await _explained(error, host, port) from error
    finally:
        if wire is not None and wire.allowance is not None:
            wire.cut()


async def _greet(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        await send_alert(stream)  # so that the cloud's log tells why this node does not like it
        raise


async def _request_upgrade(
    opening: _Opening, wire: Wire, target: SplitResult, headers: list[tuple[bytes, bytes]], limits: Limits
) -> WebSocketConnection:
    try:
        return await wrap_client_stream(
            cast(trio.Nursery, opening),
            cast(trio.SSLStream[trio.SocketStream], wire),
            authority(target.hostname or "", target.port or 443),
            (target.path or "/") + (f"?{target.query}" if target.query else ""),
            extra_headers=headers,
            message_queue_size=0,
            max_message_size=limits.message,
            receive_buffer_size=_READ_SIZE,
        )
    except trio.Cancelled:
        failure = opening.failure()
        if failure is None:
            raise
    raise failure  # not inside of the handler: it must keep the cause that it has


async def _explained(error: Exception, host: str, port: int) -> LinkError:
    if isinstance(error, ConnectionRejected):
        return LinkError(rejection_text(error.status_code, error.body or b"", f"{host}:{port}"))
    _, text = await explain(error, host, port)
    return LinkError(text)


async def serve(
    listeners: list[trio.SocketListener],
    *,
    tls: TlsContext,
    handler: Callable[[Link], Awaitable[None]],
    limits: Limits | None = None,
    max_connections: int = MAX_CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accepts links until it is cancelled and runs ``handler`` for each; the link is closed when the handler returns.

    Whatever one peer does, or one handler raises, ends its own link and nothing else; only Fatal passes.
    """
    server = _Server(tls, handler, limits or Limits(), max_connections)
    await trio.serve_listeners(server.accept, listeners, task_status=Started(task_status))


class _Server:
    def __init__(self, tls: TlsContext, handler: Callable[[Link], Awaitable[None]], limits: Limits, max_connections: int) -> None:
        self._tls = tls
        self._handler = handler
        self._limits = limits
        self._admission = Admission("connection", max_connections)

    async def accept(self, stream: trio.SocketStream) -> None:
        """One connection, from TCP to the end of its handler."""
        with self._admission.enter(stream) as admitted:
            if admitted:
                await self._serve(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        address = peer_address(stream)
        tls = trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)
        wire = Wire(tls, write=self._limits.write, allowance=_HEADERS_LIMIT)
        try:
            async with trio.open_nursery() as nursery:
                link = await self._upgrade(nursery, wire, address)
                if link is not None:
                    nursery.start_soon(link.watch_silence)
                    await self._handle(link)
                nursery.cancel_scope.cancel()
        finally:
            wire.cut()

    async def _upgrade(self, nursery: trio.Nursery, wire: Wire, address: str) -> WebSocketLink | None:
        try:
            with trio.fail_after(self._limits.handshake) as scope:
                tls = cast(trio.SSLStream[trio.SocketStream], wire.transport)
                await accept_tls(tls, self._limits.handshake)
                request = await self._request(_Opening(nursery, wire, scope), wire)
                peer = _peer(request.headers, tls, address)
                connection: WebSocketConnection = await request.accept()
            wire.allowance = None
            return WebSocketLink(connection, wire, peer, self._limits)
        except trio.TooSlowError:
            log.info("connection from %s: no upgrade within %g s", address, self._limits.handshake)
        except HandshakeFailed as error:
            log.info("connection from %s: %s", address, error)
        except Exception as error:
            log.info("connection from %s ended in its handshake: %s", address, _root(error))
        return None

    async def _request(self, opening: _Opening, wire: Wire) -> WebSocketRequest:
        try:
            return await wrap_server_stream(
                cast(trio.Nursery, opening),
                wire,
                message_queue_size=0,
                max_message_size=self._limits.message,
                receive_buffer_size=_READ_SIZE,
            )
        except trio.Cancelled:
            failure = opening.failure()
            if failure is None:
                raise
        raise failure  # not inside of the handler: it must keep the cause that it has

    async def _handle(self, link: WebSocketLink) -> None:
        try:
            await self._handler(link)
        except LinkClosed:
            pass  # the usual end of a handler; who wants to tell why does so itself
        except Exception as error:
            if fatal_cause(error) is not None:
                raise
            log.exception("the handler of the link with %s failed; this link ends", link.peer.node or link.peer.address)
        await link.finish()


def _peer(headers: list[tuple[bytes, bytes]], tls: trio.SSLStream[trio.SocketStream], address: str) -> Peer:
    return Peer(
        node=_first(headers, b"node_id"),
        project=_first(headers, b"project_id"),
        use=_first(headers, b"connectionuse"),
        common_name=common_name(tls.getpeercert()),
        certificate=hashlib.sha256(der).hexdigest() if (der := tls.getpeercert(binary_form=True)) else "",
        address=address,
    )


def common_name(certificate: object) -> str:
    """CN of the subject, from the dictionary that ``ssl`` gives for a verified certificate ("" without one)."""
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    return next((str(value) for part in subject for key, value in part if key == "commonName"), "")


def _first(headers: list[tuple[bytes, bytes]], name: bytes) -> str:
    # a KubeEdge edge repeats Connectionuse once per dial attempt
    found = next((value for key, value in headers if key.lower() == name), b"")
    return found.decode("utf-8", "replace")


def _identity(node: str, project: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"Connectionuse", USE_MESSAGES.encode()),
        (b"Node_id", node.encode()),
        (b"Project_id", project.encode()),
    ]


def _parse(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        usable = target.scheme == "wss" and bool(target.hostname) and target.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise LinkError(f"{url!r} is not an address of the form wss://host:port/path; correct the configuration")
    return target


def _root(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
