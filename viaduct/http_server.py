"""HTTP/1.1 server for our ASGI applications: the certificate server, the embedded Kubernetes API.

The application learns who the peer is (``scope["state"]["peer"]``), connections are bounded, and nothing that a peer does can
stall or end the server.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import trio

from viaduct.admission import Admission, Started
from viaduct.handshake import HandshakeFailed, accept_tls
from viaduct.http1 import Http1
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
    body = bytearray()  # a list of its pieces, which may be of two bytes each, could cost twenty times as much
    with trio.move_on_after(seconds):
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise BodyIncomplete("the client went away in the middle of its request")
            body += event.get("body", b"")
            if len(body) > limit:
                raise BodyTooLarge(f"the request body is longer than {limit} bytes")
            if not event.get("more_body", False):
                return bytes(body)
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

    async def accept(self, stream: trio.SocketStream) -> None:
        """One connection from TCP to its end."""
        with self._admission.enter(stream) as admitted:
            if admitted:
                await self._serve(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        transport: Transport = stream
        if self._tls is not None:
            transport = trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)
        wire = Wire(transport, write=self._limits.write)
        try:
            if await self._greet(transport):
                await self._speak(wire)
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
        limits, secured = self._limits, self._tls is not None
        common = {
            "asgi": {"version": "3.0"},
            "scheme": "https" if secured else "http",
            "client": _address(wire.socket.getpeername),
            "server": _address(wire.socket.getsockname),
            "state": {"peer": _peer(wire.transport)},
        }
        one = Http1(self._app, wire, headers=limits.headers, patience=limits.keep_alive, common=common)
        await one.run()
        if not one.gone:
            await linger(wire.tcp)  # a client that still sends (a body that is too large) shall get the answer before it is cut


def _address(of: Callable[[], Any]) -> tuple[str, int] | None:
    """None when the peer is gone, and on a unix socket."""
    try:
        name = of()
    except OSError:
        return None
    if isinstance(name, (str, bytes)):
        return None
    host, port, *_ = name
    return str(host), int(port)


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
