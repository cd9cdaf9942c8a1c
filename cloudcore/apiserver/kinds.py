"""How one kind of object behaves: its defaults, its rules, what a status write may touch, how it goes away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import trio

from cloudcore.apiserver import names, schema
from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.table_parts import Column
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object
from kube.resources import Resource
from kube.status import ApiError

Printer: TypeAlias = tuple[tuple[Column, ...], Callable[[Object, float], list[Any]]]
"""Columns of a table, and the cells of one object at a time (seconds since the epoch)."""


@dataclass(frozen=True)
class ScalePaths:
    """Where an object keeps what its ``scale`` subresource shows. The selector is an object or a string already."""

    replicas: tuple[str, ...] = ("spec", "replicas")
    present: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")


class Kind:
    """A kind without habits of its own. Objects given to the methods have passed their shape."""

    has_status: bool = False
    counts_generations: bool = False
    strategic: bool = True
    """Whether strategic merge patches are understood; for custom resources they are not."""
    unstructured: bool = False
    """Whether Kubernetes keeps it without a type of its own, which shows here and there: a custom resource."""
    conditional: bool = False
    """Whether an update must say which version it replaces."""
    warning: str = ""
    """What is told to everybody who uses it: that its version is deprecated."""
    returns_deleted: bool = False
    """Whether a deletion answers the object instead of a Status."""
    scale: ScalePaths | None = None
    """None: it has no scale."""
    fields: frozenset[str] = frozenset()
    """What field selectors may look at beside metadata.name and metadata.namespace."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    @property
    def key(self) -> str:
        """The name in the store."""
        return self.resource.qualified

    @property
    def stored_version(self) -> str:
        """The ``apiVersion`` under which objects are stored. Kinds that differ in nothing else share a key."""
        return self.resource.api_version

    @property
    def item_start(self) -> bytes:
        """How the JSON of a stored object begins with what is left out in a list; b"": nothing is."""
        if self.unstructured:
            return b""
        return b'{"kind":"%b","apiVersion":"%b",' % (self.resource.kind.encode(), self.resource.api_version.encode())

    @property
    def described(self) -> Object | None:
        """The OpenAPI v3 schema of the whole object; None: made from its shape."""
        return None

    @property
    def printer(self) -> Printer | None:
        """How tables show it; None: as tables.py says."""
        return None

    def conform(self, value: Object) -> tuple[Object, list[str]]:
        """A clean object from outside JSON, and the paths of unknown fields that were left out.

        Raises schema.WrongType.
        """
        return schema.conform(self.resource.kind, value)

    def shown(self, entry: Entry) -> Entry:
        """A stored state as this version of the kind shows it."""
        return entry

    def watched(self, scope: trio.CancelScope) -> AbstractContextManager[None]:
        """What stands around a watch; its scope may be cancelled when the kind is served no more."""
        return nullcontext()

    def retire(self) -> None:
        """It is served no more, or by another definition."""

    def creation_problem(self, name: str) -> ApiError | None:
        """Why no object of this kind can be made at present."""
        return None

    def name_problem(self, name: str) -> str | None:
        return names.subdomain_problem(name)

    def defaults(self, obj: Object) -> None:
        """Fills in, in place, what the writer left out."""

    def prepare_create(self, obj: Object) -> None:
        """What a creator cannot decide."""
        if self.has_status:
            obj.pop("status", None)

    def prepare_update(self, new: Object, old: Object) -> None:
        """What an update of the object itself cannot change: its status."""
        if self.has_status:
            _take(new, old, "status")

    def prepare_status(self, new: Object, old: Object) -> None:
        """What an update of the status cannot change: everything else but labels, annotations and the like."""
        for key in (set(new) | set(old)) - {"status", "metadata", "apiVersion", "kind"}:
            _take(new, old, key)

    def problems(self, obj: Object) -> list[FieldError]:
        """What is wrong with the object."""
        return []

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        """What is wrong with the step from ``old`` to ``new``."""
        return []

    def changed_problems(self, new: Object, old: Object) -> list[FieldError]:
        """What is wrong with an updated object and with the step to it."""
        return [*self.problems(new), *self.update_problems(new, old)]

    def status_problems(self, new: Object, old: Object) -> list[FieldError]:
        """What is wrong with an update of the status."""
        return []

    def next_generation(self, new: Object, old: Object) -> bool:
        """Whether the step counts as a change of what is wanted."""
        return bool(new.get("spec") != old.get("spec"))

    def grace(self, obj: Object, wanted: int | None) -> int:
        """Seconds between the request to delete and the end; 0: at once."""
        return 0

    def deletion_problem(self, name: str) -> str:
        """Why an object of this name is never deleted; "" when it may be."""
        return ""

    def prepare_delete(self, obj: Object) -> None:
        """Changes, in place, what the first request to delete changes, such as a finalizer that it adds."""

    def begin_deletion(self, obj: Object) -> None:
        """Changes, in place, what a started deletion changes beside the metadata."""


def _take(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


class LeaseKind(Kind):
    def defaults(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def problems(self, obj: Object) -> list[FieldError]:
        spec = obj.get("spec", {})
        found = []
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            found.append(field_errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if spec.get("leaseTransitions", 0) < 0:
            found.append(
                field_errors.invalid("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")
            )
        return found


class EventKind(Kind):
    fields = frozenset(
        {f"involvedObject.{key}" for key in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")}
        | {"reason", "reportingComponent", "source", "type"}
    )

    def defaults(self, obj: Object) -> None:
        obj.setdefault("source", {})
        for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(key, None)
        for key in ("reportingComponent", "reportingInstance"):
            obj.setdefault(key, "")

    def problems(self, obj: Object) -> list[FieldError]:
        involved = obj.get("involvedObject", {}).get("namespace", "") or "default"
        if involved != obj["metadata"].get("namespace"):
            why = "does not match event.namespace"
            return [field_errors.invalid("involvedObject.namespace", obj.get("involvedObject", {}).get("namespace", ""), why)]
        return []


class NamespaceKind(Kind):
    has_status = True
    fields = frozenset({"status.phase"})

    def name_problem(self, name: str) -> str | None:
        return names.label_problem(name)

    def defaults(self, obj: Object) -> None:
        metadata = obj["metadata"]
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")

    def prepare_create(self, obj: Object) -> None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        _take(new, old, "spec")

    def deletion_problem(self, name: str) -> str:
        """Kubernetes 1.32: plugin/pkg/admission/namespace/lifecycle, immortalNamespaces."""
        return "this namespace may not be deleted" if name in ("default", "kube-system", "kube-public") else ""

    def begin_deletion(self, obj: Object) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"
