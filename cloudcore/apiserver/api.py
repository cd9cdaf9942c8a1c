"""The verbs on objects, without HTTP: what is checked and changed before the store takes a write."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from cloudcore.apiserver import heavy, metadata
from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.shelf import Place
from cloudcore.apiserver.store import Result, Store
from kube import field_errors, status
from kube.objects import Object, timestamp
from kube.ownership import set_propagation
from kube.resources import NAMESPACES

_ATTEMPTS: Final = 5
"""How often a large object is worked on beside the store while others change it; Kubernetes, too, gives up patches then."""
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""Seconds since the epoch: who wants more grace than a timestamp can tell gets what it can."""


class _Moved(Exception):
    """Somebody has changed the object since it was looked at."""


class Api:
    """All writes go through here, also those of our own controllers. Objects given in must have passed their shape."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry

    def get(self, kind: Kind, namespace: str, name: str) -> Entry:
        """Raises ApiError (404)."""
        entry = self.store.get(kind.key, namespace, name)
        if entry is None:
            raise status.not_found(kind.resource, name)
        return entry

    async def create(self, kind: Kind, namespace: str, obj: Object, *, dry_run: bool = False, size: int = 0) -> Entry:
        """Stores a new object and returns it as stored. size: about how many bytes of JSON it is, when that may be many.

        Raises ApiError: it exists, its namespace does not, or it is invalid.
        """
        obj = await heavy.beside(size, partial(self._new, kind, namespace, obj))
        name = obj["metadata"].get("name", "")

        def add(present: Object | None) -> Object:
            self._check_namespace(kind, namespace, name)
            if present is not None:
                raise status.already_exists(kind.resource, name, deleting="deletionTimestamp" in present["metadata"])
            return obj

        result = await self.store.mutate(kind.key, namespace, name, add, dry_run=dry_run)
        assert result.after is not None  # noqa: S101 - add never removes
        return result.after

    def _new(self, kind: Kind, namespace: str, obj: Object) -> Object:
        if (refusal := kind.creation_problem(obj.get("metadata", {}).get("name", ""))) is not None:
            raise refusal
        if obj.get("metadata", {}).get("resourceVersion"):
            raise status.unexplained(500, "resourceVersion should not be set on objects to be created")
        metadata.prepare_new(obj, namespace)
        obj = _headed(obj, kind)
        kind.defaults(obj)
        kind.prepare_create(obj)
        if kind.counts_generations:
            obj["metadata"]["generation"] = 1
        name = obj["metadata"].get("name", "")
        if faults := [*metadata.problems(obj, kind.name_problem), *kind.problems(obj)]:
            raise status.invalid(kind.resource, name, faults)
        return obj

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.resource.namespaced:
            return
        found = self.store.peek(NAMESPACES.qualified, "", namespace)
        if found is None:
            raise status.not_found(NAMESPACES, namespace)
        if found.obj["metadata"].get("deletionTimestamp"):
            raise status.in_terminating_namespace(kind.resource, name, namespace)

    async def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        *,
        subresource: str = "",
        dry_run: bool = False,
        patch: bool = False,
        size: int = 0,
    ) -> Entry:
        """Replaces an object by what ``change`` makes of a copy of it (which it may alter). It may be called several times.

        subresource: "status" keeps everything but the status, another one ("binding") takes the change as it is.
        patch: whether the object is a patched one, and not one that a client has sent whole. size: bytes of JSON that ``change``
        works with.
        Raises ApiError: absent, changed meanwhile, or the result is invalid.
        """

        def apply(stored: Entry, present: Object | None = None) -> Object:
            shown = kind.shown(stored)
            if present is None or shown is not stored:
                present = msgspec.json.decode(shown.raw)
            return self._next(kind, change(present), shown.obj, subresource, patch=patch)

        for _ in range(_ATTEMPTS):
            seen, made = self.store.get(kind.key, namespace, name), None
            if seen is not None and subresource in ("", "status") and heavy.is_large(max(size, len(seen.raw))):
                made = seen, await heavy.beside(max(size, len(seen.raw)), partial(apply, seen))
            with suppress(_Moved):
                return await self._store(kind, (namespace, name), apply, made, dry_run=dry_run)
        raise status.conflict(kind.resource, name)

    async def _store(
        self,
        kind: Kind,
        place: Place,
        apply: Callable[[Entry, Object], Object],
        made: tuple[Entry, Object] | None,
        *,
        dry_run: bool,
    ) -> Entry:
        """made: a state, and what has been made of it already. Raises ApiError, _Moved: it is not the present state any more."""
        new: Object = {}

        def step(present: Object | None) -> Object | None:
            nonlocal new
            if present is None:
                raise status.not_found(kind.resource, place[1])
            stored = self.store.peek(kind.key, *place)
            assert stored is not None  # noqa: S101 - the store has just given it to us
            if made is not None and stored is not made[0]:
                raise _Moved
            new = apply(stored, present) if made is None else made[1]
            return None if _finished(new) else new

        result = await self.store.mutate(kind.key, *place, step, dry_run=dry_run)
        if result.after is not None:
            return result.after
        # The last finalizer is gone, and the object with it: the answer shows what it would have become.
        revision = result.before.revision if result.before else 0
        return Entry(revision, new, msgspec.json.encode(new))

    def _next(self, kind: Kind, new: Object, old: Object, subresource: str, *, patch: bool) -> Object:
        resource, name = kind.resource, old["metadata"]["name"]
        _check_identity(kind, new.get("metadata", {}), old["metadata"], patch=patch)
        faults = metadata.update_problems(new["metadata"], old["metadata"]) if not subresource else []
        metadata.carry_over(new, old)
        new = _headed(new, kind)
        if subresource == "status":
            kind.prepare_status(new, old)
            faults += [*metadata.problems(new, _any_name), *kind.status_problems(new, old)]
        elif subresource:
            faults = []  # our own change, not a client's object
        else:
            kind.defaults(new)
            kind.prepare_update(new, old)
            faults += [*metadata.problems(new, _any_name), *kind.changed_problems(new, old)]
        if faults:
            raise status.invalid(resource, name, faults)
        if kind.counts_generations and not subresource and kind.next_generation(new, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return new

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
        dry_run: bool = False,
    ) -> Result:
        """Removes an object, or begins its graceful deletion.

        propagation: what becomes of its dependents: Foreground, Background, Orphan; "": as its finalizers say.
        Raises ApiError: absent, never to be deleted, or a precondition failed.
        """
        if why := kind.deletion_problem(name):
            raise status.forbidden(kind.resource, name, why)

        def end(present: Object | None) -> Object | None:
            if present is None:
                raise status.not_found(kind.resource, name)
            found = present["metadata"]
            if uid and uid != found["uid"]:
                raise status.uid_conflict(kind.resource, name, uid, found["uid"])
            if resource_version and resource_version != found["resourceVersion"]:
                raise status.version_conflict(kind.resource, name, resource_version, found["resourceVersion"])
            if not found.get("deletionTimestamp"):
                kind.prepare_delete(present)
            set_propagation(present, propagation)
            return _begin_deletion(kind, present, kind.grace(present, grace_seconds))

        return await self.store.mutate(kind.key, namespace, name, end, dry_run=dry_run)


def _check_identity(kind: Kind, wanted: Object, present: Object, *, patch: bool) -> None:
    """Raises ApiError: the writer thinks of another version, or of another object of that name."""
    version, uid = wanted.get("resourceVersion", ""), wanted.get("uid", "")
    resource, name = kind.resource, present["name"]
    if not patch and uid and uid != present["uid"]:
        raise status.other_object(resource, present.get("namespace", ""), name, uid, present["uid"])
    if not version and kind.conditional:
        raise status.version_required(resource, name)
    if version not in ("", "0") and version != present["resourceVersion"]:
        if not (version.isascii() and version.isdigit()):
            raise status.unexplained(500, f'strconv.ParseUint: parsing "{version}": invalid syntax')
        raise status.conflict(resource, name)
    if uid and uid != present["uid"]:
        raise status.invalid(resource, name, [field_errors.invalid("metadata.uid", uid, "field is immutable")])


def _headed(obj: Object, kind: Kind) -> Object:
    """Kind and version first: that is how it is stored, and how a list can leave them out."""
    return {"kind": kind.resource.kind, "apiVersion": kind.stored_version} | {
        key: value for key, value in obj.items() if key not in ("kind", "apiVersion")
    }


def _any_name(_name: str) -> str | None:
    """The name was checked at creation; later rules shall not lock an object."""
    return None


def _holders(obj: Object) -> list[Any]:
    found = list(obj["metadata"].get("finalizers", []))
    if obj["kind"] == "Namespace":
        found += obj.get("spec", {}).get("finalizers", [])
    return found


def _finished(obj: Object) -> bool:
    found = obj["metadata"]
    return bool(found.get("deletionTimestamp")) and not found.get("deletionGracePeriodSeconds") and not _holders(obj)


def _begin_deletion(kind: Kind, obj: Object, grace: int) -> Object | None:
    found = obj["metadata"]
    if found.get("deletionTimestamp"):
        if grace >= found.get("deletionGracePeriodSeconds", 0) and not (grace == 0 and not _holders(obj)):
            return obj
    elif kind.counts_generations:
        found["generation"] = found.get("generation", 0) + 1
    if grace == 0 and not _holders(obj):
        return None
    found["deletionTimestamp"] = timestamp(min(time.time() + grace, _LAST))
    if kind.resource != NAMESPACES:
        found["deletionGracePeriodSeconds"] = grace
    kind.begin_deletion(obj)
    return obj
