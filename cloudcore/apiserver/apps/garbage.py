"""Objects whose owners are gone go, too. Kubernetes 1.32: pkg/controller/garbagecollector.

Background: an owner goes at once and its dependents follow. Foreground: those that block their owner go first. Orphan: they
stay and forget their owner. An owner of a kind that is not served counts as present, unless it was seen to go: nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Literal

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps.keyed import Interest, Keyed
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.history import Change
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.store import Key
from kube import ownership, status
from kube.objects import Object, is_deleting, name, namespace, resource_version, uid
from kube.ownership import FOREGROUND, ORPHAN, has_finalizer
from kube.resources import EVENTS, LEASES

State = Literal["solid", "waiting", "gone"]

REMEMBERED: Final = 4096
"""Owners that were seen to go; their kind may be served no more when their dependents are looked at."""


class Garbage:
    def __init__(self, api: Api, index: Ownership) -> None:
        self._api = api
        self._index = index
        self._followed: frozenset[str] = frozenset()
        self._gone: dict[str, None] = {}
        self.loop = Keyed[Key](api.store, self._interests, self._all, self.reconcile)

    async def run(self) -> None:
        await self.loop.run()

    def _interests(self) -> Mapping[str, Interest[Key]]:
        # Leases change all the time; those of a node that is gone are found as its dependents.
        present = frozenset(kind.key for kind in self._api.registry.stored() if kind.resource not in (EVENTS, LEASES))
        # A kind that is served no more is followed once more: the last of its objects may have gone since.
        kinds, self._followed = present | self._followed, present
        return {key: partial(self._concerned, key) for key in sorted(kinds)}

    def _all(self) -> Iterable[Key]:
        yield from self._index.owned()
        for kind in self._api.registry.stored():
            for entry in self._api.store.entries(kind.key):
                if _holds_dependents(entry.obj):
                    yield kind.key, namespace(entry.obj), name(entry.obj)

    def _concerned(self, resource: str, change: Change) -> Iterable[Key]:
        obj = change.entry.obj
        before = change.before.obj if change.before else {}
        if change.type == "DELETED":
            if dependents := self._index.dependents(uid(obj)):
                self._remember(uid(obj))
            for key, _ in dependents:
                yield key
        elif _holds_dependents(obj) or ownership.owners(obj) != ownership.owners(before):
            yield resource, namespace(obj), name(obj)
        if change.type == "DELETED" or ownership.owners(obj) != ownership.owners(before):
            for owner in ownership.owners(before):
                if (kind := self._kind(owner)) is not None:
                    yield self._place(kind, owner, obj)

    def _remember(self, owner: str) -> None:
        self._gone[owner] = None
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]

    async def reconcile(self, key: Key) -> float | None:
        """One look at one object: at its owners, or, when it goes, at its dependents."""
        entry = self._api.store.get(*key)
        kind = self._stored(key[0])
        if entry is None or kind is None:
            return None
        if not is_deleting(entry.obj):
            await self._judge(kind, entry.obj)
        elif has_finalizer(entry.obj, FOREGROUND):
            await self._foreground(kind, entry.obj)
        elif has_finalizer(entry.obj, ORPHAN):
            await self._orphan(kind, entry.obj)
        return None

    async def _judge(self, kind: Kind, obj: Object) -> None:
        """Whether an object may stay."""
        owners = ownership.owners(obj)
        states = [self._state(kind, obj, owner) for owner in owners]
        if not owners or all(state == "solid" for state in states):
            return
        if "solid" in states:
            gone = {owner.get("uid") for owner, state in zip(owners, states, strict=True) if state != "solid"}
            await self._forget(kind, obj, gone)
            return
        below = self._index.dependents(uid(obj))
        policy = "Foreground" if "waiting" in states and below else ""
        if policy and any(_holds_dependents(entry.obj) for _, entry in below):
            await self._unblock(kind, obj)  # a circle of owners would wait for itself
            obj = self._api.get(kind, namespace(obj), name(obj)).obj
        await self._api.delete(
            kind, namespace(obj), name(obj), uid=uid(obj), resource_version=resource_version(obj), propagation=policy
        )

    def _state(self, kind: Kind, obj: Object, owner: dict[str, Any]) -> State:
        if owner.get("uid") in self._gone:
            return "gone"
        owning = self._kind(owner)
        if owning is None or (owning.resource.namespaced and not kind.resource.namespaced):
            return "solid"
        found = self._api.store.get(*self._place(owning, owner, obj))
        if found is None or uid(found.obj) != owner.get("uid"):
            return "gone"
        return "waiting" if is_deleting(found.obj) and has_finalizer(found.obj, FOREGROUND) else "solid"

    async def _foreground(self, kind: Kind, obj: Object) -> None:
        """Lets an object go when nothing blocks it any more; until then sees to it that what blocks it goes."""
        blocking = [(key, entry.obj) for key, entry in self._index.dependents(uid(obj)) if _blocks(entry.obj, obj)]
        if not blocking:
            await self._release(kind, obj, FOREGROUND)
        for key, dependent in blocking:
            if not is_deleting(dependent) and (found := self._stored(key[0])) is not None:
                await self._judge(found, dependent)

    async def _orphan(self, kind: Kind, obj: Object) -> None:
        for key, entry in self._index.dependents(uid(obj)):
            if (found := self._stored(key[0])) is not None:
                await self._forget(found, entry.obj, {uid(obj)})
        await self._release(kind, obj, ORPHAN)

    async def _forget(self, kind: Kind, obj: Object, uids: set[Any]) -> None:
        def change(present: Object) -> Object:
            kept = [owner for owner in ownership.owners(present) if owner.get("uid") not in uids]
            present["metadata"]["ownerReferences"] = kept
            return present

        await self._change(kind, obj, change)

    async def _unblock(self, kind: Kind, obj: Object) -> None:
        def change(present: Object) -> Object:
            for owner in ownership.owners(present):
                owner["blockOwnerDeletion"] = False
            return present

        await self._change(kind, obj, change)

    async def _release(self, kind: Kind, obj: Object, finalizer: str) -> None:
        def change(present: Object) -> Object:
            found = present["metadata"]
            found["finalizers"] = [entry for entry in found.get("finalizers", []) if entry != finalizer]
            return present

        await self._change(kind, obj, change)

    async def _change(self, kind: Kind, obj: Object, change: Callable[[Object], Object]) -> None:
        def step(present: Object) -> Object:
            return change(present) if uid(present) == uid(obj) else present

        try:
            await self._api.update(kind, namespace(obj), name(obj), step, subresource="garbage")
        except status.NotFound:
            return

    def _stored(self, key: str) -> Kind | None:
        """By its name in the store; None: it is served no more."""
        return next((kind for kind in self._api.registry.stored() if kind.key == key), None)

    def _kind(self, owner: dict[str, Any]) -> Kind | None:
        wanted = owner.get("apiVersion"), owner.get("kind")
        return next((k for k in self._api.registry if (k.resource.api_version, k.resource.kind) == wanted), None)

    def _place(self, kind: Kind, owner: dict[str, Any], dependent: Object) -> Key:
        where = namespace(dependent) if kind.resource.namespaced else ""
        return kind.key, where, str(owner.get("name") or "")


def _holds_dependents(obj: Object) -> bool:
    return is_deleting(obj) and (has_finalizer(obj, FOREGROUND) or has_finalizer(obj, ORPHAN))


def _blocks(dependent: Object, owner: Object) -> bool:
    return any(ref.get("uid") == uid(owner) and ref.get("blockOwnerDeletion") is True for ref in ownership.owners(dependent))
