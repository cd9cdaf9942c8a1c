"""One open WebSocket as a Link: messages in and out, bounded, and found out when it is dead."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from beehive.message import MalformedMessage, Message, decode, encode, respond
from viaduct.link import Limits, LinkClosed, MessageTooBig, Peer
from viaduct.wire import Wire

log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 2.0
"""How long the peer may take to agree that the link is closed; after that it is cut."""

RESERVED: Final = frozenset({"config", "ping", "pong"})
"""Operations that belong to the transport: it answers them itself (KubeEdge 1.23: pkg/viaduct/pkg/conn/ws.go,
filterControlMessage)."""

_HURRIED_SECONDS: Final = 0.1
_NORMAL: Final = 1000
_ABNORMAL: Final = 1006
_UNSUPPORTED: Final = 1003

_CODES: Final = {
    1000: "closed by the peer",
    1001: "the peer is going away",
    1009: "a message is larger than allowed",
}


class WebSocketLink:
    """Implements viaduct.link.Link."""

    def __init__(self, connection: WebSocketConnection, wire: Wire, peer: Peer, limits: Limits) -> None:
        self._connection = connection
        self._wire = wire
        self._peer = peer
        self._limits = limits
        self._ended = ""

    @property
    def peer(self) -> Peer:
        return self._peer

    async def send(self, message: Message) -> None:
        """Raises LinkClosed; MessageTooBig when no peer would take it (the link stays open)."""
        data = encode(message)
        if len(data) > self._limits.message:
            raise MessageTooBig(
                f"{message.operation} {message.resource!r} has {len(data)} bytes; a link carries at most {self._limits.message}"
            )
        try:
            # relayed content may hold bytes that are no UTF-8; Go replaces them as well
            await self._connection.send_message(data.decode("utf-8", "replace"))
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed(self._why(error)) from error

    async def reached(self) -> None:
        """By a ping: frames are read in order, and a peer (KubeEdge's, too) answers from where it reads."""
        try:
            await self._connection.ping()
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed(self._why(error)) from error

    async def receive(self) -> Message:
        while (message := await self._receive()).operation in RESERVED:
            with suppress(MessageTooBig):
                await self.send(respond(message, "ack"))
        return message

    async def _receive(self) -> Message:
        try:
            data = await self._connection.get_message()
        except ConnectionClosed as error:
            raise LinkClosed(self._why(error)) from error
        try:
            return decode(data)
        except MalformedMessage as error:
            self._ended = self._ended or f"{self._name()} sent something that is not a message: {error}"
            await self._close(_UNSUPPORTED, "not a message")
            raise LinkClosed(self._ended) from error

    async def aclose(self, reason: str = "") -> None:
        """Takes at most 2 s; the socket is closed then, whatever the peer does."""
        self._ended = self._ended or reason or "closed here"
        await self._close(_NORMAL, reason)

    async def finish(self) -> None:
        """The owner's last act: closes, also when everything is being cancelled."""
        # in a cancelled scope the reader is gone already, so that the peer's agreement would not be seen: say it and go
        patience = _HURRIED_SECONDS if trio.current_effective_deadline() == -math.inf else _CLOSE_SECONDS
        self._ended = self._ended or "closed here"
        with trio.CancelScope(shield=True):
            await self._close(_NORMAL, "", patience)

    async def watch_silence(self) -> None:
        """Cuts the link when nothing at all is heard for ``limits.silence``, not even the answer to a ping."""
        third = self._limits.silence / 3
        while not self._wire.closed.is_set():
            with trio.move_on_after(third):
                await self._wire.closed.wait()
            if self._wire.quiet() < third:
                continue
            with trio.move_on_after(2 * third):
                try:
                    await self._connection.ping()
                except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
                    return
            if self._wire.quiet() >= 2 * third:
                silence = f"nothing heard for {self._limits.silence:g} s, not even the answer to a ping"
                self._wire.cut(TimeoutError(silence))

    async def _close(self, code: int, reason: str, patience: float = _CLOSE_SECONDS) -> None:
        try:
            with trio.move_on_after(patience):
                await self._connection.aclose(code, reason or None)
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._wire.cut()

    def _why(self, error: Exception) -> str:
        if self._ended:
            return self._ended
        if isinstance(self._wire.failure, TimeoutError):
            return f"the link with {self._name()} is dead: {self._wire.failure}"
        reason = self._connection.closed
        if reason is None or reason.code == _ABNORMAL:
            return f"the link with {self._name()} broke: {self._broken(self._wire.failure)}"
        said = reason.reason or _CODES.get(reason.code, reason.name.replace("_", " ").lower())
        return f"the link with {self._name()} was closed: {said}"

    @staticmethod
    def _broken(failure: BaseException | None) -> str:
        if failure is None:
            return "the peer is gone without a word"
        if isinstance(failure, trio.ClosedResourceError):  # the library found a fault and closed the stream itself
            return "what came is not a WebSocket message"
        return _root(failure) or type(failure).__name__

    def _name(self) -> str:
        return f"{self._peer.node} ({self._peer.address})" if self._peer.node else self._peer.address


def _root(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        text = str(error) or text
        error = error.__cause__ or error.__context__
    return text
