"""A journal whose disk is a dictionary: what is committed survives a crash of the broker, what is not is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import trio

from mqtt.journal import Saved, SavedDelivery, SavedSession, SavedWill, Stored
from mqtt.message import NOTHING, Message
from mqtt.packets import Will
from mqtt.topics import Subscription


class Disk:
    def __init__(self) -> None:
        self.sessions: dict[str, SavedSession] = {}
        self.retained: dict[str, Message] = {}
        self.wills: dict[str, SavedWill] = {}


class Ledger:
    """One life of a broker on a disk. Nothing is committed until ``commit_now``; ``commit`` does it at once."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.newest = 0
        self.written = 0
        self.records = 0
        self.failing = ""
        self._open: list[Callable[[], object]] = []
        self._batch = 1

    def _record(self, change: Callable[[], object]) -> None:
        self._open.append(change)
        self.records += 1
        self.newest = self._batch

    def commit_now(self) -> None:
        self._write(*self._close())

    def _close(self) -> tuple[int, list[Callable[[], object]]]:
        batch, changes = self._batch, self._open
        self._batch, self._open = batch + 1, []
        return batch, changes

    def _write(self, batch: int, changes: list[Callable[[], object]]) -> None:
        for change in changes:
            change()
        self.written = batch

    async def commit(self) -> None:
        self.commit_now()

    async def open(self, now: float) -> Saved:
        return Saved(self.saved(), list(self.disk.retained.values()), list(self.disk.wills.values()))

    async def close(self) -> None:
        return

    def tick(self) -> None:
        return

    def saved(self) -> list[SavedSession]:
        """For ``Core.restore``: independent of what is changed later."""
        return [
            replace(each, subscriptions=[*each.subscriptions], deliveries=[*each.deliveries], received=[*each.received])
            for each in self.disk.sessions.values()
        ]

    def _of(self, client_id: str) -> SavedSession:
        return self.disk.sessions[client_id]

    def session(self, client_id: str, username: str | None, expiry: int, disconnected: float | None) -> None:
        def change() -> None:
            saved = self.disk.sessions.setdefault(client_id, SavedSession(client_id))
            saved.username, saved.expiry = username, expiry

        self._record(change)

    def session_ended(self, client_id: str) -> None:
        self._record(lambda: self.disk.sessions.pop(client_id))

    def subscribed(self, client_id: str, subscription: Subscription[object]) -> None:
        def change() -> None:
            saved = self._of(client_id)
            saved.subscriptions = [each for each in saved.subscriptions if each.filter != subscription.filter] + [subscription]

        self._record(change)

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        def change() -> None:
            saved = self._of(client_id)
            saved.subscriptions = [each for each in saved.subscriptions if each.filter != topic_filter]

        self._record(change)

    def queued(self, client_id: str, delivery: Stored) -> None:
        saved = SavedDelivery(delivery.number, delivery.message, delivery.qos, delivery.retain, delivery.identifiers)
        self._record(lambda: self._of(client_id).deliveries.append(saved))

    def _change(self, client_id: str, number: int, **fields: object) -> None:
        def change() -> None:
            saved = self._of(client_id)
            saved.deliveries = [
                replace(each, **fields) if each.number == number else each  # type: ignore[arg-type]
                for each in saved.deliveries
            ]

        self._record(change)

    def sent(self, client_id: str, number: int, packet_id: int) -> None:
        self._change(client_id, number, packet_id=packet_id)

    def released(self, client_id: str, number: int) -> None:
        self._change(client_id, number, released=True, message=NOTHING)

    def done(self, client_id: str, number: int) -> None:
        def change() -> None:
            saved = self._of(client_id)
            assert number in [each.number for each in saved.deliveries]
            saved.deliveries = [each for each in saved.deliveries if each.number != number]

        self._record(change)

    def received(self, client_id: str, packet_id: int) -> None:
        self._record(lambda: self._of(client_id).received.append(packet_id))

    def forgotten(self, client_id: str, packet_id: int) -> None:
        self._record(lambda: self._of(client_id).received.remove(packet_id))

    def retained(self, topic: str, message: Message | None) -> None:
        def change() -> None:
            if message is None:
                self.disk.retained.pop(topic, None)
            else:
                self.disk.retained[topic] = message

        self._record(change)

    def will(self, client_id: str, username: str | None, will: Will | None) -> None:
        if will is None:
            self._record(lambda: self.disk.wills.pop(client_id, None))
        else:
            saved = SavedWill(client_id, username, will)
            self._record(lambda: self.disk.wills.__setitem__(client_id, saved))


class SlowLedger(Ledger):
    """A disk that writes when it is told to. commits: how many were begun."""

    def __init__(self) -> None:
        super().__init__()
        self.go = trio.Event()
        self.commits = 0

    async def commit(self) -> None:
        closed = self._close()
        self.commits += 1
        try:
            await self.go.wait()
        except trio.Cancelled:
            self._open = closed[1] + self._open
            raise
        self._write(*closed)
