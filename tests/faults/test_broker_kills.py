"""Random histories of clients, lost connections and a broker that is killed at any moment, against what MQTT promises.

Some in CI; ``BROKER_KILLS=1000 pytest tests/faults/test_broker_kills.py`` for many, ``BROKER_KILLS_FROM=...`` for others.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
import trio
from brokers.keeper import Keeper, Lost
from brokers.process import BrokerProcess

from mqtt.durable import FILE
from mqtt.packets import Packet, PubAck, PubComp, PubRec, Version

HISTORIES = int(os.environ.get("BROKER_KILLS", "3"))
FIRST = int(os.environ.get("BROKER_KILLS_FROM", "0"))
MESSAGES = 120
"""Of each writer; less than what the broker keeps for a client, so that nothing may be dropped."""


class History:
    """What the writers have sent, by payload: the number of the writer, a slash, a growing number."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.broker = BrokerProcess(folder)
        self.writers = [self._keeper(f"w{number}") for number in range(2)]
        self.readers = [self._keeper(f"r{number}") for number in range(3)]
        self.looker = self._keeper("looker")
        self.qos: dict[bytes, int] = {}
        self.retained: dict[str, list[bytes]] = {}
        self.answers_left = 0
        self.killed = trio.Event()
        self.calm = trio.Event()

    def _keeper(self, name: str) -> Keeper:
        return Keeper(name, self.chance.choice((Version.V311, Version.V5)), self.chance, self._heard)

    async def run(self) -> None:
        try:
            self.broker.start()
            await self.broker.listening()
            for number, reader in enumerate(self.readers):
                await reader.connect(self.broker.port)
                await reader.subscribe(("a/#", 1 if number == 0 else 2))
            for writer in self.writers:
                await writer.connect(self.broker.port)
            with trio.fail_after(90):
                async with trio.open_nursery() as nursery:
                    for reader in self.readers:
                        nursery.start_soon(self._live, reader, self._read)
                    for writer in self.writers:
                        nursery.start_soon(self._live, writer, self._write)
                    await self._kill()
                    self.calm.set()
            await self._check()
        finally:
            self.broker.kill()
            for client in (*self.writers, *self.readers, self.looker):
                client.reset()

    async def _kill(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            if self.chance.random() < 0.6:
                await self._kill_after_answers()
            else:
                await trio.sleep(self.chance.uniform(0.0, 0.2))
                self.broker.kill(self.chance.choice((signal.SIGKILL,) * 5 + (signal.SIGTERM,)))
            self.broker.start()
            if self.chance.random() < 0.2:
                # While it restores, or before it listens.
                await trio.sleep(self.chance.uniform(0.0, 0.4))
                self.broker.kill()
                self.broker.start()
            await self.broker.listening()

    async def _kill_after_answers(self) -> None:
        """In the moment in which a writer has heard an answer: what is on disk then has to hold for it."""
        self.killed = trio.Event()
        self.answers_left = self.chance.randint(1, 100)
        with trio.move_on_after(1.0):
            await self.killed.wait()
        self.answers_left = 0
        self.broker.kill()

    def _heard(self, packet: Packet) -> None:
        if self.answers_left and isinstance(packet, PubAck | PubRec | PubComp):
            self.answers_left -= 1
            if not self.answers_left:
                self.broker.kill()
                self.killed.set()

    # Clients.

    async def _live(self, client: Keeper, do: object) -> None:
        """Through all connections, until there is nothing more to do for it."""
        assert callable(do)
        while True:
            try:
                if client.connection_lost:
                    await client.connect(self.broker.port)
                if await do(client):
                    return
            except Lost:
                client.reset()
                await trio.sleep(0.005)

    async def _chaos(self, client: Keeper) -> None:
        dice = self.chance.random()
        if self.calm.is_set():
            return
        if dice < 0.02:
            client.reset()
        elif dice < 0.03:
            await client.take_over(self.broker.port)
        elif dice < 0.04:
            await client.leave()

    async def _write(self, writer: Keeper) -> bool:
        """One step. Returns whether all is written and acknowledged."""
        await self._chaos(writer)
        number = self.writers.index(writer)
        sent = len(writer.published)
        if sent < MESSAGES and writer.may_publish:
            for count in range(sent, min(sent + self.chance.randint(1, 10), MESSAGES)):
                await self._publish(writer, number, count)
        elif writer.settled:
            return True
        else:
            await self._hear(writer, 0.05)
            return False
        await self._hear(writer, self.chance.uniform(0, 0.01))
        return False

    async def _publish(self, writer: Keeper, number: int, count: int) -> None:
        payload = b"%d/%d" % (number, count)
        self.qos[payload] = qos = self.chance.randint(1, 2)
        retain = self.chance.random() < 0.1
        # A QoS of its own: a second copy at QoS 1 may come after a later message at QoS 2.
        topic = f"a/{number}/{self.chance.randint(0, 2)}/{qos}"
        if retain:
            self.retained.setdefault(topic, []).append(payload)
        await writer.publish(topic, payload, qos, retain)

    async def _hear(self, client: Keeper, patience: float) -> None:
        await client.listen(patience, 0.0 if self.calm.is_set() else 0.05)
        if client.late and (self.calm.is_set() or self.chance.random() < 0.1):
            await client.answer_late()

    async def _read(self, reader: Keeper) -> bool:
        if self.calm.is_set():
            await reader.answer_late()
            if all(writer.done(MESSAGES) for writer in self.writers) and set(self.qos) <= set(reader.got) and reader.at_rest:
                return True
        await self._chaos(reader)
        await self._hear(reader, 0.05)
        return False

    # The end.

    async def _check(self) -> None:
        assert len(self.qos) == MESSAGES * len(self.writers)
        for writer in self.writers:
            assert sorted(writer.acknowledged) == sorted(writer.published), "each is acknowledged once"
        for number, reader in enumerate(self.readers):
            self._check_reader(reader, 1 if number == 0 else 2)
            await reader.finish()
            await reader.take_over(self.broker.port)
            await reader.nothing_comes()
        await self._check_retained()
        assert self.broker.kill(signal.SIGTERM) == 0
        self._check_disk()

    def _check_reader(self, reader: Keeper, granted: int) -> None:
        times = Counter(reader.got)
        assert set(times) == set(self.qos)
        for payload, qos in self.qos.items():
            if min(qos, granted) == 2:
                assert times[payload] == 1, (reader.name, payload, times[payload])
        first = list(dict.fromkeys(reader.got))
        for number in range(len(self.writers)):
            order = [int(each.partition(b"/")[2]) for each in first if each.startswith(b"%d/" % number)]
            assert order == sorted(order), (reader.name, order)

    async def _check_retained(self) -> None:
        looker = self.looker
        await looker.connect(self.broker.port)
        await looker.subscribe(("a/#", 2))
        await looker.finish()
        assert sorted(looker.got) == sorted(payloads[-1] for payloads in self.retained.values())
        await looker.nothing_comes()

    def _check_disk(self) -> None:
        with sqlite3.connect(self.broker.folder / "data" / FILE) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("SELECT * FROM delivery").fetchall() == []
            assert database.execute("SELECT * FROM received").fetchall() == []
            kept = {each for (each,) in database.execute("SELECT key FROM message")}
            assert kept == {each for (each,) in database.execute("SELECT message FROM retained")}
            assert database.execute("SELECT count(*) FROM session").fetchall() == [(6,)]
        database.close()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
async def test_nothing_acknowledged_is_lost_and_nothing_comes_twice_at_qos_2(tmp_path: Path, seed: int) -> None:
    await History(tmp_path, seed).run()
