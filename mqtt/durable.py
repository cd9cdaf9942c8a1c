"""A journal in SQLite: sessions, what waits and is on its way at QoS 1 and 2, and retained messages, over SIGKILL and power loss.

Records are collected in memory; a commit writes the difference they make in one transaction, in a thread of its own (WAL,
``synchronous=FULL``: one fdatasync). What comes meanwhile is the next commit.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Final

import trio

from mqtt.durablebatch import Batch, NewDelivery, SessionChange, SessionRow
from mqtt.durablefile import DiskFault, JournalFile
from mqtt.durableload import Found, FoundMessage, FoundSession
from mqtt.journal import Saved, SavedDelivery, SavedSession, Stored
from mqtt.limits import UNLIMITED
from mqtt.message import NOTHING, Message
from mqtt.packets import Will
from mqtt.topics import Subscription

log = logging.getLogger(__name__)

FILE: Final = "mqtt.db"
"""The usual name in a folder of its own."""
_JUMP: Final = 2.0
"""Seconds by which the wall clock may differ from ours before we follow it."""
_PAUSES: Final = (0.1, 10.0)
"""Seconds between attempts on a disk that does not take what is written: the shortest and the longest."""


class _Known:
    """A session as the journal remembers it. deliveries: keys of messages by number. on_disk: a batch with it was closed."""

    __slots__ = ("deliveries", "expiry", "key", "on_disk", "username", "waits_since")

    def __init__(self, key: int) -> None:
        self.key = key
        self.on_disk = False
        self.username: str | None = None
        self.expiry = -1
        self.waits_since: float | None = None
        self.deliveries: dict[int, int | None] = {}


class Durable:
    """See :class:`mqtt.journal.Journal`. One process at a time uses a file.

    A disk that is full, or fails otherwise, is tried again until it works, said so in the log; meanwhile nothing that has to be
    on it is acknowledged. failing: what is wrong with it, "" when nothing is. commits: transactions so far.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = trio.current_time, wall: Callable[[], float] = time.time
    ) -> None:
        self.newest = 0
        self.written = 0
        self.records = 0
        self.commits = 0
        self.failing = ""
        self.file = JournalFile(path)
        self._clock = clock
        self._wall = wall
        self._limiter = trio.CapacityLimiter(1)
        self._sessions: dict[str, _Known] = {}
        self._retained: dict[str, int] = {}
        self._wills: dict[str, tuple[str | None, Will]] = {}
        self._references: dict[int, int] = {}
        self._last_session = 0
        self._last_message = 0
        self._open = Batch(1)
        self._closed: Batch | None = None
        self._offset = 0.0

    async def open(self, now: float) -> Saved:
        """What was kept. A damaged file is set aside. Raises JournalError."""
        wall = self._wall()
        self._offset = wall - now
        return await trio.to_thread.run_sync(self._load, now, wall, limiter=self._limiter)

    async def close(self) -> None:
        """What is not committed is lost."""
        if self.newest > self.written:
            log.warning(
                "%s is closed before all was written; what is missing was not acknowledged, or comes again", self.file.path
            )
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.file.close, limiter=self._limiter)

    # What was kept.

    def _load(self, now: float, wall: float) -> Saved:
        """In the thread: a hundred thousand messages take a second."""
        return self._restore(self.file.open(wall), now, wall)

    def _restore(self, found: Found, now: float, wall: float) -> Saved:
        messages = {key: self._message(key, each, now - wall) for key, each in found.messages.items()}
        self._last_message = max(messages, default=0)
        self._last_session = max((each.key for each in found.sessions), default=0)
        for topic, key in found.retained.items():
            self._retained[topic] = key
            self._references[key] = self._references.get(key, 0) + 1
        sessions = [self._session(each, messages, wall) for each in found.sessions]
        self._wills = {each.client_id: (each.username, each.will) for each in found.wills}
        return Saved(sessions, [messages[key] for key in found.retained.values()], found.wills)

    def _message(self, key: int, found: FoundMessage, back: float) -> Message:
        expires = None if found.expires is None else found.expires + back
        message = Message(found.packet, found.sender, expires)
        message.stored = key
        return message

    def _session(self, found: FoundSession, messages: dict[int, Message], wall: float) -> SavedSession:
        known = self._sessions[found.client_id] = _Known(found.key)
        known.on_disk = True
        known.username, known.expiry = found.username, found.expiry
        # Some time that no record will say, so that the next one is not taken for the same.
        known.waits_since = None if found.disconnected is None else -inf
        deliveries = []
        for each in found.deliveries:
            known.deliveries[each.number] = key = each.message
            if key is not None:
                self._references[key] = self._references.get(key, 0) + 1
            message = NOTHING if key is None else messages[key]
            deliveries.append(
                SavedDelivery(each.number, message, each.qos, each.retain, each.identifiers, each.packet_id, each.released)
            )
        remaining = inf
        if found.disconnected is not None:
            remaining = found.expiry - (wall - found.disconnected)
        return SavedSession(
            found.client_id, found.username, found.expiry, remaining, found.subscriptions, deliveries, found.received
        )

    # Records.

    def _recorded(self) -> None:
        self.records += 1
        self.newest = self._open.number

    def _change(self, known: _Known) -> SessionChange:
        changes = self._open.changes
        change = changes.get(known.key)
        if change is None:
            change = changes[known.key] = SessionChange(known.key)
        return change

    def _refer(self, message: Message) -> int:
        key = message.stored
        references = self._references
        if key is not None and key in references:
            references[key] += 1
            return key
        self._last_message = key = self._last_message + 1
        message.stored = key
        references[key] = 1
        self._open.messages[key] = message
        return key

    def _release(self, key: int) -> None:
        left = self._references[key] - 1
        if left:
            self._references[key] = left
            return
        del self._references[key]
        if self._open.messages.pop(key, None) is None:
            self._open.dead.append(key)

    def session(self, client_id: str, username: str | None, expiry: int, disconnected: float | None) -> None:
        known = self._sessions.get(client_id)
        if known is None:
            self._last_session += 1
            known = self._sessions[client_id] = _Known(self._last_session)
        if expiry == UNLIMITED:
            # It does not matter since when.
            disconnected = None
        if (known.username, known.expiry, known.waits_since) == (username, expiry, disconnected):
            return
        known.username, known.expiry, known.waits_since = username, expiry, disconnected
        self._change(known).row = SessionRow(known.key, client_id, username, expiry, disconnected)
        self._recorded()

    def session_ended(self, client_id: str) -> None:
        known = self._sessions.pop(client_id)
        for key in known.deliveries.values():
            if key is not None:
                self._release(key)
        self._open.changes.pop(known.key, None)
        if known.on_disk:
            self._open.ended.append(known.key)
        self._recorded()

    def subscribed(self, client_id: str, subscription: Subscription[object]) -> None:
        self._change(self._sessions[client_id]).subscriptions[subscription.filter] = subscription
        self._recorded()

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        self._change(self._sessions[client_id]).subscriptions[topic_filter] = None
        self._recorded()

    def queued(self, client_id: str, delivery: Stored) -> None:
        known = self._sessions[client_id]
        key = self._refer(delivery.message)
        known.deliveries[delivery.number] = key
        new = NewDelivery(key, delivery.qos, delivery.retain, delivery.identifiers)
        self._change(known).new[delivery.number] = new
        self._recorded()

    def sent(self, client_id: str, number: int, packet_id: int) -> None:
        change = self._change(self._sessions[client_id])
        new = change.new.get(number)
        if new is not None:
            new.packet_id = packet_id
        else:
            change.sent[number] = packet_id
        self._recorded()

    def released(self, client_id: str, number: int) -> None:
        known = self._sessions[client_id]
        change = self._change(known)
        new = change.new.get(number)
        if new is not None:
            new.released = True
            new.message = None
        else:
            change.released.add(number)
        key = known.deliveries[number]
        known.deliveries[number] = None
        if key is not None:
            self._release(key)
        self._recorded()

    def done(self, client_id: str, number: int) -> None:
        known = self._sessions[client_id]
        change = self._change(known)
        key = known.deliveries.pop(number)
        if key is not None:
            self._release(key)
        if change.new.pop(number, None) is None:
            change.sent.pop(number, None)
            change.released.discard(number)
            change.done.append(number)
        self._recorded()

    def received(self, client_id: str, packet_id: int) -> None:
        change = self._change(self._sessions[client_id])
        if packet_id in change.forgotten:
            change.forgotten.remove(packet_id)
        else:
            change.received.add(packet_id)
        self._recorded()

    def forgotten(self, client_id: str, packet_id: int) -> None:
        change = self._change(self._sessions[client_id])
        if packet_id in change.received:
            change.received.remove(packet_id)
        else:
            change.forgotten.add(packet_id)
        self._recorded()

    def retained(self, topic: str, message: Message | None) -> None:
        old = self._retained.pop(topic, None)
        if old is None and message is None:
            return
        key = None
        if message is not None:
            key = self._retained[topic] = self._refer(message)
        self._open.retained[topic] = key
        if old is not None:
            self._release(old)
        self._recorded()

    def will(self, client_id: str, username: str | None, will: Will | None) -> None:
        kept = None if will is None else (username, will)
        if self._wills.get(client_id) == kept:
            return
        if kept is None:
            del self._wills[client_id]
        else:
            self._wills[client_id] = kept
        self._open.wills[client_id] = kept
        self._recorded()

    # Commits.

    def tick(self) -> None:
        """When the wall clock jumps, what is on disk has to move with it: nobody may lose a session because a clock was set."""
        if abs(self._jumped()) > _JUMP:
            self._recorded()

    def _jumped(self) -> float:
        return self._wall() - self._clock() - self._offset

    async def commit(self) -> None:
        """See the protocol. Raises JournalError when the file was damaged meanwhile, or was closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        goal = self.newest
        while self.written < goal:
            if self._closed is None:
                self._close_batch()
            await self._write()

    def _close_batch(self) -> None:
        batch = self._closed = self._open
        self._open = Batch(batch.number + 1)
        for change in batch.changes.values():
            if change.row is not None:
                self._sessions[change.row.client_id].on_disk = True

    async def _write(self) -> None:
        """Until it is written; nothing is forgotten when this is cancelled."""
        batch = self._closed
        assert batch is not None  # noqa: S101 - closed by the caller
        pause, longest = _PAUSES
        while True:
            try:
                jump = self._jumped()
                batch.shift = jump if abs(jump) > _JUMP else 0.0
                offset = self._offset + batch.shift
                await trio.to_thread.run_sync(self.file.write, batch, offset, limiter=self._limiter)
                self._offset = offset
                break
            except DiskFault as error:
                self._complain(str(error))
            await trio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, longest)
        self._closed = None
        self.written = batch.number
        self.commits += 1
        if self.failing:
            log.warning("%s can be written to again; what has waited is acknowledged now", self.file.path)
            self.failing = ""

    def _complain(self, why: str) -> None:
        if why != self.failing:
            log.error("%s. Messages for sessions that stay, and retained ones, are not acknowledged until that is mended", why)
            self.failing = why
