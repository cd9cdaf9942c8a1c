"""Clients within the program, beside clients of the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from brokers.ledger import Ledger
from brokers.sockets import RawClient

from mqtt.access import Identity
from mqtt.broker import Broker, Config, serve
from mqtt.journal import Journal, Memory
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.local import Closed, Inside, LocalBroker
from mqtt.packets import Connect, PubAck, Publish
from mqtt.topics import TopicError


@asynccontextmanager
async def running(journal: Journal | None = None, *, limits: Limits | None = None, listen: bool = True) -> AsyncIterator[Broker]:
    listeners = [Listener(port=0)] if listen else []
    async with trio.open_nursery() as nursery:
        broker: Broker = await nursery.start(serve, Config(listeners, limits or Limits(), journal=journal or Memory()))
        with trio.fail_after(20):
            yield broker
        nursery.cancel_scope.cancel()


def shown(message: Publish) -> tuple[str, bytes, int]:
    return message.topic, message.payload, message.qos


async def test_both_ways_between_a_task_and_a_client_of_the_network() -> None:
    async with running() as broker:
        network = await RawClient.connected(broker.ports[0], "network")
        await network.subscribe("down/#", 1)
        inside: LocalBroker = Inside(broker)
        async with inside.open("task") as client:
            await client.subscribe("up/#")
            await network.send(Publish("up/a", b"1", 1, packet_id=9))
            assert await network.next() == PubAck(9)
            message = await client.receive()
            assert shown(message) == ("up/a", b"1", 1)
            client.acknowledge(message)
            await client.publish("down/b", b"2", 1)
            assert (await network.message()).payload == b"2"


async def test_messages_between_tasks_without_any_listener() -> None:
    async with running(listen=False) as broker, Inside(broker).open("one") as one, Inside(broker).open("two") as two:
        await one.subscribe("a", qos=0)
        await one.subscribe("b")
        for number in range(50):
            await two.publish("ab"[number % 2], str(number).encode(), 1)
        got = [await one.receive() for _ in range(50)]
        assert [shown(each) for each in got] == [("ab"[n % 2], str(n).encode(), n % 2) for n in range(50)]


async def test_own_messages_only_when_asked_for() -> None:
    async with running(listen=False) as broker, Inside(broker).open("one") as client:
        await client.subscribe("not")
        await client.subscribe("mine", own=True)
        await client.publish("not")
        await client.publish("mine")
        assert (await client.receive()).topic == "mine"


async def test_retained_messages_come_once() -> None:
    async with running(listen=False) as broker:
        async with Inside(broker).open("other") as other:
            await other.publish("state", b"on", 1, retain=True)
        for _ in range(2):
            async with Inside(broker).open("one", keep=True) as client:
                await client.subscribe("state", "mark")
                await client.publish("mark")
                async with Inside(broker).open("other") as other:
                    await other.publish("mark")
                message = await client.receive()
                client.acknowledge(message)
                if message.topic == "state":
                    assert message.retain
                    message = await client.receive()
                    client.acknowledge(message)
                assert message.topic == "mark"


async def test_what_was_not_acknowledged_comes_again_and_in_order() -> None:
    async with running(listen=False) as broker, Inside(broker).open("other") as other:
        async with Inside(broker).open("one", keep=True) as client:
            await client.subscribe("t")
            for number in range(6):
                await other.publish("t", bytes((number,)), 1)
            taken = [await client.receive() for _ in range(4)]
            for each in taken[:2]:
                client.acknowledge(each)
        await other.publish("t", b"\6", 1)
        async with Inside(broker).open("one", keep=True) as client:
            assert client.filters == ["t"]
            assert [(await client.receive()).payload for _ in range(5)] == [b"\2", b"\3", b"\4", b"\5", b"\6"]


async def test_without_keep_nothing_stays() -> None:
    async with running(listen=False) as broker, Inside(broker).open("other") as other:
        async with Inside(broker).open("one") as client:
            await client.subscribe("t")
        await other.publish("t", b"", 1)
        async with Inside(broker).open("one") as client:
            assert client.filters == []
        assert not broker.core.clients.sessions.keys() - {"\0other"}


async def test_who_takes_nothing_costs_a_bounded_amount() -> None:
    limits = Limits(queued_messages=10, output=100_000)
    async with (
        running(listen=False, limits=limits) as broker,
        Inside(broker).open("fast") as fast,
        Inside(broker).open("slow", inbox=5) as slow,
    ):
        await slow.subscribe("one")
        await slow.subscribe("nought", qos=0)
        for _ in range(20):
            await fast.publish("one", b"x", 1)
        for _ in range(400):
            await fast.publish("nought", bytes(1000))
        dropped = broker.core.counters.dropped
        assert dropped["queue full"] == 5
        assert 0 < 400 - dropped["slow client"] < 100_000 / 1000
        for _ in range(5 + (400 - dropped["slow client"])):
            slow.acknowledge(await slow.receive())
        # There is room again.
        await fast.publish("nought", b"last")
        while (await slow.receive()).payload != b"last":
            pass


async def test_what_is_put_into_an_inbox_reaches_only_this_client() -> None:
    limits = Limits(queued_messages=1)
    async with (
        running(listen=False, limits=limits) as broker,
        Inside(broker).open("one", inbox=1) as one,
        Inside(broker).open("two") as two,
    ):
        await two.subscribe("t")
        await one.kept(one.put("t", b"1"))
        one.put("t", b"2")
        one.put("t", b"3")
        assert broker.core.counters.dropped["queue full"] == 1
        assert (await one.receive()).payload == b"1"
        one.put("t", b"0", qos=0)
        one.rewind()
        assert (await one.receive()).payload == b"0"
        message = await one.receive()
        assert message.payload == b"1"
        one.acknowledge(message)
        assert (await one.receive()).payload == b"2"
        with trio.move_on_after(0.05) as scope:
            await two.receive()
        assert scope.cancelled_caught


class Slow(Ledger):
    """A disk that writes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = trio.Event()

    async def commit(self) -> None:
        await self.go.wait()
        self.commit_now()


async def test_a_publish_returns_when_it_is_on_disk_for_those_who_are_away() -> None:
    journal = Slow()
    journal.go.set()
    async with running(journal, listen=False) as broker, Inside(broker).open("other") as other:
        async with Inside(broker).open("one", keep=True) as client:
            await client.subscribe("t")
        journal.go = trio.Event()
        done = trio.Event()

        async def publish() -> None:
            await other.publish("t", b"kept", 1)
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            await trio.testing.wait_all_tasks_blocked()
            assert not done.is_set()
            journal.go.set()
    assert [each.message.packet.payload for each in journal.disk.sessions["\0one"].deliveries] == [b"kept"]


async def test_a_kept_client_is_there_after_a_restart() -> None:
    journal = Ledger()
    async with (
        running(journal, listen=False) as broker,
        Inside(broker).open("other") as other,
        Inside(broker).open("one", keep=True) as client,
    ):
        await client.subscribe("t")
        await other.publish("t", b"first", 1)
        await other.publish("t", b"second", 1)
        client.acknowledge(await client.receive())
        await broker.recorded(journal.newest)
    again = Ledger(journal.disk)
    async with running(again, listen=False) as broker:
        broker.core.restore(again.saved(), [], trio.current_time())
        async with Inside(broker).open("one", keep=True) as client:
            assert client.filters == ["t"]
            assert (await client.receive()).payload == b"second"


async def test_a_second_one_of_the_name_replaces_the_first() -> None:
    async with running(listen=False) as broker, Inside(broker).open("one") as first, Inside(broker).open("one") as second:
        with pytest.raises(Closed):
            await first.receive()
        with pytest.raises(Closed):
            await first.publish("t")
        await second.publish("t")


async def test_when_the_broker_ends_its_clients_hear_of_it() -> None:
    async with trio.open_nursery() as nursery:
        broker: Broker = await nursery.start(serve, Config([]))
        opened = Inside(broker).open("one", keep=True)
        client = await opened.__aenter__()
        nursery.cancel_scope.cancel()
    with trio.fail_after(5), pytest.raises(Closed):
        await client.receive()
    await opened.__aexit__(None, None, None)


async def test_wrong_topics_are_refused() -> None:
    async with running(listen=False) as broker, Inside(broker).open("one") as client:
        for wrong in ("", "a/+", "a\0b", "/".join("x" * 40)):
            with pytest.raises(TopicError):
                await client.publish(wrong)
        with pytest.raises(TopicError):
            await client.subscribe("good", "#/bad")
        assert client.filters == ["good"]


class Nothing:
    """Forbids everything."""

    reads_are_free = False

    def may_publish(self, identity: Identity, topic: str) -> bool:
        return False

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        return False

    def may_receive(self, identity: Identity, topic: str) -> bool:
        return False


async def test_access_rules_are_for_others() -> None:
    async with trio.open_nursery() as nursery:
        broker: Broker = await nursery.start(serve, Config([], authorizer=Nothing()))
        with trio.fail_after(5):
            async with Inside(broker).open("one") as one, Inside(broker).open("two") as two:
                await one.subscribe("t")
                await two.publish("t", b"x", 1)
                assert (await one.receive()).payload == b"x"
        nursery.cancel_scope.cancel()


async def test_clients_of_the_network_come_when_they_are_let_in() -> None:
    async with trio.open_nursery() as nursery:
        broker: Broker = await nursery.start(serve, Config([Listener(port=0)], hold=True))
        with trio.fail_after(20):
            early = await RawClient.open(broker.ports[0])
            await early.send(Connect(early.version, "early"), Publish("t", b"first", 1, packet_id=1))
            async with Inside(broker).open("one") as client:
                await trio.testing.wait_all_tasks_blocked(0.02)
                assert not broker.core.counters.connections
                await client.subscribe("t")
                broker.let_in.set()
                assert (await client.receive()).payload == b"first"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("limits", [Limits(queued_messages=1), Limits(waiting_bytes=600)], ids=["own", "all"])
async def test_a_full_inbox_is_waited_for(limits: Limits) -> None:
    async with running(listen=False, limits=limits) as broker:
        async with Inside(broker).open("one", inbox=1) as one, trio.open_nursery() as nursery:
            one.put("t", b"1")
            one.put("t", b"2")
            put = trio.Event()

            async def more() -> None:
                await one.room("t", b"3")
                one.put("t", b"3")
                put.set()

            nursery.start_soon(more)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not put.is_set()
            for number in (b"1", b"2", b"3"):
                message = await one.receive()
                assert message.payload == number
                one.acknowledge(message)
            await put.wait()
        assert not broker.core.counters.dropped
