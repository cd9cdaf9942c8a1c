"""Keeps a copy of a set of objects in step with the API: list, then watch, for ever, whatever breaks."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import trio

from kube.client import Client
from kube.objects import Object, name, namespace, resource_version
from kube.resources import Resource
from kube.status import ApiError, ApiUnreachable, BadAnswer, Gone
from kube.watch import BOOKMARK, DELETED, WatchEvent

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(namespace, name); the namespace is "" for cluster-scoped objects."""
OnChange = Callable[[Object | None, Object | None], None]
"""Called with the old and the new state: (None, new) appeared, (old, new) changed, (old, None) is gone."""

_SHORT_WATCH: Final = 1.0
"""Seconds: a watch that ends sooner without an event counts as a failure, or we would ask in a tight loop."""


@dataclass
class Delays:
    """Seconds between attempts: ``first``, doubled up to ``limit``, each spread over [0.5 d, 1.5 d].

    The first one is short: what cuts watches (a proxy, say) may do so after every few events, and news must not wait for that.
    """

    first: float = 0.05
    limit: float = 30.0
    _next: float = field(default=0.0, init=False, repr=False)

    def next(self) -> float:
        delay = min(self._next or self.first, self.limit)
        self._next = delay * 2
        return delay * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, no secret

    @property
    def fresh(self) -> bool:
        """Nothing has failed since the last success."""
        return not self._next

    def reset(self) -> None:
        self._next = 0.0


class Reflector:
    """A copy of the objects of one type that the selectors choose; ``run`` keeps it true.

    store: objects by (namespace, name). Treat them as read only. synced: set when the store was complete once; while the
    API cannot be reached the store stays as it was. on_change is called in the task of ``run``, after the store has changed;
    it must be quick. Should it raise, ``run`` ends with that error, and the next ``run`` reports the same difference again.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        on_change: OnChange | None = None,
        delays: Delays | None = None,
    ) -> None:
        self.store: dict[Key, Object] = {}
        self.synced = trio.Event()
        self._client = client
        self._resource = resource
        self._namespace = namespace or ""
        self._labels = label_selector
        self._fields = field_selector
        self._on_change = on_change
        self._delays = delays or Delays()
        self._version = ""
        self._trouble = ""

    @property
    def resource(self) -> Resource:
        return self._resource

    @property
    def resource_version(self) -> str:
        """The version that the store stands at, "" before the first list."""
        return self._version

    def get(self, name: str, namespace: str = "") -> Object | None:
        """One object of the store."""
        return self.store.get((namespace, name))

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self.store.values()))

    async def run(self) -> None:
        """Runs until it is cancelled. No failure of the API ends it."""
        self._version = ""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Gone as error:
                log.info("watch of %s: %s; listing again", self._resource.qualified, error)
                self._version = ""
                await trio.sleep(self._delays.next())
            except ApiError as error:
                if isinstance(error, BadAnswer) or not isinstance(error, ApiUnreachable):
                    self._version = ""
                await self._pause(error)

    async def _list(self) -> None:
        listing = await self._client.list(
            self._resource, namespace=self._namespace, label_selector=self._labels, field_selector=self._fields
        )
        found = {_key(obj): obj for obj in listing.items if name(obj)}
        for key in [key for key in self.store if key not in found]:
            self._set(key, None)
        for key, obj in found.items():
            old = self.store.get(key)
            if old is None or resource_version(old) != resource_version(obj) or old != obj:
                self._set(key, obj)
        self._version = listing.resource_version
        self._tell_recovery()
        self.synced.set()

    async def _watch(self) -> None:
        started = trio.current_time()
        heard = False
        async with self._client.watch(
            self._resource,
            namespace=self._namespace,
            resource_version=self._version,
            label_selector=self._labels,
            field_selector=self._fields,
        ) as events:
            self._tell_recovery()
            async for event in events:
                heard = True
                self._delays.reset()
                self._apply(event)
        if not heard and trio.current_time() - started < _SHORT_WATCH:
            raise ApiUnreachable(f"watch of {self._resource.qualified}: the server ended it at once")
        self._delays.reset()

    def _apply(self, event: WatchEvent) -> None:
        if event.type != BOOKMARK:
            if not name(event.object):
                raise BadAnswer(f"watch of {self._resource.qualified}: the server sent an object without a name")
            self._set(_key(event.object), None if event.type == DELETED else event.object)
        self._version = resource_version(event.object) or self._version

    def _set(self, key: Key, new: Object | None) -> None:
        """Changes the store and tells it; takes the change back when telling fails, so that it is found again."""
        old = self.store.get(key)
        if old is None and new is None:
            return
        self._put(key, new)
        if self._on_change is None:
            return
        try:
            self._on_change(old, new)
        except BaseException:
            self._put(key, old)
            raise

    def _put(self, key: Key, obj: Object | None) -> None:
        if obj is None:
            self.store.pop(key, None)
        else:
            self.store[key] = obj

    async def _pause(self, error: ApiError) -> None:
        once = self._delays.fresh and self._version != ""  # a watch that breaks and goes on is nothing to tell
        delay = max(self._delays.next(), min(error.retry_after or 0.0, self._delays.limit))
        if once:
            log.debug("watch of %s: %s; going on in %.2f s", self._resource.qualified, error, delay)
        elif str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("%s are not up to date: %s; trying again, next in %.1f s", self._resource.qualified, error, delay)
        await trio.sleep(delay)

    def _tell_recovery(self) -> None:
        if self._trouble:
            self._trouble = ""
            log.info("%s are up to date again", self._resource.qualified)


def _key(obj: Object) -> Key:
    return namespace(obj), name(obj)
