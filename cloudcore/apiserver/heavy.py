"""What takes long for one large object is done in a thread: meanwhile the loop goes on with everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

LARGE: Final = 64 * 1024
"""Bytes of JSON: decoding and checking less takes some hundredths of a second at the most."""
_THREADS: Final = trio.CapacityLimiter(2)
"""Few: they share one processor with the loop, and each holds a large object some times over."""


def is_large(size: int) -> bool:
    """Whether ``size`` bytes of JSON are worth a thread."""
    return size >= LARGE


async def beside(size: int, work: Callable[[], T]) -> T:
    """The result of ``work``, which is done at once when it is small. It must not change what others see: who stops does not
    wait for its end."""
    if not is_large(size):
        return work()
    return await trio.to_thread.run_sync(work, limiter=_THREADS, abandon_on_cancel=True)
