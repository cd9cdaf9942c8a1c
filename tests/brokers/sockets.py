"""A client on a socket that does what it is told, also what no client should do."""

from __future__ import annotations

import socket
import struct
from typing import Any, ClassVar

import trio

from mqtt.codec import Decoder, encode
from mqtt.packets import ConnAck, Connect, Packet, Publish, SubAck, Subscribe, Subscription, Version
from mqtt.reasons import Reason


class RawClient:
    """Waits ten seconds at most. opened: all of this test, to be closed at its end."""

    opened: ClassVar[list[RawClient]] = []

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[Any], version: Version) -> None:
        self.stream = stream
        self.version = version
        self._decoder = Decoder(1 << 28, version)
        self.opened.append(self)

    @classmethod
    async def open(cls, port: int, version: Version = Version.V311, receive_buffer: int = 0) -> RawClient:
        sock = trio.socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await sock.connect(("127.0.0.1", port))
        return cls(trio.SocketStream(sock), version)

    @classmethod
    async def connected(cls, port: int, name: str, version: Version = Version.V311, **more: Any) -> RawClient:
        buffer = more.pop("receive_buffer", 0)
        client = await cls.open(port, version, buffer)
        ack = await client.connect(name, **more)
        assert ack.reason is Reason.SUCCESS, ack
        return client

    async def connect(self, name: str, **more: Any) -> ConnAck:
        await self.send(Connect(self.version, name, **more))
        ack = await self.next()
        assert isinstance(ack, ConnAck)
        return ack

    async def send(self, *packets: Packet) -> None:
        await self.stream.send_all(b"".join(encode(each, self.version) for each in packets))

    async def next(self, within: float = 10.0) -> Packet | None:
        """The next packet; None when the broker has closed the connection."""
        with trio.fail_after(within):
            while (packet := self._decoder.next()) is None:
                try:
                    data = await self.stream.receive_some(65536)
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._decoder.feed(data)
            return packet

    async def subscribe(self, name: str, qos: int = 0) -> None:
        await self.send(Subscribe(1, [Subscription(name, qos)]))
        assert isinstance(await self.next(), SubAck)

    async def message(self) -> Publish:
        packet = await self.next()
        assert isinstance(packet, Publish), packet
        return packet

    def close(self) -> None:
        stream = self.stream
        while not isinstance(stream, trio.SocketStream):
            stream = stream.transport_stream
        stream.socket.close()

    async def reset(self) -> None:
        """Breaks the connection with a RST."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()
