"""One way from a thread to another one's event loop: many things, one wake-up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Crossing(Generic[T]):
    """One thread gives, one takes. wake: makes the other thread ``take`` soon; it is called once for all that waits by then.

    items, size: what may wait at most. refused: what found no room.
    """

    def __init__(self, wake: Callable[[], object], items: int, size: int) -> None:
        self._wake = wake
        self._items = items
        self._size = size
        self._waiting: deque[tuple[T, int]] = deque()
        # Each number has one thread that writes it; their difference is what waits.
        self._given = self._taken = 0
        self._woken = False
        self.refused = 0

    def give(self, item: T, size: int = 0, *, always: bool = False) -> bool:
        """Whether there was room. always: even where there is none; for what the other side waits for."""
        if not always and (len(self._waiting) >= self._items or self._given - self._taken + size > self._size):
            self.refused += 1
            return False
        self._given += size
        self._waiting.append((item, size))
        if not self._woken:
            self._woken = True
            self._wake()
        return True

    def take(self) -> Iterator[T]:
        """All that waits, in order."""
        # Before the first is taken: what is given from here on wakes again.
        self._woken = False
        while self._waiting:
            item, size = self._waiting.popleft()
            self._taken += size
            yield item
