"""An API server that plays a script: each request takes the next scene."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from trio.testing import MockClock


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Peer:
    """The server's end of one connection, within one scene."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def raw(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def head(self, code: int = 200, content_type: str = "application/json") -> None:
        """Begins a chunked answer."""
        await self.raw(f"HTTP/1.1 {code} X\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, kind: str, obj: Any) -> None:
        await self.chunk(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def answer(self, content: Any, code: int = 200, headers: str = "") -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        await self.raw(f"HTTP/1.1 {code} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body)

    async def cut(self) -> None:
        await self._stream.aclose()

    async def until_closed(self) -> None:
        """Waits until the client goes away."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self._stream.receive_some():
                pass


Scene = Callable[[Peer, Request], Awaitable[None]]


@dataclass
class ScriptedServer:
    """``scenes`` are played in order; ``requests`` is what was asked. When the script is over, it answers nothing more."""

    port: int = 0
    scenes: deque[Scene] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def play(self, *scenes: Scene) -> None:
        self.scenes.extend(scenes)

    def then(self, content: Any, code: int = 200, headers: str = "") -> None:
        """A scene that gives one plain answer."""

        async def scene(peer: Peer, request: Request) -> None:
            await peer.answer(content, code, headers)

        self.scenes.append(scene)

    async def handle(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    received = await stream.receive_some()
                    if not received:
                        return
                    data += received
                head, _, data = data.partition(b"\r\n\r\n")
                request, length = _parse(head)
                while len(data) < length:
                    data += await stream.receive_some()
                request.body, data = data[:length], data[length:]
                self.requests.append(request)
                peer = Peer(stream)
                if self.scenes:
                    await self.scenes.popleft()(peer, request)
                else:
                    await peer.until_closed()
                    return


def _parse(head: bytes) -> tuple[Request, int]:
    first, *rest = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Request(method, parts.path, query, headers, b""), int(headers.get("content-length", "0"))


@pytest.fixture
def patient_clock() -> MockClock:
    """Virtual time that jumps only after the sockets have been quiet for a while."""
    return MockClock(autojump_threshold=0.05)


@pytest.fixture
async def api() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            lambda task_status: trio.serve_tcp(server.handle, 0, host="127.0.0.1", task_status=task_status)
        )
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


@pytest.fixture
def unused_tcp_port() -> Iterator[int]:
    """A port that is bound but not listened on: nobody else gets it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
