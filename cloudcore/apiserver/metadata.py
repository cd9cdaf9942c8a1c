"""What every object has: names, labels, uid, timestamps; what a writer may change of them and what not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, Final

from cloudcore.apiserver import names
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object, timestamp

_KEPT: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "name", "namespace")
_ANNOTATIONS_LIMIT: Final = 256 * 1024
STANDARD_FINALIZERS: Final = ("kubernetes", "orphan", "foregroundDeletion")
"""Those that need no domain. Kubernetes 1.34: pkg/apis/core/helper/helpers.go, standardFinalizers."""


def prepare_new(obj: Object, namespace: str) -> None:
    """What the server decides for a new object."""
    metadata = obj.setdefault("metadata", {})
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "managedFields"):
        metadata.pop(key, None)
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = names.with_suffix(metadata["generateName"])
    _drop_empty(metadata)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = timestamp()


def carry_over(new: Object, old: Object) -> None:
    """What an update cannot change, whatever it says."""
    fresh, present = new.setdefault("metadata", {}), old["metadata"]
    for key in _KEPT:
        if key in present:
            fresh[key] = present[key]
        else:
            fresh.pop(key, None)
    fresh.pop("selfLink", None)
    fresh.pop("managedFields", None)
    _drop_empty(fresh)


def _drop_empty(metadata: dict[str, Any]) -> None:
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(key):
            metadata.pop(key, None)


def update_problems(wanted: dict[str, Any], present: dict[str, Any]) -> list[FieldError]:
    """What is wrong with the step from one metadata to another, before ``carry_over`` has mended it."""
    found: list[FieldError] = []
    if present.get("deletionTimestamp"):
        added = sorted(set(wanted.get("finalizers", [])) - set(present.get("finalizers", [])))
        if added:
            shown = f"[]string{{{', '.join(json.dumps(finalizer) for finalizer in added)}}}"
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            found.append(field_errors.forbidden("metadata.finalizers", why))
    return found + [
        field_errors.invalid(f"metadata.{key}", wanted[key], "field is immutable")
        for key in ("deletionTimestamp",)
        if wanted.get(key) and wanted[key] != present.get(key)
    ]


def problems(obj: Object, name_problem: Callable[[str], str | None]) -> list[FieldError]:
    """What is wrong with the metadata of an object that has its final name."""
    metadata = obj["metadata"]
    found: list[FieldError] = []
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix and (why := name_problem(_masked(prefix))) is not None:
        found.append(field_errors.invalid("metadata.generateName", prefix, why))
    if not name:
        found.append(field_errors.required("metadata.name", "name or generateName is required"))
    elif (why := name_problem(name)) is not None:
        found.append(field_errors.invalid("metadata.name", name, why))
    found += label_problems(metadata.get("labels", {}), "metadata.labels")
    size = 0
    for key, value in metadata.get("annotations", {}).items():
        size += len(key.encode()) + len(value.encode())
        if (why := names.qualified_problem(key.lower())) is not None:
            found.append(field_errors.invalid("metadata.annotations", key, why))
    if size > _ANNOTATIONS_LIMIT:
        found.append(field_errors.too_long("metadata.annotations", _ANNOTATIONS_LIMIT))
    return found + _owner_problems(metadata) + _finalizer_problems(metadata.get("finalizers", []))


def _masked(prefix: str) -> str:
    """A prefix may end in a dash, for more will follow."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def _owner_problems(metadata: dict[str, Any]) -> list[FieldError]:
    found: list[FieldError] = []
    path, owners = "metadata.ownerReferences", metadata.get("ownerReferences", [])
    for owner in owners:
        found += [
            field_errors.invalid(f"{path}.{key}", "", "version must not be empty" if key == "apiVersion" else "must not be empty")
            for key in ("apiVersion", "kind", "name", "uid")
            if not owner.get(key)
        ]
        if (owner.get("apiVersion"), owner.get("kind")) in (("v1", "Event"), ("events.k8s.io/v1", "Event")):
            group, _, version = f"/{owner['apiVersion']}".rpartition("/")
            why = f"{group.strip('/')}/{version}, Kind=Event is disallowed from being an owner"
            found.append(field_errors.invalid(path, owner, why))
    controllers = [f"{owner.get('kind')}/{owner.get('name')}" for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        why = (
            f'Only one reference can have Controller set to true. Found "true" in references for {" and ".join(controllers[:2])}'
        )
        found.append(field_errors.invalid(path, owners, why))
    return found


def _finalizer_problems(finalizers: list[str]) -> list[FieldError]:
    found = [
        field_errors.invalid("metadata.finalizers", finalizer, why)
        for finalizer in finalizers
        if (why := names.qualified_problem(finalizer)) is not None
    ]
    for place, finalizer in enumerate(finalizers):
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(field_errors.invalid(f"metadata.finalizers[{place}]", finalizer, why))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(field_errors.invalid("metadata.finalizers", finalizers, why))
    return found


def label_problems(labels: dict[str, str], path: str) -> list[FieldError]:
    found = []
    for key, value in labels.items():
        if (why := names.qualified_problem(key)) is not None:
            found.append(field_errors.invalid(path, key, why))
        if (why := names.label_value_problem(value)) is not None:
            found.append(field_errors.invalid(path, value, why))
    return found
