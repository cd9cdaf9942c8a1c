"""MQTT in WebSocket frames, with the face of a socket. The WebSocket itself is wsproto's."""

from __future__ import annotations

import socket

from mqttsuite.client import Deviation
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Message, Ping, RejectConnection, Request
from wsproto.utilities import LocalProtocolError


class WebSocket:
    """subprotocol: what the server has chosen. chunk: bytes in one frame at most; 0: what is sent together stands in one."""

    def __init__(self, port: int, *subprotocols: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 5)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self.chunk = 0
        wanted = list(subprotocols or ("mqtt",))
        self._sock.sendall(self._protocol.send(Request(host="localhost", target="/mqtt", subprotocols=wanted)))
        answer = self._next()
        if not isinstance(answer, AcceptConnection):
            self._sock.close()
            status = answer.status_code if isinstance(answer, RejectConnection) else "nothing"
            raise Deviation(f"the server answers the request for a WebSocket with {status}")
        self.subprotocol = answer.subprotocol

    def _next(self) -> Event | None:
        """None at the end."""
        while not self._events:
            data = self._sock.recv(65536)
            if not data:
                return None
            self._protocol.receive_data(data)
            self._events += self._protocol.events()
        return self._events.pop(0)

    def send(self, event: Message) -> None:
        try:
            data = self._protocol.send(event)
        except LocalProtocolError as error:
            # The server has closed.
            raise BrokenPipeError from error
        self._sock.sendall(data)

    def sendall(self, data: bytes) -> None:
        size = self.chunk or len(data)
        for place in range(0, len(data), size):
            self.send(BytesMessage(data=data[place : place + size]))

    def recv(self, _size: int) -> bytes:
        while True:
            event = self._next()
            match event:
                case BytesMessage():
                    if event.data:
                        return bytes(event.data)
                case Ping():
                    self._sock.sendall(self._protocol.send(event.response()))
                case None | CloseConnection():
                    return b""
                case _:
                    raise Deviation(f"the server sends a {type(event).__name__}")

    def settimeout(self, seconds: float) -> None:
        self._sock.settimeout(seconds)

    def close(self) -> None:
        self._sock.close()
