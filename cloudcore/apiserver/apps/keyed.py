"""The loop of a controller that looks only at what has changed: changes name keys, keys are worked on, some come back later."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

import trio

from beehive.backoff import Backoff
from cloudcore.apiserver.history import Change, Expired, wait_any
from cloudcore.apiserver.store import Store
from kube.objects import Object, name, namespace
from kube.status import ApiError

log = logging.getLogger(__name__)

Place: TypeAlias = tuple[str, str]
"""Namespace and name of an object that a controller looks after."""
Address = TypeVar("Address", bound=Hashable)
"""How a controller names the objects that it looks after: mostly a Place."""
Interest: TypeAlias = Callable[[Change], Iterable[Address]]
"""Which objects a change concerns."""
Work: TypeAlias = Callable[[Address], Awaitable[float | None]]
"""Brings one object to what it should be. Returns after how many seconds to look again even if nothing changes."""


def place_of(obj: Object) -> Place:
    return namespace(obj), name(obj)


def itself(change: Change) -> Iterable[Place]:
    """The interest in the changed object itself."""
    return [place_of(change.entry.obj)]


AT_ONCE: Final = 8
"""Objects that are worked on at the same time; one object never twice at once."""
GAP: Final = 0.1
"""Seconds between two rounds at least: a burst of changes costs one look, the first of them is looked at at once."""


class Keyed(Generic[Address]):
    """One controller. ``interests``: by resource, asked for each time. ``everything``: all its objects, to begin with and when
    changes were missed."""

    def __init__(
        self,
        store: Store,
        interests: Callable[[], Mapping[str, Interest[Address]]],
        everything: Callable[[], Iterable[Address]],
        work: Work[Address],
    ) -> None:
        self._store = store
        self._interests = interests
        self._everything = everything
        self._work = work
        self._places: dict[str, int] = {}
        self._due: dict[Address, float] = {}
        self._backoffs: dict[Address, Backoff] = {}

    async def run(self) -> None:
        """Until cancelled."""
        self._places.clear()
        while True:
            await self.round()
            await trio.sleep(GAP)
            await self._wait()

    async def round(self) -> None:
        """Works on everything that has changed or is due."""
        room = trio.CapacityLimiter(AT_ONCE)
        places = self._changed()
        now = trio.current_time()
        places |= {place: None for place, moment in self._due.items() if moment <= now}
        async with trio.open_nursery() as nursery:
            for place in places:
                self._due.pop(place, None)
                nursery.start_soon(self._one, place, room)

    async def _one(self, place: Address, room: trio.CapacityLimiter) -> None:
        async with room:
            try:
                again = await self._work(place)
            except ApiError as error:
                log.debug("%s: %s", place, error)
                again = self._backoffs.setdefault(place, Backoff(first=0.05, limit=30.0)).next()
            else:
                self._backoffs.pop(place, None)
        if again is not None:
            self._due[place] = trio.current_time() + again

    def _changed(self) -> dict[Address, None]:
        found: dict[Address, None] = {}
        missed = False
        for resource, interest in self._interests().items():
            history = self._store.history(resource)
            try:
                while changes := history.read(self._places.get(resource, -1)):
                    for change in changes:
                        found.update(dict.fromkeys(interest(change)))
                    self._places[resource] += len(changes)
            except Expired:
                missed = True
                self._places[resource] = history.end
        if missed:
            found.update(dict.fromkeys(self._everything()))
        return found

    async def _wait(self) -> None:
        """Until something has changed or the first object is due."""
        seconds = min(self._due.values(), default=float("inf")) - trio.current_time()
        with trio.move_on_after(max(seconds, 0)):
            await wait_any((self._store.history(resource), place) for resource, place in self._places.items())
