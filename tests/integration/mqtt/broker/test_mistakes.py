"""Mistakes of ours, on real sockets: each costs one connection. A journal that makes one ends the broker."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from brokers.ledger import Ledger
from brokers.sockets import RawClient

from mqtt.access import Anything, Identity, Peer
from mqtt.broker import Broker, Config, serve
from mqtt.journal import JournalError
from mqtt.limits import Limits
from mqtt.link import Link
from mqtt.listeners import Door, Listener
from mqtt.packets import Connect, PingReq, PingResp, PubAck, Publish, Version, Will
from mqtt.session import Delivery, Session

from .conftest import Start

INTERNAL = "internal error"


class Mistaken(Anything):
    """Raises for one topic, whoever publishes or gets it."""

    reads_are_free = False
    topic = "bad"

    def may_publish(self, identity: Identity, topic: str) -> bool:
        return self.may_receive(identity, topic)

    def may_receive(self, identity: Identity, topic: str) -> bool:
        if topic == self.topic:
            raise RuntimeError("a mistake")
        return True


async def lives(client: RawClient) -> None:
    await client.send(PingReq())
    assert await client.next() == PingResp()


async def until_lost(broker: Broker, left: int) -> None:
    with trio.fail_after(10):
        while len(broker.core.links) > left:
            await trio.sleep(0.002)


async def test_it_costs_the_connection_and_the_session_stays(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    broker = await start(authorizer=Mistaken(), sys_interval=0)
    port = broker.ports[0]
    reader = await RawClient.connected(port, "reader")
    await reader.subscribe("#", 1)
    for again in (False, True):
        writer = await RawClient.open(port)
        assert (await writer.connect("writer", clean_start=False)).session_present is again
        await writer.subscribe("mine", 1)
        await writer.send(Publish("good", b"1", 1, packet_id=1), Publish("bad", b"2", 1, packet_id=2))
        assert await writer.next() is None
        assert (await reader.message()).payload == b"1"
    await reader.send(Publish("mine", b"3", 1, packet_id=1), PingReq())
    while not isinstance(await reader.next(), PingResp):
        pass
    writer = await RawClient.connected(port, "writer", clean_start=False)
    assert (await writer.message()).payload == b"3"
    assert broker.core.counters.closed[INTERNAL] == 2
    assert set(broker.core.clients.sessions) == {"reader", "writer"}
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None, "with its traceback, and only once"


async def test_in_what_was_left_for_later(start: Start) -> None:
    broker = await start(authorizer=Mistaken(), sys_interval=0)
    other = await RawClient.connected(broker.ports[0], "other")
    writer = await RawClient.connected(broker.ports[0], "writer")
    broker.core.hurry = lambda: True
    await writer.send(*[Publish("good")] * 200, Publish("bad"))
    assert await writer.next() is None
    await lives(other)
    assert broker.core.counters.received >= 200


async def test_in_a_will(start: Start) -> None:
    broker = await start(authorizer=Mistaken(), sys_interval=0)
    other = await RawClient.connected(broker.ports[0], "other")
    await (await RawClient.connected(broker.ports[0], "c", will=Will("bad", b"gone"))).reset()
    await until_lost(broker, 1)
    await lives(other)
    assert set(broker.core.clients.sessions) == {"other"}
    assert [door.connections for door in broker.doors.values()] == [1]
    delayed = Will("bad", b"gone", properties={"will_delay": 1})
    properties: Any = {"session_expiry": 1}
    await (await RawClient.connected(broker.ports[0], "d", Version.V5, will=delayed, properties=properties)).reset()
    with trio.fail_after(10):
        while set(broker.core.clients.sessions) != {"other"} or broker.core.counters.closed[INTERNAL] < 2:
            await trio.sleep(0.01)
    await lives(other)


async def test_in_what_the_broker_says_itself(start: Start) -> None:
    mistaken = Mistaken()
    broker = await start(authorizer=mistaken, sys_interval=0.05)
    client = await RawClient.connected(broker.ports[0], "c")
    await client.subscribe("$SYS/broker/uptime")
    await client.message()
    mistaken.topic = "$SYS/broker/uptime"
    with trio.fail_after(10):
        while not broker.core.counters.closed[INTERNAL]:
            await trio.sleep(0.01)
    await lives(await RawClient.connected(broker.ports[0], "other"))


async def test_in_the_answer_to_a_connect(start: Start) -> None:
    class Nonsense:
        async def authenticate(self, connect: Connect, peer: Peer) -> Any:
            return Identity(connect.client_id) if connect.client_id != "bad" else "yes"

    broker = await start(authenticator=Nonsense())
    other = await RawClient.connected(broker.ports[0], "other")
    bad = await RawClient.open(broker.ports[0])
    await bad.send(Connect(client_id="bad"))
    assert await bad.next() is None
    await lives(other)
    assert broker.core.counters.closed[INTERNAL] == 1


async def test_in_the_upgrade_to_websocket(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = await start(listeners=[Listener(port=0), Listener(port=0, websocket=True)])
    other = await RawClient.connected(broker.ports[0], "other")

    def mistake(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("mqtt.upgrade.Upgrade.feed", mistake)
    bad = await RawClient.open(broker.ports[1])
    await bad.stream.send_all(b"GET / HTTP/1.1\r\n")
    assert await bad.next() is None
    await lives(other)
    assert not broker.core.strangers


async def test_where_connections_are_accepted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = await start()
    other = await RawClient.connected(broker.ports[0], "other")

    def mistake(*_: object) -> None:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(Door, "wrap", mistake)
        bad = await RawClient.open(broker.ports[0])
        assert await bad.next() is None
    assert [door.connections for door in broker.doors.values()] == [1]
    assert len(broker.core.links) == 1
    await lives(other)
    await lives(await RawClient.connected(broker.ports[0], "next"))


class Broken(Ledger):
    """Raises in one of its methods, once it is told to."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method
        self.calls = 0
        self.closed = False
        self.broken = False

    def queued(self, *arguments: Any) -> None:
        self._mistake("queued")
        super().queued(*arguments)

    async def commit(self) -> None:
        if self.broken:
            self.calls += 1
        self._mistake("commit")
        await super().commit()

    def _mistake(self, method: str) -> None:
        if self.broken and method == self._method:
            raise RuntimeError("a mistake")

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("method", ["queued", "commit"])
async def test_a_journal_that_makes_one_ends_the_broker_and_nothing_is_acknowledged(method: str) -> None:
    journal = Broken(method)
    expected = JournalError if method == "queued" else RuntimeError
    got: list[object] = []
    with pytest.RaisesGroup(expected, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            config = Config([Listener(port=0)], Limits(), journal=journal)
            broker: Broker = await nursery.start(serve, config)
            reader = await RawClient.connected(broker.ports[0], "reader", clean_start=False)
            await reader.subscribe("a", 1)
            writer = await RawClient.connected(broker.ports[0], "writer")
            journal.broken = True
            await writer.send(Publish("a", b"1", 1, packet_id=1))
            with trio.CancelScope(shield=True):
                got.append(await writer.next())
    assert got == [None]
    assert journal.closed
    if method == "queued":
        assert journal.calls == 0, "what it may have written halfway is not written"
    while RawClient.opened:
        RawClient.opened.pop().close()


async def test_a_will_that_cannot_be_published_does_not_keep_the_broker_from_starting(start: Start) -> None:
    ledger = Ledger()
    ledger.will("c", None, Will("bad", b"gone", 1))
    ledger.commit_now()
    broker = await start(authorizer=Mistaken(), journal=ledger)
    await lives(await RawClient.connected(broker.ports[0], "c"))
    assert broker.core.counters.closed[INTERNAL] >= 1
    with trio.fail_after(10):
        while ledger.disk.wills:
            await trio.sleep(0.01)


async def test_in_a_delivery_costs_who_gets_it_and_only_that_message(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    broker = await start(journal=ledger)
    port = broker.ports[0]
    transmit = Session._transmit

    def mistake(session: Session, link: Link, packet_id: int, delivery: Delivery, *more: Any) -> bool:
        if session.client_id == "victim" and delivery.message.packet.payload == b"bad":
            raise RuntimeError("a mistake")
        return transmit(session, link, packet_id, delivery, *more)

    monkeypatch.setattr(Session, "_transmit", mistake)
    victim = await RawClient.connected(port, "victim", clean_start=False)
    other, writer = await RawClient.connected(port, "other"), await RawClient.connected(port, "writer")
    for each in (victim, other):
        await each.subscribe("a", 1)
    await writer.send(Publish("a", b"bad", 1, packet_id=1), Publish("a", b"good", 1, packet_id=2))
    assert [await writer.next(), await writer.next()] == [PubAck(1), PubAck(2)]
    assert [(await other.message()).payload, (await other.message()).payload] == [b"bad", b"good"]
    assert await lost_after(victim) in ([], [b"good"])
    victim = await RawClient.connected(port, "victim", clean_start=False)
    assert (await victim.message()).payload == b"good"
    with trio.fail_after(10):
        while [each.message.packet.payload for each in ledger.disk.sessions["victim"].deliveries] != [b"good"]:
            await trio.sleep(0.01)
    assert broker.core.counters.dropped[INTERNAL] == broker.core.counters.closed[INTERNAL] == 1


async def lost_after(client: RawClient) -> list[bytes]:
    """The messages that still came until the broker had closed."""
    got = []
    while (packet := await client.next()) is not None:
        assert isinstance(packet, Publish)
        got.append(packet.payload)
    return got
