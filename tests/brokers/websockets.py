"""A WebSocket client by another library (wsproto), with the face of a stream of MQTT bytes, so that ``RawClient`` runs on it."""

from __future__ import annotations

from typing import Any

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)


class Rejected(Exception):
    """The upgrade was refused."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class WebSocketStream:
    """chunk: bytes of MQTT in one frame at most; 0: any number. transport_stream: below. close: what the server's Close said."""

    def __init__(self, transport: Any, chunk: int = 0) -> None:
        self.transport_stream = transport
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.pongs: list[bytes] = []
        self.close: CloseConnection | None = None
        self.subprotocol: str | None = None
        self._chunk = chunk
        self._events: list[Event] = []

    @classmethod
    async def open(cls, transport: Any, chunk: int = 0, **request: Any) -> WebSocketStream:
        """Raises Rejected."""
        request.setdefault("host", "localhost")
        request.setdefault("subprotocols", ["mqtt"])
        self = cls(transport, chunk)
        await transport.send_all(self.protocol.send(Request(target="/mqtt", **request)))
        match await self._next():
            case AcceptConnection() as accepted:
                self.subprotocol = accepted.subprotocol
                return self
            case RejectConnection() as rejected:
                body = await self._next()
                assert isinstance(body, RejectData)
                raise Rejected(rejected.status_code, bytes(body.data).decode())
            case other:
                raise AssertionError(other)

    async def _next(self) -> Event | None:
        """None at the end of the connection."""
        with trio.fail_after(10):
            while not self._events:
                data = await self.transport_stream.receive_some(65536)
                if not data:
                    return None
                self.protocol.receive_data(data)
                self._events += self.protocol.events()
        return self._events.pop(0)

    async def send(self, event: Event) -> None:
        await self.transport_stream.send_all(self.protocol.send(event))

    async def send_all(self, data: bytes) -> None:
        size = self._chunk or len(data)
        for place in range(0, len(data), size):
            await self.send(BytesMessage(data=data[place : place + size]))

    async def receive_some(self, _size: int) -> bytes:
        """Bytes of MQTT; empty at the end."""
        while True:
            match await self._next():
                case BytesMessage() as message:
                    if message.data:
                        return bytes(message.data)
                case Pong() as pong:
                    self.pongs.append(bytes(pong.payload))
                case CloseConnection() as close:
                    self.close = close
                    return b""
                case None:
                    return b""
                case TextMessage() as other:
                    raise AssertionError(other)
                case _:
                    pass
