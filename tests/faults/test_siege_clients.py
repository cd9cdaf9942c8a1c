"""Clients that are let in and then are slow, greedy, or gone, at a real broker. ``SIEGE=5``: five times as hard."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import trio
from brokers.hostile import connect, crowd, cut, deaf, said, shout, socket_to, streams
from brokers.siege import HARD, MIB, besieged
from brokers.sockets import RawClient
from faults.proxy import proxy

from mqtt.packets import PingReq, PingResp, PubAck, Publish, SubAck, Subscribe, Subscription, Version, Will


async def test_subscribers_that_read_nothing(tmp_path: Path) -> None:
    """At QoS 0 and 1; 60 MB for each of them."""
    async with besieged(tmp_path, "slow consumers", growth=60) as broker, streams(broker.port, 4, 4096) as slow:
        for number, stream in enumerate(slow):
            await shout(stream, connect(f"slow-{number}") + said(Subscribe(1, [Subscription("flood", number % 2)])))
        writer = await RawClient.connected(broker.port, "flood", Version.V5)
        for number in range(300 * HARD):
            await writer.send(*[Publish("flood", bytes(20_000), 1, packet_id=1 + each) for each in range(10)])
            for _ in range(10):
                assert isinstance(await writer.next(), PubAck), number
        writer.close()


async def test_large_messages_that_nobody_acknowledges(tmp_path: Path) -> None:
    async with (
        besieged(tmp_path, "megabytes in flight", growth=200) as broker,
        streams(broker.port, 3) as greedy,
        trio.open_nursery() as nursery,
    ):
        for number, stream in enumerate(greedy):
            await shout(stream, connect(f"greedy-{number}") + said(Subscribe(1, [Subscription(f"large/{number}", 1)])))
            nursery.start_soon(deaf, stream)
        writer = await RawClient.connected(broker.port, "flood", Version.V5)
        for number in range(60 * HARD):
            for each in range(3):
                await writer.send(Publish(f"large/{each}", bytes(MIB - 100), 1, packet_id=1))
                assert isinstance(await writer.next(), PubAck), number
        broker.notes.append(f"PSS while they hold it +{broker.memory() - broker.before:.0f}")
        nursery.cancel_scope.cancel()
        writer.close()


async def test_floods(tmp_path: Path) -> None:
    """As fast as four can: to nobody, to each other, and with every answer ignored."""
    async with besieged(tmp_path, "floods", growth=20) as broker, trio.open_nursery() as nursery:
        silent = said(*[Publish("nobody", b"x" * 20)] * 2000)
        spoken = said(*[Publish("each/other", b"x" * 20)] * 500)
        asked = said(*[PingReq()] * 20_000)
        for number, data in enumerate([silent, spoken, spoken, asked]):
            stream = await socket_to(broker.port)
            await shout(stream, connect(f"flood-{number}") + said(Subscribe(1, [Subscription("each/+", 0)])))
            nursery.start_soon(shout, stream, data, 1_000_000)
            if number < 3:
                nursery.start_soon(deaf, stream)
        await trio.sleep(1.0 * HARD)
        nursery.cancel_scope.cancel()


async def test_topics_that_are_deep_and_many(tmp_path: Path) -> None:
    async with besieged(tmp_path, "topic bombs", growth=40) as broker:
        stream = await socket_to(broker.port)
        await shout(stream, connect("deep") + said(Publish("/" * 60_000)))
        await deaf(stream)
        reader = await RawClient.connected(broker.port, "reader", Version.V5)
        for version in (Version.V5, Version.V311):
            writer = await RawClient.connected(broker.port, f"many-{version}", version)
            for first in range(0, 20_000 * HARD, 100):
                await writer.send(*[Publish("/".join([str(first + each)] * 16) + "/" + "x" * 900) for each in range(100)])
            await writer.send(PingReq())
            assert isinstance(await writer.next(within=50), PingResp)
            writer.close()
        reader.close()


async def test_subscriptions_that_are_deep_and_many(tmp_path: Path) -> None:
    """Ten clients with a thousand filters of 32 levels each, and one packet with ten thousand."""
    async with besieged(tmp_path, "subscription bombs", growth=20 + 4 * 10 * HARD) as broker:

        async def attack(number: int) -> None:
            client = await RawClient.connected(broker.port, f"bomb-{number}", Version.V5)
            filters = [Subscription("/".join([f"{number}.{each}"] * 31) + "/#") for each in range(1000)]
            for first in range(0, 1000, 100):
                await client.send(Subscribe(1, filters[first : first + 100]))
            await client.send(Subscribe(2, [Subscription(f"more/{each}") for each in range(10_000)]))
            for _ in range(11):
                assert isinstance(await client.next(), SubAck)
            held.append(client)

        held: list[RawClient] = []
        await crowd(10 * HARD, attack, at_once=4)
        broker.notes.append(f"PSS while they stay +{broker.memory() - broker.before:.0f}")
        for client in held:
            client.close()


async def test_filters_that_fit_a_thousand_ways(tmp_path: Path) -> None:
    """Every topic is new and every message goes through all filters: what is dear to match."""
    async with besieged(tmp_path, "a thousand fitting filters", growth=20) as broker:
        client = await RawClient.connected(broker.port, "ways", Version.V5)
        ways = ["/".join(way) + "/#" for way in itertools.product("a+", repeat=10)][:1000]
        await client.send(Subscribe(1, [Subscription(way) for way in ways]))
        assert isinstance(await client.next(), SubAck)
        writer = await RawClient.connected(broker.port, "writer", Version.V5)
        await writer.send(*[Publish("/".join("a" * 10) + f"/{number}") for number in range(2000 * HARD)], PingReq())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deaf, client.stream)
            assert isinstance(await writer.next(within=50), PingResp)
            nursery.cancel_scope.cancel()


async def test_small_messages_to_many(tmp_path: Path) -> None:
    """64 KB of them are 9,000 messages, and 300 times as many deliveries."""
    async with (
        besieged(tmp_path, "fan-out to 300 by small packets", growth=20) as broker,
        streams(broker.port, 300) as readers,
        trio.open_nursery() as nursery,
    ):
        for number, stream in enumerate(readers):
            await shout(stream, connect(f"reader-{number}") + said(Subscribe(1, [Subscription("a", 0)])))
            nursery.start_soon(deaf, stream)
        writer = await RawClient.connected(broker.port, "writer")
        await writer.send(*[Publish("a", b"x")] * (3000 * HARD), PingReq())
        assert isinstance(await writer.next(within=50), PingResp)
        nursery.cancel_scope.cancel()


async def test_retained_messages_that_are_deep_and_many(tmp_path: Path) -> None:
    async with besieged(tmp_path, "retained bombs", growth=130) as broker:
        writer = await RawClient.connected(broker.port, "writer")
        for first in range(0, 10_000 * HARD, 100):
            topics = ["/".join([f"{first + each}"] * 32) for each in range(100)]
            await writer.send(*[Publish(topic, b"x", retain=True) for topic in topics])
        await writer.send(PingReq())
        assert isinstance(await writer.next(within=50), PingResp)
        broker.notes.append(f"PSS while they stay +{broker.memory() - broker.before:.0f}")
        writer.close()


async def test_all_that_is_retained_over_and_over(tmp_path: Path) -> None:
    """Each small SUBSCRIBE asks for everything again."""
    async with besieged(tmp_path, "retained over and over", growth=20) as broker:
        writer = await RawClient.connected(broker.port, "writer")
        for first in range(0, 2000, 100):
            await writer.send(*[Publish(f"r/{first + each}", b"x", retain=True) for each in range(100)])
        for version in (Version.V311, Version.V5):
            stream = await socket_to(broker.port)
            again = said(*[Subscribe(1, [Subscription("r/#", qos)]) for qos in range(3)] * 100 * HARD, version=version)
            await shout(stream, connect(f"again-{version}", version) + again)
        await writer.send(PingReq())
        assert isinstance(await writer.next(within=50), PingResp)


async def test_user_properties_that_weigh_more_than_the_message(tmp_path: Path) -> None:
    async with besieged(tmp_path, "user properties", growth=80) as broker:
        away = await RawClient.connected(broker.port, "away", Version.V5, properties={"session_expiry": 100})
        await away.subscribe("heavy/#", 1)
        away.close()
        writer = await RawClient.connected(broker.port, "writer", Version.V5)
        for number in range(40 * HARD):
            heavy = {"user_properties": [(f"{number} {each}", "v") for each in range(5000)]}
            await writer.send(Publish(f"heavy/{number}", b"", 1, retain=True, packet_id=1, properties=heavy))
            assert isinstance(await writer.next(), PubAck)
        writer.close()


async def test_sessions_that_wait(tmp_path: Path) -> None:
    """Everyone who was here once wants everything."""
    async with besieged(tmp_path, "waiting sessions", growth=30 + 10 * HARD) as broker:

        async def attack(number: int) -> None:
            client = await RawClient.connected(broker.port, f"away-{number}", Version.V5, properties={"session_expiry": 1000})
            await client.subscribe("w/#", 1)
            cut(client.stream)  # type: ignore[arg-type]

        await crowd(100 * HARD, attack)
        writer = await RawClient.connected(broker.port, "writer")
        for number in range(1100):
            await writer.send(Publish(f"w/{number}", bytes(5000), 1, packet_id=1))
            assert isinstance(await writer.next(), PubAck)
        writer.close()


async def test_wills_of_all_at_once(tmp_path: Path) -> None:
    async with besieged(tmp_path, "will storm", growth=10 + 10 * HARD) as broker:
        reader = await RawClient.connected(broker.port, "reader", Version.V5)
        await reader.subscribe("w/#", 1)
        size = 300 * HARD
        async with streams(broker.port, size) as mortals:
            for number, stream in enumerate(mortals):
                await shout(stream, connect(f"m{number}", will=Will(f"w/{number}", bytes(10_000), 1)))
                await stream.receive_some(100)
        seen = set()
        while len(seen) < size:
            message = await reader.message()
            seen.add(message.topic)
            await reader.send(PubAck(message.packet_id))
        reader.close()


async def test_twenty_fight_for_one_name(tmp_path: Path) -> None:
    async with besieged(tmp_path, "take-over storm", growth=15) as broker:
        descriptors = broker.descriptors()
        count = itertools.count()

        async def fight() -> None:
            while True:
                stream = await socket_to(broker.port)
                more = {"session_expiry": 100} if next(count) % 2 else {}
                await shout(stream, connect("one", clean_start=False, properties=more, will=Will("lost", b"x")))
                await stream.receive_some(100)
                if next(count) % 3:
                    await deaf(stream)
                cut(stream)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(fight)
            await trio.sleep(1.0 * HARD)
            broker.notes.append(f"{next(count) // 2} connections, {broker.descriptors() - descriptors} descriptors")
            nursery.cancel_scope.cancel()


async def test_half_open_links(tmp_path: Path) -> None:
    """The network takes everything and passes nothing on: it ends by the keep-alive, the wills are published."""
    async with besieged(tmp_path, "half-open links", growth=10) as broker:
        watcher = await RawClient.connected(broker.port, "watcher")
        await watcher.subscribe("gone/#")
        with proxy(broker.port) as road:
            size = 20 * HARD
            lost = [
                await RawClient.connected(road.port, f"lost-{number}", keep_alive=1, will=Will(f"gone/{number}", b""))
                for number in range(size)
            ]
            road.stalled = True
            seen = {(await watcher.message()).topic for _ in lost}
            assert len(seen) == size
            for client in lost:
                client.close()
        watcher.close()


async def test_the_machine_sleeps(tmp_path: Path) -> None:
    """The broker stands still for longer than the keep-alive of clients whose pings have come meanwhile: they stay."""
    async with besieged(tmp_path, "the machine sleeps", growth=10) as broker:
        clients = [await RawClient.connected(broker.port, f"c{number}", keep_alive=1) for number in range(20)]
        os.kill(broker.program.pid, signal.SIGSTOP)
        for client in clients:
            await client.send(PingReq())
        await trio.sleep(2)
        os.kill(broker.program.pid, signal.SIGCONT)
        for client in clients:
            assert isinstance(await client.next(), PingResp)
            client.close()
