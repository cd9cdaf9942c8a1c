"""A queue of keys in which the newest value of a key wins, bounded by the number of distinct keys.

A key that somebody works on is not handed out a second time: a value put meanwhile waits until ``done``. That gives order
per key and concurrency between keys (the contract of client-go's work queue).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import trio

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KeyedQueue(Generic[K, V]):
    """Keys in the order of their first unserved put; one value, the newest, per key."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[K, V] = OrderedDict()
        self._working: set[K] = set()
        self._blocked: OrderedDict[K, V] = OrderedDict()
        self._wake = trio.Event()
        self.replaced = 0
        """How many values were superseded before anybody took them."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._blocked)

    def __contains__(self, key: K) -> bool:
        return key in self._waiting or key in self._blocked

    def put(self, key: K, value: V) -> None:
        """Sets the newest value of ``key``; never blocks."""
        place = self._blocked if key in self._working else self._waiting
        if key in place:
            self.replaced += 1
        place[key] = value
        if place is self._waiting:
            self._notify()

    def discard(self, key: K) -> None:
        """Forgets a value that nobody took yet."""
        self._waiting.pop(key, None)
        self._blocked.pop(key, None)

    def peek(self, key: K) -> V | None:
        """The value that waits for ``key``, if any."""
        return self._blocked.get(key, self._waiting.get(key))

    def _notify(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    def get_nowait(self) -> tuple[K, V]:
        """Takes the oldest key.

        Raises trio.WouldBlock when none waits.
        """
        if not self._waiting:
            raise trio.WouldBlock
        key, value = self._waiting.popitem(last=False)
        self._working.add(key)
        return key, value

    async def get(self) -> tuple[K, V]:
        """Takes the oldest key and marks it as being worked on; call ``done(key)`` afterwards."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._waiting:
            await self._wake.wait()
        item = self.get_nowait()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return item

    def done(self, key: K) -> None:
        """Work on ``key`` has ended; a value that came meanwhile may now be taken."""
        self._working.discard(key)
        if key in self._blocked:
            self._waiting[key] = self._blocked.pop(key)
            self._notify()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[tuple[K, V]]:
        """``get`` for the length of a with-block."""
        key, value = await self.get()
        try:
            yield key, value
        finally:
            self.done(key)
