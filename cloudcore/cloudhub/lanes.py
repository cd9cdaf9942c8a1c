"""Work of one node: in order per key, several keys at once, and never more waiting than a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Lanes(Generic[T]):
    """Two status patches of one pod are applied in the order in which they came; patches of two pods side by side.

    width: how many keys are worked on at the same time. backlog: how many items may wait.
    """

    def __init__(self, work: Callable[[T], Awaitable[None]], *, width: int = 8, backlog: int = 256) -> None:
        self._work = work
        self._width = trio.CapacityLimiter(width)
        self._backlog = backlog
        self._lanes: dict[str, deque[T]] = {}
        self._waiting = 0

    def submit(self, nursery: trio.Nursery, key: str, item: T) -> bool:
        """Takes ``item``, or says False when too much waits already."""
        if self._waiting >= self._backlog:
            return False
        self._waiting += 1
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque([item])
            nursery.start_soon(self._drain, key)
        else:
            lane.append(item)
        return True

    async def _drain(self, key: str) -> None:
        lane = self._lanes[key]
        while lane:
            async with self._width:
                item = lane.popleft()
                self._waiting -= 1
                await self._work(item)
        del self._lanes[key]
