"""Output that waits for a disk, on real sockets."""

from __future__ import annotations

import trio
from brokers.ledger import Ledger, SlowLedger
from brokers.sockets import RawClient

from mqtt.broker import Config, serve
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.packets import ConnAck, Connect, PingReq, PingResp, PubAck, Publish, SubAck, Subscribe, Subscription, Version

from .conftest import Start


async def test_what_is_promised_waits_for_the_disk_and_nothing_else_does(start: Start) -> None:
    ledger = SlowLedger()
    broker = await start(journal=ledger)
    port = broker.ports[0]
    reader = await RawClient.open(port)
    await reader.send(Connect(client_id="reader", clean_start=False), Subscribe(1, [Subscription("a", 1)]))
    with trio.fail_after(10):
        while "reader" not in broker.core.clients.sessions or not broker.core.clients.sessions["reader"].subscriptions:
            await trio.sleep(0.002)
    writer, other = await RawClient.connected(port, "writer"), await RawClient.connected(port, "other")
    await other.subscribe("a")
    await writer.send(Publish("a", b"1", 1, packet_id=1), PingReq())
    assert (await other.message()).payload == b"1", "QoS 0 does not wait"
    with trio.move_on_after(0.1) as patience:
        await writer.next()
    assert patience.cancelled_caught, "PUBACK does, and what comes behind it"
    assert not ledger.disk.sessions
    ledger.go.set()
    assert await writer.next() == PubAck(1)
    assert await writer.next() == PingResp()
    assert isinstance(await reader.next(), ConnAck)
    assert isinstance(await reader.next(), SubAck)
    assert (await reader.message()).payload == b"1"
    assert [each.message.packet.payload for each in ledger.disk.sessions["reader"].deliveries] == [b"1"]
    assert ledger.commits <= 3, "what came in one round was one commit"


async def test_a_burst_on_a_journal(start: Start) -> None:
    ledger = Ledger()
    broker = await start(Limits(queued_messages=5000), journal=ledger)
    reader = await RawClient.connected(broker.ports[0], "reader", clean_start=False)
    await reader.subscribe("a", 2)
    writer = await RawClient.connected(broker.ports[0], "writer", Version.V5)
    for first in range(1, 2000, 100):
        await writer.send(*[Publish("a", b"%d" % number, 1, packet_id=number) for number in range(first, first + 100)])
        for number in range(first, first + 100):
            assert await writer.next() == PubAck(number)
    await writer.reset()
    for number in range(1, 2001):
        message = await reader.message()
        assert message.payload == b"%d" % number
        await reader.send(PubAck(message.packet_id))
    with trio.fail_after(10):
        while ledger.disk.sessions["reader"].deliveries:
            await trio.sleep(0.002)


async def test_who_publishes_too_fast_waits(start: Start) -> None:
    broker = await start(Limits(publish_rate=200.0))
    writer, other = await RawClient.connected(broker.ports[0], "w"), await RawClient.connected(broker.ports[0], "o")
    begun = trio.current_time()
    await writer.send(*[Publish("a")] * 300)
    await trio.sleep(0.02)
    await writer.send(PingReq())
    await other.send(PingReq())
    assert await other.next() == PingResp()
    assert await writer.next() == PingResp()
    assert broker.core.counters.received == 300
    assert trio.current_time() - begun > 0.4, "the first 200 may come at once"


async def test_what_is_recorded_at_the_end_is_written(start: Start) -> None:
    ledger = SlowLedger()
    async with trio.open_nursery() as life:
        broker = await life.start(serve, Config([Listener(port=0)], journal=ledger))
        reader = await RawClient.open(broker.ports[0])
        await reader.send(Connect(client_id="reader", clean_start=False))
        with trio.fail_after(10):
            while not ledger.commits:
                await trio.sleep(0.002)
        life.cancel_scope.cancel()
        ledger.go.set()
    assert list(ledger.disk.sessions) == ["reader"]
    assert ledger.written >= ledger.newest
