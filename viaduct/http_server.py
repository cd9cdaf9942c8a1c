"""HTTP/1.1 server for our ASGI applications: the certificate server, the embedded Kubernetes API.

hypercorn speaks the protocol; the accept loop is ours, so that the application learns who the peer is
(``scope["state"]["peer"]``), connections are bounded, and nothing that a peer does can stall or end the server.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import LifespanState

from viaduct.admission import Admission, Started
from viaduct.exchange import Exchange
from viaduct.handshake import HandshakeFailed, accept_tls
from viaduct.tls import TlsContext
from viaduct.wire import Transport, Wire, linger, peer_address

log = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class HttpLimits:
    """What one server and its connections may cost. Sizes in bytes, times in seconds.

    headers: request line and headers. keep_alive: between requests, and until a request's headers are complete.
    handshake: TLS. write: the time in which the peer must take the next piece (64 KiB) of an answer.
    connections: at once; more are closed at the door.
    """

    headers: int = 64 * 1024
    keep_alive: float = 75.0
    handshake: float = 10.0
    write: float = 30.0
    connections: int = 1024


@dataclass(frozen=True)
class PeerCertificate:
    """The verified certificate of the client. der: all of it."""

    common_name: str
    organizations: tuple[str, ...]
    der: bytes


class BodyTooLarge(Exception):
    """A request body is longer than its limit. Answer 413."""


class BodyIncomplete(Exception):
    """The client went away, or took too long, before its request body was complete. There is nobody to answer."""


BODY_SECONDS: Final = 60.0


async def read_body(receive: Receive, limit: int, *, seconds: float = BODY_SECONDS) -> bytes:
    """The whole request body.

    Raises BodyTooLarge as soon as more than ``limit`` bytes have come, BodyIncomplete when the end does not come
    within ``seconds``.
    """
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(seconds):
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise BodyIncomplete("the client went away in the middle of its request")
            part = event.get("body", b"")
            size += len(part)
            if size > limit:
                raise BodyTooLarge(f"the request body is longer than {limit} bytes")
            parts.append(part)
            if not event.get("more_body", False):
                return b"".join(parts)
    raise BodyIncomplete(f"the request body did not come within {seconds:g} s")


async def serve_http(
    app: Application,
    listeners: list[trio.SocketListener],
    *,
    tls: TlsContext | None,
    limits: HttpLimits | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until it is cancelled; then open connections are cut at once.

    ``scope["state"]["peer"]`` is a PeerCertificate or None. When a client goes away the application is cancelled, also
    in the middle of an endless answer. An application that raises costs one answer 500.
    """
    server = _Server(app, tls, limits or HttpLimits())
    await trio.serve_listeners(server.accept, listeners, task_status=Started(task_status))


class _Server:
    def __init__(self, app: Application, tls: TlsContext | None, limits: HttpLimits) -> None:
        self._app = app
        self._tls = tls
        self._limits = limits
        self._admission = Admission("HTTP connection", limits.connections)
        self._config = _configure(limits)
        self._context = WorkerContext(None)

    async def accept(self, stream: trio.SocketStream) -> None:
        """One connection from TCP to its end."""
        with self._admission.enter(stream) as admitted:
            if admitted:
                await self._serve(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        wire = _PlainWire(stream, write=self._limits.write)
        if self._tls is not None:
            secured = trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)
            wire = _TlsWire(secured, write=self._limits.write)
        try:
            async with trio.open_nursery() as nursery:
                # hypercorn shields its writes from cancellation: what ends them is that the socket is closed
                nursery.start_soon(_cut_when_cancelled, wire)
                if await self._greet(wire.transport):
                    await self._speak(wire)
                nursery.cancel_scope.cancel()
        finally:
            wire.cut()

    async def _greet(self, transport: Transport) -> bool:
        if not isinstance(transport, trio.SSLStream):
            return True
        try:
            await accept_tls(transport, self._limits.handshake)
        except HandshakeFailed as error:
            log.info("HTTPS connection from %s: %s", peer_address(transport.transport_stream), error)
            return False
        return True

    async def _speak(self, wire: Wire) -> None:
        app = ASGIWrapper(Exchange(self._app, wire.cut))
        state: dict[str, Any] = {"peer": _peer(wire.transport)}
        stream = cast(trio.SSLStream[trio.SocketStream], wire)
        try:
            await _Connection(app, self._config, self._context, LifespanState(state), stream).run()
        except Exception as error:  # of the protocol machinery, about what this client sent; the application's stay inside
            log.debug("HTTP connection ended: %r", error)


class _PlainWire(Wire):
    """What hypercorn asks of a stream. That it has no ``do_handshake`` tells hypercorn that there is no TLS."""

    def __init__(self, transport: Transport, *, write: float) -> None:
        super().__init__(transport, write=write)
        self._closing = False
        self._reading = trio.CancelScope()
        self._idle = trio.Event()
        self._idle.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._closing:
            self._idle = trio.Event()
            try:
                with self._reading:
                    return await super().receive_some(max_bytes)
            finally:
                self._reading = trio.CancelScope()
                self._idle.set()
        await self.closed.wait()  # it is being closed: what still comes is thrown away there
        return b""

    async def aclose(self) -> None:
        """A client that still sends (a body that is too large) shall get the answer before it is cut."""
        if self._closing:
            await trio.lowlevel.checkpoint()
            return
        self._closing = True
        self._reading.cancel()
        try:
            await self._idle.wait()
            await linger(self.tcp)
        finally:
            self.cut()


class _TlsWire(_PlainWire):
    """The same for TLS."""

    async def do_handshake(self) -> None:
        """Done already."""
        await trio.lowlevel.checkpoint()

    def selected_alpn_protocol(self) -> str:
        return "http/1.1"

    @property
    def transport_stream(self) -> Wire:
        """Only asked for its socket."""
        return self


class _Connection(TCPServer):
    """hypercorn's connection, except that it ends when the client has gone, not a whole keep-alive period later, and
    that it stays with HTTP/1.1 (hypercorn would switch to HTTP/2 when it is asked to, and forget the time-outs)."""

    _over = False

    async def protocol_send(self, event: Event) -> None:
        if not (self._over and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        self.protocol = cast(ProtocolWrapper, _Http1(self.protocol, self.stream.aclose))
        await super()._read_data()
        self._over = True
        await self.idle_task.stop()


class _Http1:
    """Takes the place of hypercorn's switch between protocols."""

    def __init__(self, wrapper: ProtocolWrapper, close: Callable[[], Awaitable[None]]) -> None:
        self._protocol = wrapper.protocol
        self._close = close

    async def handle(self, event: Event) -> None:
        try:
            await self._protocol.handle(event)
        except (H2ProtocolAssumedError, H2CProtocolRequiredError):
            await self._close()


async def _cut_when_cancelled(wire: Wire) -> None:
    try:
        await trio.sleep_forever()
    finally:
        wire.cut()


def _configure(limits: HttpLimits) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("viaduct.http_server.hypercorn")
    config.h11_max_incomplete_size = limits.headers
    config.keep_alive_timeout = limits.keep_alive
    config.keep_alive_max_requests = 1_000_000
    config.include_server_header = False
    return config


def _peer(transport: Transport) -> PeerCertificate | None:
    if not isinstance(transport, trio.SSLStream):
        return None
    der = transport.getpeercert(binary_form=True)
    certificate = transport.getpeercert()
    if not der or not certificate:
        return None
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return PeerCertificate(
        common_name=next((value for key, value in subject if key == "commonName"), ""),
        organizations=tuple(value for key, value in subject if key == "organizationName"),
        der=bytes(der),
    )
