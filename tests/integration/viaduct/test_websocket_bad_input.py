"""What nobody should send costs the link on which it comes, and nothing else."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
import trio
from integration.viaduct.rawpeer import CLOSE, CONTINUATION, KEEPALIVE, PING, REAL_EDGE, TEXT, Collector, Edge, frame

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
