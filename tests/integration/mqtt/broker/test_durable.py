"""The journal in SQLite: what is there again when a broker starts on the same folder."""

from __future__ import annotations

from pathlib import Path

import trio
from brokers.sockets import RawClient
from trio.testing import MockClock

from mqtt.broker import Broker, Config, serve
from mqtt.commits import SOON
from mqtt.durable import FILE, Durable
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.packets import PingReq, PingResp, PubAck, PubComp, Publish, PubRec, PubRel, Version


class Life:
    """One life of a broker in this process. It ends as by SIGKILL: nothing is written any more."""

    def __init__(self, nursery: trio.Nursery, folder: Path) -> None:
        self._nursery = nursery
        self.journal = Durable(folder / FILE)
        self.broker: Broker

    async def begin(self, limits: Limits | None = None) -> int:
        config = Config([Listener(port=0)], limits or Limits(), journal=self.journal)
        self.broker = await self._nursery.start(serve, config)
        return self.broker.ports[0]

    async def kill(self) -> None:
        self.journal.newest = self.journal.written
        self._nursery.cancel_scope.cancel()


async def test_everything_is_there_again(tmp_path: Path) -> None:
    async with trio.open_nursery() as first:
        life = Life(first, tmp_path)
        port = await life.begin()
        reader = await RawClient.connected(port, "reader", Version.V5, clean_start=False, properties={"session_expiry": 3600})
        await reader.subscribe("a/#", 2)
        writer = await RawClient.connected(port, "writer", clean_start=False)
        await writer.send(Publish("r", b"kept", 1, retain=True, packet_id=1))
        assert await writer.next() == PubAck(1)
        await reader.reset()
        for number in range(1, 51):
            await writer.send(Publish("a/b", b"%d" % number, 1 + number % 2, packet_id=number))
            answer = await writer.next()
            assert answer == (PubRec(number) if number % 2 else PubAck(number))
        await life.kill()
    async with trio.open_nursery() as second:
        life = Life(second, tmp_path)
        port = await life.begin()
        reader = await RawClient.open(port, Version.V5)
        ack = await reader.connect("reader", clean_start=False, properties={"session_expiry": 3600})
        assert ack.session_present
        messages = [await reader.message() for _ in range(50)]
        assert [(each.topic, each.payload, each.qos) for each in messages] == [
            ("a/b", b"%d" % number, 1 + number % 2) for number in range(1, 51)
        ]
        for message in messages:
            if message.qos == 1:
                await reader.send(PubAck(message.packet_id))
                continue
            await reader.send(PubRec(message.packet_id))
            assert await reader.next() == PubRel(message.packet_id)
            await reader.send(PubComp(message.packet_id))
        await reader.subscribe("r")
        assert (await reader.message()).payload == b"kept"
        writer = await RawClient.connected(port, "writer", clean_start=False)
        await writer.send(Publish("a/b", b"49", 2, dup=True, packet_id=49), PubRel(49))
        assert [await writer.next(), await writer.next()] == [PubRec(49), PubComp(49)]
        second.cancel_scope.cancel()


async def test_what_nobody_waits_for_waits_for_company(tmp_path: Path, mock_clock: MockClock) -> None:
    """An acknowledgement of a client has no commit of its own: that would be two for each message. The clock stands still."""
    async with trio.open_nursery() as nursery:
        life = Life(nursery, tmp_path)
        port = await life.begin()
        journal = life.journal
        reader = await RawClient.connected(port, "reader", Version.V5, clean_start=False, properties={"session_expiry": 3600})
        await reader.subscribe("a", 1)
        writer = await RawClient.connected(port, "writer")
        before = journal.commits
        for number in range(1, 6):
            await writer.send(Publish("a", b"x", 1, packet_id=number))
            assert await writer.next() == PubAck(number)
            await reader.send(PubAck((await reader.message()).packet_id))
            await reader.send(PingReq())
            assert await reader.next() == PingResp()
        assert journal.commits == before + 5
        assert journal.newest > journal.written
        mock_clock.jump(SOON)
        while journal.newest > journal.written:
            await trio.lowlevel.checkpoint()
        assert journal.commits == before + 6
        await life.kill()
