"""Who owns whom: ``metadata.ownerReferences``.

Source: Kubernetes 1.32: apimachinery/pkg/apis/meta/v1/controller_ref.go, pkg/controller/garbagecollector.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from kube.objects import Object, metadata, name, uid

OwnerReference: TypeAlias = dict[str, Any]

FOREGROUND: Final = "foregroundDeletion"
"""The finalizer of an object that goes after its dependents."""
ORPHAN: Final = "orphan"
"""The finalizer of an object whose dependents stay."""


def owners(obj: Object) -> list[OwnerReference]:
    """Its owner references; what is not an object in the list counts as absent."""
    found = metadata(obj).get("ownerReferences")
    return [owner for owner in found if isinstance(owner, dict)] if isinstance(found, list) else []


def controller_of(obj: Object) -> OwnerReference | None:
    """The one owner that manages it, or None."""
    return next((owner for owner in owners(obj) if owner.get("controller") is True), None)


def controller_uid(obj: Object) -> str:
    """The uid of the managing owner, or ""."""
    found = controller_of(obj)
    return str(found.get("uid") or "") if found else ""


def controller_reference(owner: Object) -> OwnerReference:
    """What a managed object carries about its manager, which must say its own apiVersion and kind."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def set_propagation(obj: Object, policy: str) -> None:
    """Gives an object, in place, the finalizer that goes with the policy of its deletion; "" leaves it as it is."""
    if not policy:
        return
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
    kept = [entry for entry in metadata(obj).get("finalizers") or [] if entry not in (FOREGROUND, ORPHAN)]
    if wanted is not None:
        kept.append(wanted)
    if kept:
        obj["metadata"]["finalizers"] = kept
    else:
        obj["metadata"].pop("finalizers", None)


def has_finalizer(obj: Object, finalizer: str) -> bool:
    return finalizer in (metadata(obj).get("finalizers") or ())
