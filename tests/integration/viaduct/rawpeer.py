"""A WebSocket peer made of bytes, for what no library of ours would send."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import trio

from beehive.message import Message
from viaduct.link import Link, LinkClosed

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0

REAL_EDGE = (
    b"GET /e632aba927ea4ac2b575ec1603d56f10/edge-1/events HTTP/1.1\r\n"
    b"Host: 10.0.0.5:10000\r\n"
    b"User-Agent: Go-http-client/1.1\r\n"
    b"Connection: Upgrade\r\n"
    b"Connectionuse: msg\r\n"
    b"Connectionuse: msg\r\n"
    b"Node_id: edge-1\r\n"
    b"Project_id: e632aba927ea4ac2b575ec1603d56f10\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Upgrade: websocket\r\n"
    b"\r\n"
)
"""As gorilla/websocket 1.5.0 writes it, after a second dial attempt (Connectionuse is added once more each time)."""

KEEPALIVE = (
    b'{"header":{"msg_id":"0c5a7b1e-6a4d-4b59-9f6e-0e6a7c1f2d3b","timestamp":1735689600000},'
    b'"route":{"source":"websocket","group":"resource","operation":"keepalive","resource":"node"},"content":"ping"}\n'
)


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    """A WebSocket frame; the mask is zero, so that the payload can be read in a dump."""
    head = struct.pack("!B", (0x80 if fin else 0) | opcode)
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head += struct.pack("!B", mask | len(payload))
    elif len(payload) < 65536:
        head += struct.pack("!BH", mask | 126, len(payload))
    else:
        head += struct.pack("!BQ", mask | 127, len(payload))
    return head + (b"\0\0\0\0" if masked else b"") + payload


def upgraded(request: bytes) -> bytes:
    """The answer 101 to a request."""
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"


class Raw:
    """A peer made of bytes."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def until(self, end: bytes) -> bytes:
        with trio.fail_after(10):
            while end not in self.buffer:
                data = await self.stream.receive_some(65536)
                assert data, f"the other end closed; got {self.buffer!r}"
                self.buffer += data
        found, _, self.buffer = self.buffer.partition(end)
        return found + end

    async def take(self, count: int) -> bytes:
        with trio.fail_after(10):
            while len(self.buffer) < count:
                data = await self.stream.receive_some(65536)
                assert data, "the other end closed"
                self.buffer += data
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next small frame, unmasked."""
        first, second = await self.take(2)
        length = second & 0x7F
        if length == 126:
            [length] = struct.unpack("!H", await self.take(2))
        assert length != 127
        key = await self.take(4) if second & 0x80 else b"\0\0\0\0"
        payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(await self.take(length)))
        return first & 0x0F, payload

    async def rest(self) -> bytes:
        """Everything until the other end closes."""
        with trio.fail_after(10):
            try:
                while data := await self.stream.receive_some(65536):
                    self.buffer += data
            except trio.BrokenResourceError:
                pass
        return self.buffer


Edge = Callable[..., AbstractAsyncContextManager[Raw]]


class Collector:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.links: list[Link] = []
        self.reasons: list[str] = []
        self.changed = trio.Event()

    async def __call__(self, link: Link) -> None:
        self.links.append(link)
        try:
            while True:
                self.messages.append(await link.receive())
                self._change()
        except LinkClosed as error:
            self.reasons.append(str(error))
            self._change()

    def _change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not condition():
                await self.changed.wait()
