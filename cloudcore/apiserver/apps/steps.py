"""Many writes at once, with bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import trio

from kube.status import ApiError

Step: TypeAlias = Callable[[], Awaitable[Any]]

BURST: Final = 500
"""Pods that one look creates or removes at most; the change that this is brings the next look."""
_AT_ONCE: Final = 16


async def all_of(steps: Sequence[Step]) -> None:
    """All of them (up to BURST), some at a time. Raises the first ApiError after all have ended."""
    room, faults = trio.CapacityLimiter(_AT_ONCE), []

    async def one(step: Step) -> None:
        async with room:
            try:
                await step()
            except ApiError as error:
                faults.append(error)

    async with trio.open_nursery() as nursery:
        for step in steps[:BURST]:
            nursery.start_soon(one, step)
    if faults:
        raise faults[0]


async def in_growing_batches(steps: Sequence[Step]) -> None:
    """One first, then twice as many each time: what cannot be is tried once, and not 500 times. Raises ApiError."""
    done, batch = 0, 1
    while done < min(len(steps), BURST):
        await all_of(steps[done : min(done + batch, BURST)])
        done += batch
        batch *= 2
