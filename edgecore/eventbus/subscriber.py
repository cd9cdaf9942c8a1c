"""Keeps subscriptions as they are wanted: on the embedded broker and on the external one alike."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Set

from edgecore.eventbus.rules import Rules

log = logging.getLogger(__name__)


class Subscriber:
    """subscribe: one filter. refusals: the errors that say that it is not to be had. held: what is there already."""

    def __init__(
        self,
        subscribe: Callable[[str], Awaitable[object]],
        unsubscribe: Callable[[str], Awaitable[object]],
        refusals: tuple[type[Exception], ...],
        held: Set[str] = frozenset(),
    ) -> None:
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._refusals = refusals
        self._held = set(held)
        self._refused: set[str] = set()

    async def follow(self, fixed: Set[str], rules: Rules | None = None) -> None:
        """Until cancelled. A filter that is refused costs only itself; it is tried again on the next connection."""
        if rules is None:
            await self.bring_to(fixed)
            return
        with rules.watch() as changes:
            while True:
                await changes.wait()
                await self.bring_to(fixed | rules.filters)

    async def bring_to(self, wanted: Set[str]) -> None:
        """Returns when all that is wanted is there, or refused."""
        for name in sorted(self._held - wanted):
            await self._unsubscribe(name)
            self._held.discard(name)
        self._refused &= wanted
        for name in sorted(wanted - self._held - self._refused):
            await self._add(name)

    async def _add(self, name: str) -> None:
        try:
            await self._subscribe(name)
            self._held.add(name)
        except self._refusals as error:
            self._refused.add(name)
            log.error("what is published to %r does not get here: %s", name, error)
