"""Keeps a module running: a crash restarts it alone; only cancellation or a Fatal error ends it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from beehive.backoff import Backoff

log = logging.getLogger(__name__)

HEALTHY_AFTER = 60.0
"""Seconds of running after which a crash counts as the first one again."""


class Fatal(Exception):
    """The whole program cannot go on (a port in use, a broken configuration). The text is for a person:
    what failed, why, what to do next."""


def fatal_cause(error: BaseException) -> Fatal | None:
    """The first Fatal inside ``error``, also when it is wrapped in exception groups."""
    if isinstance(error, Fatal):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            if (found := fatal_cause(inner)) is not None:
                return found
    return None


async def supervise(name: str, module: Callable[[], Awaitable[None]], *, backoff: Backoff | None = None) -> None:
    """Runs ``module`` until it returns, restarting it with jittered back-off each time it raises.

    This is the only place of a program that catches everything. Fatal errors and cancellation pass.
    """
    delays = backoff or Backoff(first=0.5, limit=30.0)
    while True:
        started = trio.current_time()
        try:
            await module()
            return
        except Exception as error:
            if fatal_cause(error) is not None:
                raise
            if trio.current_time() - started > HEALTHY_AFTER:
                delays.reset()
            delay = delays.next()
            log.exception("module %s crashed; it starts again in %.1f s, the others go on", name, delay)
        await trio.sleep(delay)
