"""One HTTP/1.1 connection of a server: requests in, an ASGI application's answers out, one after the other.

h11 knows the protocol. One task reads and is always ready to hear that the client has gone; another runs the application.
No task is made per request, and an answer that is at hand is one write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import h11
import trio

from viaduct.wire import Wire

log = logging.getLogger(__name__)

_Event: TypeAlias = MutableMapping[str, Any]
_Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_PIECE: Final = 64 * 1024
_FAILED: Final = b"Internal Server Error\n"
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class Http1:
    """headers: bytes of a request line and its headers at most. patience: seconds between two requests, and until the headers
    of one are complete. common: what the scope of every request has (ASGI)."""

    def __init__(self, app: _Application, wire: Wire, *, headers: int, patience: float, common: dict[str, Any]) -> None:
        self._app = app
        self._wire = wire
        self._patience = patience
        self._common = common
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=headers)
        self._inlet, self._pieces = trio.open_memory_channel[bytes](0)
        self._exchange: _Exchange | None = None
        self.gone = False
        """The client has gone, or can no longer be written to."""

    async def run(self) -> None:
        """Returns when the connection is to be closed; when it still has a reader (``gone`` is False), with what was sent last
        perhaps not read yet."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            await self._talk()
            nursery.cancel_scope.cancel()

    async def _listen(self) -> None:
        """At most one piece is read ahead of who takes it. A client that closes only its own direction counts as gone, too:
        nothing else would tell that nobody waits for a quiet watch any more."""
        async with self._inlet:
            while True:
                try:
                    data = await self._wire.receive_some(_PIECE)
                except _BROKEN:
                    data = b""
                if not data:
                    break
                await self._inlet.send(bytes(data))
        self.lose()

    def lose(self) -> None:
        """Ends the application, too: nobody waits for it any more."""
        self.gone = True
        if self._exchange is not None:
            self._exchange.scope.cancel()

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        while not self.gone and (request := await self._request()) is not None:
            self._exchange = exchange = _Exchange(self, request)
            await exchange.run(self._app, self._scope(request))
            self._exchange = None
            if not exchange.complete or self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
                return
            self._protocol.start_next_cycle()

    async def _request(self) -> h11.Request | None:
        """None at the end of the connection, whatever ends it."""
        try:
            with trio.move_on_after(self._patience):
                event = await self.next_event()
                if not isinstance(event, h11.Request):
                    return None
                _check(event)
                return event
        except h11.RemoteProtocolError as error:
            await self.refuse(error)
        return None

    async def next_event(self) -> h11.Event:
        """The next part of a request. Raises h11.RemoteProtocolError."""
        while True:
            event = self._protocol.next_event()
            if event is h11.PAUSED:
                await trio.sleep_forever()  # a wish for another protocol: nothing more comes before our answer
            if isinstance(event, h11.Event):
                return event
            try:
                piece = await self._pieces.receive()
            except trio.EndOfChannel:
                piece = b""
            self._protocol.receive_data(piece)

    def at_hand(self) -> h11.Event | None:
        """As ``next_event``, but only what has come already."""
        event = self._protocol.next_event()
        return event if isinstance(event, h11.Event) else None

    async def refuse(self, error: h11.RemoteProtocolError) -> None:
        """Answers what is no request, if it can still be answered."""
        log.debug("HTTP connection ended: %r", error)
        if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-length", "0"), ("connection", "close")]
            head = self._protocol.send(h11.Response(status_code=error.error_status_hint, headers=headers, reason=b""))
            await self.write((head or b"") + (self._protocol.send(h11.EndOfMessage()) or b""))

    def _scope(self, request: h11.Request) -> dict[str, Any]:
        raw_path, _, query = request.target.partition(b"?")
        return {
            **self._common,
            "type": "http",
            "http_version": request.http_version.decode(),
            "method": request.method.decode(),
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
        }

    # -- for the exchange --------------------------------------------------------------------------------------------

    @property
    def protocol(self) -> h11.Connection:
        return self._protocol

    async def write(self, data: bytes) -> None:
        """A client that does not take it is gone."""
        try:
            await self._wire.send_all(data)
        except _BROKEN:
            self.lose()
            await trio.lowlevel.checkpoint_if_cancelled()


class _Exchange:
    """One request and its answer. complete: the answer has been sent, all of it."""

    def __init__(self, connection: Http1, request: h11.Request) -> None:
        self._connection = connection
        self._protocol = connection.protocol
        self._head_only = request.method == b"HEAD"
        self._early: list[h11.Event] = []
        self._head: bytes | None = None
        self._started = False
        self._violation: h11.RemoteProtocolError | None = None
        self.scope = trio.CancelScope()
        self.complete = False

    async def run(self, app: _Application, scope: dict[str, Any]) -> None:
        try:
            with self.scope:
                await app(scope, self._receive, self._send)
        except Exception:
            if self._connection.gone:
                return
            if self._violation is None:
                log.exception("%s %s failed", scope["method"], scope["path"])
                if not self._started:
                    await self._fail()
        if self._violation is not None and not self._started:
            await self._connection.refuse(self._violation)

    async def _receive(self) -> _Event:
        """What the application calls."""
        if self._early:
            return _as_asgi(self._early.pop(0))
        if self._protocol.their_state is not h11.SEND_BODY:
            await trio.sleep_forever()  # until the client goes away, which cancels the application
        if self._protocol.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            await self._connection.write(self._protocol.send(go_on) or b"")
        try:
            return _as_asgi(await self._connection.next_event())
        except h11.RemoteProtocolError as error:
            self._violation = error
            return {"type": "http.disconnect"}

    async def _send(self, event: _Event) -> None:
        """What the application calls. The head waits for the first piece of the body, which may be empty."""
        if event["type"] == "http.response.start":
            self._started = True
            self._head = self._begin(event["status"], event.get("headers", ()))
            return
        data, more = event.get("body", b""), event.get("more_body", False)
        out = [self._head or b""]
        self._head = None
        if data and not self._head_only:
            out.append(self._protocol.send(h11.Data(data=data)) or b"")
        if not more:
            out.append(self._protocol.send(h11.EndOfMessage()) or b"")
        await self._connection.write(b"".join(out))
        self.complete = not more

    def _begin(self, status: int, headers: Any) -> bytes:
        found = [(b"date", _date()), *headers]
        if not self._is_whole():
            # An answer that does not wait for the whole request ends the connection: a client that is not told would send
            # its next request into it.
            found.append((b"connection", b"close"))
        return self._protocol.send(h11.Response(status_code=status, headers=found, reason=_reason(status))) or b""

    def _is_whole(self) -> bool:
        """Whether the whole request has come; what of it nobody has read yet is kept."""
        try:
            while self._protocol.their_state is h11.SEND_BODY:
                if (event := self._connection.at_hand()) is None:
                    return False
                self._early.append(event)
        except h11.RemoteProtocolError:
            return False
        return self._violation is None

    async def _fail(self) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_FAILED)).encode())]
        await self._send({"type": "http.response.start", "status": 500, "headers": headers})
        await self._send({"type": "http.response.body", "body": _FAILED})


def _as_asgi(event: h11.Event) -> _Event:
    if isinstance(event, h11.Data):
        return {"type": "http.request", "body": bytes(event.data), "more_body": True}
    if isinstance(event, h11.EndOfMessage):
        return {"type": "http.request", "body": b"", "more_body": False}
    return {"type": "http.disconnect"}


def _check(request: h11.Request) -> None:
    """What h11 lets pass. Where a body ends must not be a matter of opinion: a proxy before us may have another one (RFC 9112,
    6.1). Raises h11.RemoteProtocolError."""
    if not request.http_version.startswith(b"1."):
        raise h11.RemoteProtocolError("not HTTP/1", error_status_hint=505)
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
        raise h11.RemoteProtocolError("the length of the body is ambiguous")


_dates: dict[int, bytes] = {}


def _date() -> bytes:
    """Made once a second."""
    now = int(time.time())
    if now not in _dates:
        _dates.clear()
        _dates[now] = formatdate(now, usegmt=True).encode()
    return _dates[now]


def _reason(status: int) -> bytes:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
