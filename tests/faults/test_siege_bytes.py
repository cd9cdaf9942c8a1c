"""Bytes that no client should send, at a real broker. ``SIEGE=20`` makes all of it twenty times as hard."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from brokers.hostile import GONE, close, connect, crowd, cut, deaf, said, shout, socket_to, streams
from brokers.siege import HARD, MIB, besieged
from brokers.sockets import RawClient

from mqtt.packets import Connect, PingReq, PingResp, Publish, Subscribe, Subscription, Unsubscribe, Version, Will


async def test_packets_of_64_megabytes(tmp_path: Path) -> None:
    """Announced and sent, by strangers and by known clients."""

    async with besieged(tmp_path, "64 MB packets", growth=30) as broker:

        async def attack(number: int) -> None:
            stream = await socket_to(broker.port)
            known = connect(f"big-{number}") if number % 2 else b""
            kind = b"\x30" if number % 2 else b"\x10"
            await shout(stream, known + kind + b"\x80\x80\x80\x20" + bytes(MIB - 5), 64)
            cut(stream)

        await crowd(10 * HARD, attack, at_once=10)


async def test_half_a_connect_one_byte_at_a_time(tmp_path: Path) -> None:
    data = connect("slow", will=Will("a", bytes(60_000)))
    async with besieged(tmp_path, "slowloris", growth=50) as broker, streams(broker.port, 300 * HARD) as strangers:
        for at in range(20):
            for stream in strangers:
                await shout(stream, data[at : at + 1])
        async with trio.open_nursery() as nursery:
            for stream in strangers:
                nursery.start_soon(shout, stream, data[20:50_000])
        honest = await RawClient.connected(broker.port, "late", Version.V5)
        await honest.send(PingReq())
        assert isinstance(await honest.next(), PingResp)
        honest.close()


async def test_half_a_connect_and_gone_over_and_over(tmp_path: Path) -> None:
    data = connect("fat", will=Will("a", bytes(60_000)))[:60_000]

    async with besieged(tmp_path, "half CONNECTs and gone", growth=30) as broker:

        async def attack(number: int) -> None:
            stream = await socket_to(broker.port)
            await shout(stream, data)
            cut(stream)

        await crowd(500 * HARD, attack)


async def test_half_a_publish_and_gone_over_and_over(tmp_path: Path) -> None:
    half = said(Publish("a", bytes(MIB - 100)))[: MIB - 1000]

    async with besieged(tmp_path, "half PUBLISHes and gone", growth=30) as broker:

        async def attack(number: int) -> None:
            stream = await socket_to(broker.port)
            await shout(stream, connect("fat", keep_alive=60) + half)
            cut(stream)

        await crowd(50 * HARD, attack, at_once=4)


def mutilated(chance: random.Random) -> bytes:
    """A conversation that begins well, and then not."""
    version = chance.choice(list(Version))
    more = [
        Publish("honest/not", chance.randbytes(chance.randrange(50)), 1, packet_id=7),
        Subscribe(9, [Subscription("honest/#", 1)]),
        Unsubscribe(10, ["honest/numbers"]),
        PingReq(),
    ]
    will = Will("w", b"x", 1) if chance.random() < 0.3 else None
    data = bytearray(said(Connect(version, f"g{chance.randrange(20)}", will=will), *chance.sample(more, 3), version=version))
    start = 0 if chance.random() < 0.4 else chance.randrange(10, len(data))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(start, len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 1] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                del data[at : at + chance.randrange(1, 9)]
            case _:
                data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        if start >= len(data):
            break
    return bytes(data)


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 400))


async def test_garbage(tmp_path: Path) -> None:
    """500 connections; ``SIEGE=20``: the 10,000."""
    async with besieged(tmp_path, "garbage", growth=15) as broker:
        descriptors = broker.descriptors()

        async def attack(number: int) -> None:
            chance = random.Random(number)
            make: Callable[[random.Random], bytes] = noise if number % 5 == 0 else mutilated
            stream = await socket_to(broker.port)
            try:
                await stream.send_all(make(chance))
                await stream.send_eof()
                with trio.fail_after(20):
                    await deaf(stream)
            except GONE:
                pass
            cut(stream)

        await crowd(500 * HARD, attack)
        with trio.fail_after(20):
            while broker.descriptors() > descriptors:
                await trio.sleep(0.05)


async def test_400_connections_at_256_descriptors(tmp_path: Path) -> None:
    """Half of them strangers, half of them clients; the honest pair is served, and who comes later is when there is room."""
    name = "400 connections at 256 descriptors"
    async with besieged(tmp_path, name, growth=10, descriptors=256) as broker, streams(broker.port, 400) as crowded:
        for number in range(0, 400, 2):
            await shout(crowded[number], connect(f"c{number}"))
        await trio.sleep(0.5)
        assert broker.descriptors() <= 256
        close(crowded)
        late = await RawClient.connected(broker.port, "late", Version.V5)
        await late.send(PingReq())
        assert isinstance(await late.next(), PingResp)
        late.close()


async def test_strangers_do_not_lock_others_out(tmp_path: Path) -> None:
    """300 connections that say nothing hold 256 descriptors; a client that speaks is let in while they stay."""
    name = "silent strangers at 256 descriptors"
    async with besieged(tmp_path, name, growth=10, descriptors=256) as broker, streams(broker.port, 300):
        begun = trio.current_time()
        late = await RawClient.connected(broker.port, "late", Version.V5)
        broker.notes.append(f"a client was let in after {trio.current_time() - begun:.2f} s")
        late.close()


@pytest.mark.parametrize("known", [False, True], ids=["strangers", "clients"])
async def test_a_storm_of_connections(tmp_path: Path, known: bool) -> None:
    async with besieged(tmp_path, f"storm of connections ({'clients' if known else 'strangers'})", growth=15) as broker:

        async def attack(number: int) -> None:
            stream = await socket_to(broker.port)
            if known:
                await shout(stream, connect(f"s{number}", keep_alive=60))
                await stream.receive_some(100)
            cut(stream)

        begun = trio.current_time()
        await crowd(1000 * HARD, attack)
        broker.notes.append(f"{1000 * HARD / (trio.current_time() - begun):.0f} connections per second")
