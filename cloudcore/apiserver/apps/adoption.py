"""Objects that a controller takes for its own, and those that it lets go.

Kubernetes 1.32: pkg/controller/controller_ref_manager.go: what matches the selector and has no manager is adopted, what is
managed and does not match any more is released.
"""

from __future__ import annotations

from collections.abc import Iterable

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps.keyed import Place, place_of
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.history import Change, Entry
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.store import Store
from kube import selectors, status
from kube.objects import Object, is_deleting, name, namespace, uid
from kube.ownership import controller_of, controller_reference, owners
from kube.resources import Resource
from kube.selectors import LabelSelector


def selector_of(owner: Object) -> LabelSelector:
    """Which objects belong to the owner; one that cannot be read, or an empty one, matches nothing."""
    try:
        found = selectors.from_object(owner.get("spec", {}).get("selector"))
    except selectors.SelectorError:
        return LabelSelector(nothing=True)
    return found if found.requirements else LabelSelector(nothing=True)


def concerned(store: Store, managers: Resource, change: Change) -> Iterable[Place]:
    """Which owners a change of a possible dependent concerns: its manager, or all that might adopt it."""
    for entry in (change.entry, change.before):
        if entry is None:
            continue
        manager = controller_of(entry.obj)
        if manager is None:
            for other in store.entries(managers.qualified, namespace(entry.obj)):
                if selector_of(other.obj).matches(entry.obj):
                    yield place_of(other.obj)
        elif manager.get("kind") == managers.kind and manager.get("apiVersion") == managers.api_version:
            yield namespace(entry.obj), manager.get("name", "")


async def claim(api: Api, index: Ownership, kind: Kind, owner: Object) -> list[Entry]:
    """All objects of ``kind`` that belong to ``owner`` from now on.

    Raises ApiError when one of them changed meanwhile.
    """
    selector, mine = selector_of(owner), []
    for entry in index.managed(kind.key, uid(owner)):
        if selector.matches(entry.obj):
            mine.append(entry)
        elif not is_deleting(owner):
            await _release(api, kind, owner, entry.obj)
    if is_deleting(owner):
        return mine
    free = [entry.obj for entry in index.free(kind.key, namespace(owner))]
    return mine + [await _adopt(api, kind, owner, obj) for obj in free if selector.matches(obj) and not is_deleting(obj)]


async def _adopt(api: Api, kind: Kind, owner: Object, obj: Object) -> Entry:
    def change(present: Object) -> Object:
        if uid(present) != uid(obj) or controller_of(present) is not None:
            raise status.conflict(kind.resource, name(obj))
        others = [ref for ref in owners(present) if ref.get("uid") != uid(owner)]
        present["metadata"]["ownerReferences"] = [*others, controller_reference(owner)]
        return present

    return await api.update(kind, namespace(obj), name(obj), change)


async def _release(api: Api, kind: Kind, owner: Object, obj: Object) -> None:
    def change(present: Object) -> Object:
        found = present["metadata"]
        found["ownerReferences"] = [ref for ref in found.get("ownerReferences", []) if ref.get("uid") != uid(owner)]
        return present

    try:
        await api.update(kind, namespace(obj), name(obj), change)
    except status.NotFound:
        return
