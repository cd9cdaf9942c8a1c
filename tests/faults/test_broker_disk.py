"""The broker as a process with sessions on a disk: killed with many queues, on a disk that takes nothing any more, on a damaged
file, on the folder of another."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from brokers.keeper import Keeper
from brokers.process import BrokerProcess
from brokers.sockets import RawClient

from mqtt.durable import FILE
from mqtt.packets import ConnAck, Connect, Disconnect, PingReq, PingResp, PubAck, PubComp, Publish, PubRec, PubRel, Version, Will
from mqtt.reasons import Reason

SESSIONS = 100
EACH = 30


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[BrokerProcess]:
    process = BrokerProcess(tmp_path)
    process.start()
    yield process
    process.kill()
    while RawClient.opened:
        RawClient.opened.pop().close()


def again(broker: BrokerProcess) -> None:
    broker.kill()
    broker.start()


async def published(writer: RawClient, first: int, last: int, topic: str = "a") -> None:
    """At QoS 1, each acknowledged."""
    packets = [Publish(topic, b"%d" % number, 1, packet_id=number) for number in range(first, last + 1)]
    await writer.send(*packets)
    for packet in packets:
        assert await writer.next() == PubAck(packet.packet_id)


async def test_100_sessions_with_queues_survive_a_kill(broker: BrokerProcess) -> None:
    """Some are connected and have not answered, some are away; each gets all, in order, and at QoS 2 once."""
    await broker.listening()
    chance = random.Random(5)
    keepers = [Keeper(f"k{number}", Version.V5 if number % 2 else Version.V311, chance) for number in range(SESSIONS)]
    for keeper in keepers:
        await keeper.connect(broker.port)
        await keeper.subscribe(("all/#", 2))
    for keeper in keepers[: SESSIONS // 2]:
        keeper.reset()
    writer = Keeper("writer", Version.V311, chance)
    await writer.connect(broker.port)
    for number in range(EACH):
        await writer.publish(f"all/{number}", b"%d" % number, 1 + number % 2)
    while not writer.settled:
        await writer.listen(5.0)
    again(broker)
    await broker.listening()
    for keeper in keepers:
        await keeper.take_over(broker.port)
        await keeper.finish()
        assert keeper.got == [b"%d" % number for number in range(EACH)], keeper.name
    again(broker)
    await broker.listening()
    for keeper in keepers:
        # What was settled in the last moment may not have been on disk: an answer, or a message at QoS 1, comes again.
        await keeper.take_over(broker.port)
        await keeper.finish()
        assert all(int(again) % 2 == 0 for again in keeper.got[EACH:])
        keeper.reset()
    writer.reset()
    assert "set aside" not in broker.log.read_text()


async def test_a_burst_and_the_publisher_and_the_broker_are_gone(broker: BrokerProcess) -> None:
    await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    await reader.subscribe("a", 1)
    await reader.reset()
    writer = await RawClient.connected(broker.port, "writer")
    await published(writer, 1, 900)
    await writer.reset()
    again(broker)
    await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    for number in range(1, 901):
        message = await reader.message()
        assert message.payload == b"%d" % number
        await reader.send(PubAck(message.packet_id))


async def test_answers_that_come_after_the_broker_was_killed(broker: BrokerProcess) -> None:
    """What was in flight comes again under its identifiers; the answers of before count then."""
    await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    await reader.subscribe("a", 2)
    writer = await RawClient.connected(broker.port, "writer", clean_start=False)
    for number in range(1, 7):
        await writer.send(Publish("a", b"%d" % number, 2, packet_id=number))
        assert await writer.next() == PubRec(number)
    sent = [await reader.message() for _ in range(6)]
    for message in sent[:2]:
        await reader.send(PubRec(message.packet_id))
        assert await reader.next() == PubRel(message.packet_id)
    again(broker)
    await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    come = [await reader.next() for _ in range(6)]
    assert come[:2] == [PubRel(message.packet_id) for message in sent[:2]]
    assert [(each.packet_id, each.payload, each.dup) for each in come[2:] if isinstance(each, Publish)] == [
        (message.packet_id, message.payload, True) for message in sent[2:]
    ]
    for message in sent:
        await reader.send(PubRec(message.packet_id))
        assert await reader.next() == PubRel(message.packet_id)
        await reader.send(PubComp(message.packet_id))
    writer = await RawClient.connected(broker.port, "writer", clean_start=False)
    for number in range(1, 7):
        await writer.send(Publish("a", b"%d" % number, 2, dup=True, packet_id=number), PubRel(number))
        assert [await writer.next(), await writer.next()] == [PubRec(number), PubComp(number)]
    await reader.send(PingReq())
    assert await reader.next() == PingResp()


async def test_wills_of_who_was_connected_when_the_broker_was_killed(broker: BrokerProcess) -> None:
    await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    await reader.subscribe("wills/#", 1)
    await reader.reset()
    for number in range(3):
        await RawClient.connected(broker.port, f"c{number}", will=Will(f"wills/{number}", b"gone", 1))
    leaver = await RawClient.connected(broker.port, "leaver", will=Will("wills/leaver", b"gone", 1))
    await leaver.send(Disconnect())
    assert await leaver.next() is None
    # Something that is on disk with all before it.
    await published(await RawClient.connected(broker.port, "writer"), 1, 1, "wills/none")
    for _ in range(2):
        again(broker)
        await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    come = [await reader.message() for _ in range(4)]
    assert [each.topic for each in come] == ["wills/none", "wills/0", "wills/1", "wills/2"]
    await reader.send(PingReq())
    assert await reader.next() == PingResp()


def limit_files(broker: BrokerProcess, size: int) -> None:
    """The process can make no file larger than this: for SQLite, a disk that is full."""
    hard = resource.prlimit(broker.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(broker.pid, resource.RLIMIT_FSIZE, (size, hard))


async def test_a_disk_that_takes_nothing_any_more(broker: BrokerProcess) -> None:
    await broker.listening()
    stays = await RawClient.connected(broker.port, "stays", clean_start=False)
    await stays.subscribe("a", 1)
    passing = await RawClient.connected(broker.port, "passing")
    await passing.subscribe("b", 1)
    writer, other = await RawClient.connected(broker.port, "writer"), await RawClient.connected(broker.port, "other", Version.V5)
    await published(writer, 1, 10)
    for _ in range(10):
        await stays.send(PubAck((await stays.message()).packet_id))
    await stays.send(PingReq())
    assert await stays.next() == PingResp()
    await trio.sleep(0.1)
    wal = broker.folder / "data" / f"{FILE}-wal"
    limit_files(broker, wal.stat().st_size)
    await writer.send(Publish("a", b"held", 1, packet_id=11))
    assert (await stays.message()).payload == b"held", "it is delivered all the same"
    with trio.fail_after(10):
        while "are not acknowledged until that is mended" not in broker.log.read_text():
            await trio.sleep(0.01)
    with trio.move_on_after(0.3) as patience:
        await writer.next()
    assert patience.cancelled_caught, "nothing is promised"
    # Who needs no disk notices nothing.
    await published(other, 1, 50, "b")
    assert [(await passing.message()).payload for _ in range(50)] == [b"%d" % number for number in range(1, 51)]
    refused = await RawClient.open(broker.port, Version.V5)
    answer = await refused.connect("new", clean_start=False, properties={"session_expiry": 60})
    assert answer.reason is Reason.SERVER_UNAVAILABLE
    limit_files(broker, resource.RLIM_INFINITY)
    with trio.fail_after(20):
        assert await writer.next() == PubAck(11)
    said = broker.log.read_text()
    assert re.search(r"ERROR.*cannot write to .*mqtt\.db: (database or disk is full|disk I/O error)", said), said
    assert "can be written to again" in said
    await published(writer, 12, 20)
    again(broker)
    await broker.listening()
    stays = await RawClient.connected(broker.port, "stays", clean_start=False)
    assert [(await stays.message()).payload for _ in range(10)] == [b"held", *[b"%d" % number for number in range(12, 21)]]


async def test_a_flood_onto_a_full_disk_is_held_and_others_are_served(broker: BrokerProcess) -> None:
    await broker.listening()
    stays = await RawClient.connected(broker.port, "stays", clean_start=False)
    await stays.subscribe("a", 1)
    await stays.reset()
    writer, other = await RawClient.connected(broker.port, "writer"), await RawClient.connected(broker.port, "other")
    limit_files(broker, (broker.folder / "data" / f"{FILE}-wal").stat().st_size)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            # Retained ones, so that each is a record.
            await writer.send(*[Publish(f"r/{number}", bytes(500), 1, True, packet_id=number + 1) for number in range(500)])
            sent += 500

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        with trio.fail_after(30):
            before = -1
            while sent != before or not sent:
                before = sent
                await trio.sleep(0.5)
        for _ in range(100):
            await other.send(PingReq())
            assert await other.next() == PingResp()
        nursery.cancel_scope.cancel()
    resident = int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{broker.pid}/status").read_text())[0])
    assert resident < 120_000
    limit_files(broker, resource.RLIM_INFINITY)
    with trio.fail_after(20):
        assert await writer.next() == PubAck(1)


async def test_a_damaged_file_begins_anew(broker: BrokerProcess) -> None:
    await broker.listening()
    reader = await RawClient.connected(broker.port, "reader", clean_start=False)
    await reader.subscribe("a", 1)
    broker.kill(signal.SIGTERM)
    path = broker.folder / "data" / FILE
    path.write_bytes(os.urandom(path.stat().st_size))
    broker.start()
    await broker.listening()
    reader = await RawClient.open(broker.port)
    await reader.send(Connect(client_id="reader", clean_start=False))
    assert await reader.next() == ConnAck(session_present=False)
    assert re.search(r"ERROR.*mqtt\.db is damaged: .* It was kept as .*mqtt\.db\.corrupt-", broker.log.read_text())
    assert len(list((broker.folder / "data").glob("*.corrupt-*"))) == 1


async def test_the_folder_of_a_running_broker(broker: BrokerProcess) -> None:
    await broker.listening()
    second = BrokerProcess(broker.folder)
    second.log = broker.folder / "second"
    second.start()
    with trio.fail_after(30):
        code = await trio.to_thread.run_sync(second.wait)
    assert code == 1
    said = second.log.read_text()
    assert "Traceback" not in said
    assert "mqtt.db is in use by another process: does another broker run on this folder?" in said
