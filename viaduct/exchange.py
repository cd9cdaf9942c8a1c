"""One HTTP request and its answer, between hypercorn and an application.

hypercorn hands the request body over through a short queue, and the disconnection of the client through the same queue.
An application that does not read would never learn of it, and one that answers before it has read everything would
block for ever. So the queue is always read here: the application gets what it asks for, the rest is thrown away, and a
client that goes away cancels the application.

A request to switch to WebSocket is handed on as the plain GET that it also is: nothing here speaks WebSocket, and
``kubectl exec`` wants to hear why.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import trio

log = logging.getLogger(__name__)

_Event: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]

_AHEAD: Final = 1
"""Pieces of a request body that are read before the application asks for them."""

_DISCONNECT: Final = {"type": "http.disconnect"}
_NO_BODY: Final = {"type": "http.request", "body": b"", "more_body": False}
_FAILED: Final = b"Internal Server Error\n"


class Exchange:
    """Wraps an application for one connection. ``cut`` closes the connection."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]], cut: Callable[[], None]) -> None:
        self._app = app
        self._cut = cut

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI entry point that hypercorn calls once per request."""
        if scope["type"] not in ("http", "websocket") or not scope["http_version"].startswith("1"):
            self._cut()  # HTTP/2 is not served here
            return
        if scope["type"] == "websocket":
            scope, receive, send = _as_get(scope, receive, send)
        async with trio.open_nursery() as nursery:
            one = _One(receive, send, nursery, whole=not _has_body(scope))
            nursery.start_soon(one.pump)
            await self._run(scope, one)
            if one.state != _One.COMPLETE:
                if not one.gone:
                    self._cut()
                nursery.cancel_scope.cancel()

    async def _run(self, scope: Any, one: _One) -> None:
        try:
            with one.scope:
                await self._app(scope, one.receive, one.send)
        except Exception:
            if one.gone:
                return
            log.exception("%s %s failed", scope["method"], scope["path"])
            if one.state == _One.WAITING:
                await one.fail()


def _as_get(scope: Any, receive: _Receive, send: _Send) -> tuple[Any, _Receive, _Send]:
    """The request for an upgrade as the request that it is without; its answer refuses the upgrade."""

    async def receive_http() -> _Event:
        event = await receive()
        return dict(_NO_BODY if event["type"] == "websocket.connect" else _DISCONNECT)

    async def send_http(event: _Event) -> None:
        await send({**event, "type": f"websocket.{event['type']}"})

    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return {**scope, "type": "http", "method": "GET", "scheme": scheme}, receive_http, send_http


def _has_body(scope: Any) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


class _One:
    """One request and its answer."""

    WAITING, STARTED, COMPLETE = range(3)

    def __init__(self, receive: _Receive, send: _Send, nursery: trio.Nursery, *, whole: bool) -> None:
        """whole: the request has no body, nothing of it is still to come."""
        self._whole = whole
        self._receive = receive
        self._send = send
        self._nursery = nursery
        self._inlet, self._outlet = trio.open_memory_channel[_Event](_AHEAD)
        self.scope = trio.CancelScope()
        self.state = self.WAITING
        self.gone = False

    async def pump(self) -> None:
        """Takes over what the client sends until it goes away, or until hypercorn says that the exchange is over."""
        wanted = True
        while (event := await self._receive())["type"] != "http.disconnect":
            self._whole = not event.get("more_body", False)
            if wanted:
                try:
                    await self._inlet.send(event)
                except trio.BrokenResourceError:
                    wanted = False
        if self.state != self.COMPLETE:
            self.gone = True
            self.scope.cancel()
        self._inlet.close()

    async def receive(self) -> _Event:
        """What the application calls."""
        try:
            return await self._outlet.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return dict(_DISCONNECT)

    async def send(self, event: _Event) -> None:
        """What the application calls."""
        if event["type"] == "http.response.start":
            self.state = self.STARTED
            if not self._whole:
                # An answer that does not wait for the whole request ends the connection: a client that is not told would send
                # its next request into it.
                event = {**event, "headers": [*event.get("headers", ()), (b"connection", b"close")]}
        elif event["type"] == "http.response.body" and not event.get("more_body", False):
            self.state = self.COMPLETE
            self._outlet.close()  # from now on the pump throws away what is left of the request
        await self._send(event)

    async def fail(self) -> None:
        """Answers 500."""
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_FAILED)).encode())]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": _FAILED})
