"""The recent changes of one kind of object. Watchers read it at their own pace, so a slow one costs no memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import trio

from kube.objects import Object

CHANGES: Final = 4096
"""How many changes of one kind are kept."""
BYTES: Final = 8 * 1024 * 1024
"""How much JSON the kept changes of one kind may refer to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One state of an object. ``obj`` is shared by everybody: reading only. ``raw`` is the same as JSON."""

    revision: int
    obj: Object
    raw: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """entry: the new state, or the last one of a removed object. before: the state that it replaced."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    revision: int
    entry: Entry
    before: Entry | None


class Expired(Exception):
    """The wanted revision is older than what is kept (or from another life of the database)."""


class History:
    """floor: changes at or below this revision are not known any more."""

    def __init__(self, floor: int, *, changes: int = CHANGES, size: int = BYTES) -> None:
        self.floor = floor
        self._changes: list[Change] = []
        self._dropped = 0
        self._size = 0
        self._limits = changes, size
        self._event = trio.Event()
        self._listeners: set[trio.Event] = set()

    @property
    def end(self) -> int:
        """The place after the newest change."""
        return self._dropped + len(self._changes)

    def append(self, change: Change) -> None:
        self._changes.append(change)
        self._size += len(change.entry.raw)
        count, size = self._limits
        surplus = 0
        while len(self._changes) - surplus > count or (self._size > size and surplus < len(self._changes)):
            self._size -= len(self._changes[surplus].entry.raw)
            surplus += 1
        # Moving a list's tail costs its length: spread over a sixteenth of the list it costs nothing per change.
        if surplus:
            self._trim(max(surplus, len(self._changes) // 16))

    def _trim(self, number: int) -> None:
        gone = self._changes[:number]
        del self._changes[:number]
        self._dropped += number
        self.floor = gone[-1].revision
        self._size = sum(len(change.entry.raw) for change in self._changes)

    def place_after(self, revision: int) -> int:
        """Where the changes after ``revision`` begin.

        Raises Expired.
        """
        if revision < self.floor:
            raise Expired
        return self._dropped + bisect_right(self._changes, revision, key=lambda change: change.revision)

    def read(self, place: int, limit: int = 256) -> list[Change]:
        """Up to ``limit`` changes from ``place``.

        Raises Expired when they have been dropped.
        """
        if place < self._dropped:
            raise Expired
        start = place - self._dropped
        return self._changes[start : start + limit]

    def wake(self) -> None:
        """Tells the watchers that there is something to read."""
        self._event.set()
        self._event = trio.Event()
        for listener in self._listeners:
            listener.set()

    async def wait(self, place: int) -> None:
        """Returns when something stands at ``place``."""
        while self.end <= place:
            await self._event.wait()


async def wait_any(places: Iterable[tuple[History, int]]) -> None:
    """Returns when something stands at one of the places. Controllers wait for many kinds at once, some after every write:
    a task for each kind would cost more than the write."""
    watched = list(places)
    if any(history.end > place for history, place in watched):
        await trio.lowlevel.checkpoint()
        return
    event = trio.Event()
    for history, _ in watched:
        history._listeners.add(event)
    try:
        await event.wait()
    finally:
        for history, _ in watched:
            history._listeners.discard(event)
