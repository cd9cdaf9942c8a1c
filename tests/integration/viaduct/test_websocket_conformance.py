"""One end is ours, the other is bytes: what a KubeEdge 1.23 peer sends and expects, and what nobody should send."""

from __future__ import annotations

import base64
import hashlib
import random
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from beehive.message import Message
from viaduct import websocket
from viaduct.link import Limits, Link, LinkClosed, LinkError
from viaduct.listen import open_listeners, port_of

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


@pytest.fixture
def edge(cluster: Any) -> Edge:
    """``async with edge(port) as raw``: a TLS connection, upgraded unless ``request`` is empty."""

    @asynccontextmanager
    async def dial(port: int, request: bytes = REAL_EDGE) -> Any:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.SSLStream(tcp, cluster.client_tls(), server_hostname="127.0.0.1", https_compatible=True) as stream:
            raw = Raw(stream)
            if request:
                await raw.send(request)
                answer = await raw.until(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 101 ")
            yield raw

    return dial


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


async def test_our_request_is_what_a_real_edge_sends(cluster: Any) -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")
    tls = cluster.server_tls()
    tls.set_alpn_protocols(["h2", "http/1.1"])  # as Go's HTTP server does
    seen: list[bytes] = []
    protocols: list[str | None] = []

    async def cloud(tcp: trio.SocketStream) -> None:
        raw = Raw(trio.SSLStream(tcp, tls, server_side=True, https_compatible=True))
        seen.append(await raw.until(b"\r\n\r\n"))
        protocols.append(raw.stream.selected_alpn_protocol())
        assert raw.buffer == b"", "bytes before the 101 make gorilla cut the connection"
        await raw.send(upgraded(seen[0]) + frame(TEXT, KEEPALIVE, masked=False))
        opcode, payload = await raw.frame()
        assert (opcode, msgspec.json.decode(payload)) == (TEXT, msgspec.json.decode(KEEPALIVE))
        assert (await raw.frame())[0] == CLOSE
        await raw.send(frame(CLOSE, struct.pack("!H", 1000), masked=False))
        await raw.stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, cloud, [listener])
        port = port_of([listener])
        address = f"wss://127.0.0.1:{port}/e632aba927ea4ac2b575ec1603d56f10/edge-1/events"
        project = "e632aba927ea4ac2b575ec1603d56f10"
        async with websocket.connect(address, tls=cluster.client_tls(), node="edge-1", project=project) as link:
            await link.send(await link.receive())
        nursery.cancel_scope.cancel()
    [request] = seen
    first, *lines = request.decode("ascii").split("\r\n")
    assert first == "GET /e632aba927ea4ac2b575ec1603d56f10/edge-1/events HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines if line)
    assert len(base64.b64decode(headers.pop("Sec-WebSocket-Key"))) == 16
    assert headers == {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Connectionuse": "msg",
        "Node_id": "edge-1",
        "Project_id": project,
    }
    assert protocols == ["http/1.1"]


async def test_a_real_edge_is_understood(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    async with cloud(handler) as port, edge(port) as raw:
        await raw.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages))
    peer = handler.links[0].peer
    assert (peer.node, peer.use, peer.common_name) == ("edge-1", "msg", "system:node:edge-1")
    assert handler.messages[0].operation == "keepalive"
    assert handler.messages[0].content == msgspec.Raw(b'"ping"')


@pytest.mark.parametrize(
    "request_",
    [
        REAL_EDGE.replace(b"GET /e632aba927ea4ac2b575ec1603d56f10/edge-1/events", b"GET /anything/at%20all?x=1"),
        REAL_EDGE.replace(b"Node_id", b"NODE_ID").replace(b"Connectionuse", b"connectionuse"),
        REAL_EDGE.replace(b"Upgrade: websocket", b"Upgrade: WebSocket\r\nSec-WebSocket-Extensions: permessage-deflate"),
        REAL_EDGE.replace(b"Connection: Upgrade", b"Connection: keep-alive, upgrade"),
    ],
)
async def test_any_path_any_case_and_no_extension(cloud: Any, edge: Edge, request_: bytes) -> None:
    handler = Collector()
    async with cloud(handler) as port, edge(port, b"") as raw:
        await raw.send(request_)
        answer = await raw.until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in answer.lower()
        await raw.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages))
    assert handler.links[0].peer.node == "edge-1"


async def test_fragments_with_a_ping_between_them_and_byte_by_byte(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    pieces = [KEEPALIVE[i : i + 50] for i in range(0, len(KEEPALIVE), 50)]
    async with cloud(handler) as port, edge(port) as raw:
        await raw.send(frame(TEXT, pieces[0], fin=False))
        await raw.send(frame(PING, b"ping you"))
        for piece in pieces[1:-1]:
            await raw.send(frame(CONTINUATION, piece, fin=False))
        await raw.send(frame(CONTINUATION, pieces[-1]))
        assert await raw.frame() == (PONG, b"ping you")
        for byte in frame(BINARY, KEEPALIVE):
            await raw.send(bytes([byte]))
        await handler.until(lambda: len(handler.messages) == 2)
    assert handler.messages[0] == handler.messages[1]


BAD_DOCUMENTS = {
    "null": b"null",
    "list": b"[]",
    "string": b'"x"',
    "empty": b"",
    "not json": b"hello",
    "two documents": KEEPALIVE + KEEPALIVE,
    "timestamp is a fraction": KEEPALIVE.replace(b"1735689600000", b"1.5"),
    "timestamp is a string": KEEPALIVE.replace(b"1735689600000", b'"now"'),
    "id is null": KEEPALIVE.replace(b'"0c5a7b1e-6a4d-4b59-9f6e-0e6a7c1f2d3b"', b"null"),
    "header is null": b'{"header":null,"route":{},"content":1}',
    "route is a list": b'{"header":{},"route":[],"content":1}',
    "deep": b'{"header":{},"route":{},"content":' + b"[" * 200_000,
}


@pytest.mark.parametrize("document", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_what_is_not_a_message_ends_its_link_only(cloud: Any, edge: Edge, document: bytes) -> None:
    handler = Collector()
    async with cloud(handler) as port, edge(port) as bad, edge(port) as good:
        await bad.send(frame(TEXT, document))
        opcode, payload = await bad.frame()
        assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1003))
        await bad.send(frame(CLOSE, payload[:2]))
        await bad.rest()
        await good.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages) and bool(handler.reasons))
    assert "sent something that is not a message" in handler.reasons[0]


BAD_FRAMES = {
    "not utf-8": frame(TEXT, b"\xff\xfe\x00"),
    "not masked": frame(TEXT, KEEPALIVE, masked=False),
    "reserved opcode": frame(5, b"x"),
    "reserved bit": b"\xc1" + frame(TEXT, b"x")[1:],
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "fragmented ping": frame(PING, b"x", fin=False),
    "long ping": frame(PING, b"x" * 200),
    "absurd length": b"\x81\xff" + b"\xff" * 12,
    "garbage": bytes(range(256)) * 4,
    "bad close": frame(CLOSE, b"\x00"),
}


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
async def test_what_is_not_a_frame_ends_its_link_only(cloud: Any, edge: Edge, data: bytes) -> None:
    handler = Collector()
    async with cloud(handler) as port, edge(port) as bad, edge(port) as good:
        await bad.send(data)
        await bad.rest()
        await good.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages) and bool(handler.reasons))
    assert len(handler.reasons) >= 1


BAD_REQUESTS = {
    "not http": b"\x16\x03\x01 hello\r\n\r\n",
    "post": REAL_EDGE.replace(b"GET", b"POST"),
    "no upgrade": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "old version": REAL_EDGE.replace(b"Version: 13", b"Version: 8"),
    "no key": REAL_EDGE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
    "host that is no name": REAL_EDGE.replace(b"10.0.0.5:10000", b"\xff\xfe.example"),
    "host with a label too long": REAL_EDGE.replace(b"10.0.0.5:10000", b"xn--" + b"a" * 200),
    "endless headers": REAL_EDGE[:-2] + b"X-Flood: " + b"x" * 1_000_000,
}


@pytest.mark.parametrize("request_", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_what_is_not_an_upgrade_is_turned_away(cloud: Any, edge: Edge, request_: bytes) -> None:
    handler = Collector()
    async with cloud(handler) as port, edge(port, b"") as bad, edge(port) as good:
        try:
            await bad.send(request_)
        except trio.BrokenResourceError:
            pass
        assert b" 101 " not in await bad.rest()
        await good.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages))
    assert len(handler.links) == 1


async def test_a_hundred_megabytes_end_one_link_in_bounded_memory(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    size = 100_000_000
    async with cloud(handler, limits=Limits(message=4_000_000)) as port, edge(port) as bad, edge(port) as good:
        tracemalloc.start()
        try:
            with pytest.raises(trio.BrokenResourceError), trio.fail_after(30):
                await bad.send(struct.pack("!BBQ", 0x81, 0xFF, size) + b"\0\0\0\0" + b'"')
                piece = b"x" * 65536
                for _ in range(size // len(piece)):
                    await bad.send(piece)
            await handler.until(lambda: bool(handler.reasons))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await good.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages))
    assert "maximum message size: 4000000" in handler.reasons[0]
    assert peak < 20_000_000


async def test_a_half_open_connection_is_found(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    async with cloud(handler, limits=Limits(silence=0.6)) as port, edge(port) as raw:
        assert (await raw.frame())[0] == PING  # and never a pong
        await handler.until(lambda: bool(handler.reasons))
    assert "nothing heard for 0.6 s, not even the answer to a ping" in handler.reasons[0]


async def test_a_cloud_that_hangs_is_found(cluster: Any) -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")

    async def cloud(tcp: trio.SocketStream) -> None:
        raw = Raw(trio.SSLStream(tcp, cluster.server_tls(), server_side=True, https_compatible=True))
        await raw.send(upgraded(await raw.until(b"\r\n\r\n")))
        assert (await raw.frame())[0] == PING
        await raw.rest()
        await raw.stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, cloud, [listener])
        address = f"wss://127.0.0.1:{port_of([listener])}/p/edge-1/events"
        tls, limits = cluster.client_tls(), Limits(silence=0.6)
        async with websocket.connect(address, tls=tls, node="edge-1", project="p", limits=limits) as link:
            with pytest.raises(LinkClosed, match="not even the answer to a ping"):
                await link.receive()
        nursery.cancel_scope.cancel()


async def test_random_bytes_end_nothing_but_their_own_link(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    dice = random.Random(20260101)

    async def attack(port: int) -> None:
        async with edge(port) as bad:
            whole = frame(TEXT, KEEPALIVE)
            data = bytearray(dice.randbytes(dice.randrange(1, 400)) if dice.random() < 0.5 else whole * 3)
            for _ in range(3):
                data[dice.randrange(len(data))] = dice.randrange(256)
            try:
                await bad.send(bytes(data))
                await bad.stream.transport_stream.send_eof()
                await bad.rest()
            except trio.BrokenResourceError:
                pass

    async with cloud(handler) as port, edge(port) as good:
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(attack, port)
        before = len(handler.messages)
        await good.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: len(handler.messages) > before)


async def test_a_peer_that_answers_pings_is_kept_and_one_that_sends_is_not_asked(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    async with cloud(handler, limits=Limits(silence=3)) as port, edge(port) as raw:
        for _ in range(4):
            opcode, payload = await raw.frame()
            assert opcode == PING
            await raw.send(frame(PONG, payload))
        await raw.send(frame(TEXT, KEEPALIVE))
        await handler.until(lambda: bool(handler.messages))
        assert not handler.reasons


async def test_a_peer_that_takes_nothing_is_cut(cloud: Any, edge: Edge) -> None:
    reasons: list[str] = []
    ended = trio.Event()

    async def flood(link: Link) -> None:
        message = await link.receive()
        big = msgspec.structs.replace(message, content=msgspec.Raw(b'"' + b"x" * 1_000_000 + b'"'))
        try:
            while True:
                await link.send(big)
        except LinkClosed as error:
            reasons.append(str(error))
            ended.set()

    async with cloud(flood, limits=Limits(write=0.5)) as port, edge(port) as raw:
        await raw.send(frame(TEXT, KEEPALIVE))
        with trio.fail_after(20):
            await ended.wait()
    assert "the peer took no data for 0.5 s" in reasons[0]


async def test_a_stalled_peer_does_not_hold_up_the_end_of_the_server(cloud: Any, edge: Edge) -> None:
    async def flood(link: Link) -> None:
        message = await link.receive()
        big = msgspec.structs.replace(message, content=msgspec.Raw(b'"' + b"x" * 1_000_000 + b'"'))
        started.set()
        while True:
            await link.send(big)

    started = trio.Event()
    async with cloud(flood, limits=Limits(write=3600)) as port, edge(port) as raw:
        await raw.send(frame(TEXT, KEEPALIVE))
        with trio.fail_after(10):
            await started.wait()
        await trio.testing.wait_all_tasks_blocked(0.2)
    # the fixture fails when the server does not stop


async def test_a_slow_handshake_is_cut(cloud: Any, edge: Edge) -> None:
    handler = Collector()
    async with cloud(handler, limits=Limits(handshake=0.5)) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as tcp:
            with trio.fail_after(10):
                assert await tcp.receive_some() == b""
        async with edge(port, b"") as raw:
            await raw.send(REAL_EDGE[:40])
            assert await raw.rest() == b""
    assert handler.links == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 18\r\n\r\nnode not allowed!\n", "HTTP 403 (node not allowed!)"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "this is not a cloudcore"),
        (b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP 200"),
        (b"220 smtp\r\n\r\n", "broke"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "broke"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, "too much"),
        (b"", "cut the connection"),
    ],
)
async def test_a_cloud_that_refuses_is_quoted(cluster: Any, answer: bytes, text: str) -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")

    async def cloud(tcp: trio.SocketStream) -> None:
        raw = Raw(trio.SSLStream(tcp, cluster.server_tls(), server_side=True, https_compatible=True))
        await raw.until(b"\r\n\r\n")
        try:
            await raw.send(answer)
        except trio.BrokenResourceError:
            pass
        await raw.stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, cloud, [listener])
        with pytest.raises(LinkError) as caught:
            address = f"wss://127.0.0.1:{port_of([listener])}/p/edge-1/events"
            async with websocket.connect(address, tls=cluster.client_tls(), node="edge-1", project="p"):
                pytest.fail("this is no link")
        nursery.cancel_scope.cancel()
    assert text in str(caught.value)


async def test_a_slow_reader_is_not_taken_for_a_dead_peer(cloud: Any, edge: Edge) -> None:
    """While our own side does not ask for messages, the silence is ours."""
    go_on = trio.Event()
    got: list[Message] = []

    async def slow(link: Link) -> None:
        await link.receive()
        with trio.move_on_after(1.5):
            await go_on.wait()
        while len(got) < 3:
            got.append(await link.receive())
        done.set()

    done = trio.Event()
    async with cloud(slow, limits=Limits(silence=0.6)) as port, edge(port) as raw:
        await raw.send(frame(TEXT, KEEPALIVE) * 4)
        with trio.fail_after(10):
            await done.wait()
