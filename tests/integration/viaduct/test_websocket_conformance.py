"""One end is ours, the other is bytes: what a KubeEdge 1.23 peer sends and expects, and what nobody should send."""

from __future__ import annotations

import base64
import struct
import tracemalloc
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from integration.viaduct.rawpeer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEEPALIVE,
    PING,
    PONG,
    REAL_EDGE,
    TEXT,
    Collector,
    Edge,
    Raw,
    frame,
    upgraded,
)

from beehive.message import Message
from viaduct import websocket
from viaduct.link import Limits, Link, LinkClosed, LinkError
from viaduct.listen import open_listeners, port_of


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
