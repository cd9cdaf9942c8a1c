"""Which objects belong to which owner, kept by what has changed: no look at everything for one event.

The index reads the histories of the store whenever it is asked, so it always agrees with the store's cache; and the cache
has a write before its writer goes on. A controller therefore sees its own writes at once: it needs none of the expectations
with which Kubernetes' controllers bridge the time until their watches have caught up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cloudcore.apiserver.history import Entry, Expired
from cloudcore.apiserver.store import Key, Store
from kube.objects import Object
from kube.ownership import controller_uid, owners


class Ownership:
    """By owner, and those without a managing owner by namespace. ``kinds`` names the resources to look at, each time anew."""

    def __init__(self, store: Store, kinds: Callable[[], Iterable[str]]) -> None:
        self._store = store
        self._kinds = kinds
        self._places: dict[str, int] = {}
        self._owners: dict[Key, tuple[str, ...]] = {}
        self._dependents: dict[str, dict[Key, None]] = {}
        self._free: dict[tuple[str, str], dict[Key, None]] = {}

    def dependents(self, owner_uid: str) -> list[tuple[Key, Entry]]:
        """All that name this owner."""
        self._catch_up()
        return list(self._present(self._dependents.get(owner_uid, ())))

    def owned(self) -> list[Key]:
        """All objects that name an owner."""
        self._catch_up()
        return list(self._owners)

    def managed(self, resource: str, owner_uid: str) -> list[Entry]:
        """Those of one resource whose managing owner it is."""
        found = self.dependents(owner_uid)
        return [entry for key, entry in found if key[0] == resource and controller_uid(entry.obj) == owner_uid]

    def free(self, resource: str, namespace: str) -> list[Entry]:
        """Those of one resource that nobody manages."""
        self._catch_up()
        return [entry for _, entry in self._present(self._free.get((resource, namespace), ()))]

    def _present(self, keys: Iterable[Key]) -> Iterator[tuple[Key, Entry]]:
        for key in list(keys):
            if (entry := self._store.get(*key)) is not None:
                yield key, entry

    def _catch_up(self) -> None:
        for resource in dict.fromkeys([*self._kinds(), *self._places]):  # also what is served no more: its objects have gone
            history = self._store.history(resource)
            place = self._places.get(resource, -1)
            if place == history.end:
                continue
            try:
                while changes := history.read(place):
                    for change in changes:
                        found = change.entry.obj["metadata"]
                        key = (resource, found.get("namespace", ""), found["name"])
                        self._note(key, None if change.type == "DELETED" else change.entry.obj)
                    place += len(changes)
            except Expired:
                self._start_anew(resource)
            self._places[resource] = history.end

    def _start_anew(self, resource: str) -> None:
        for index in (self._free, self._dependents):
            for keys in index.values():
                for key in [key for key in keys if key[0] == resource]:
                    del keys[key]
        self._owners = {key: found for key, found in self._owners.items() if key[0] != resource}
        for entry in self._store.entries(resource):
            found = entry.obj["metadata"]
            self._note((resource, found.get("namespace", ""), found["name"]), entry.obj)

    def _note(self, key: Key, obj: Object | None) -> None:
        for uid in self._owners.pop(key, ()):
            _remove(self._dependents, uid, key)
        _remove(self._free, key[:2], key)
        if obj is None:
            return
        uids = tuple({owner["uid"]: None for owner in owners(obj) if owner.get("uid")})
        if uids:
            self._owners[key] = uids
        for uid in uids:
            self._dependents.setdefault(uid, {})[key] = None
        if not controller_uid(obj):
            self._free.setdefault(key[:2], {})[key] = None


K = TypeVar("K")


def _remove(index: dict[K, dict[Key, None]], holder: K, key: Key) -> None:
    keys = index.get(holder)
    if keys is not None:
        keys.pop(key, None)
        if not keys:
            del index[holder]
