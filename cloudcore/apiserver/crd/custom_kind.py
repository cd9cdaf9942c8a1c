"""One served version of a defined kind, as the rest of the API sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import trio

from cloudcore.apiserver import schema
from cloudcore.apiserver.crd import columns, embedded, list_types, pruning, scale_rules, validation
from cloudcore.apiserver.crd.defaulting import fill
from cloudcore.apiserver.crd.definition_kind import is_true
from cloudcore.apiserver.crd.structural import MISSING, anywhere, compile_schema
from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.kinds import Kind, Printer, ScalePaths
from cloudcore.apiserver.registry import version_order
from kube import status
from kube.field_errors import FieldError
from kube.objects import Object, is_deleting
from kube.resources import Resource
from kube.status import ApiError

_LAST_EVENTS = 0.5
"""Seconds."""
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""All of them, in the order in which Kubernetes tells those of custom resources."""


@dataclass(frozen=True)
class CustomResource(Resource):
    """A resource that may call its lists as it likes."""

    named_list: str = ""

    @property
    def list_kind(self) -> str:
        return self.named_list or f"{self.kind}List"


def served_kinds(definition: Object, revision: int) -> list[CustomKind]:
    """The kinds of an established definition. ``revision``: objects written later have seen this very definition."""
    return [CustomKind(definition, version, revision) for version in definition["spec"]["versions"] if version["served"]]


def stored_kind(definition: Object) -> CustomKind:
    """The version in which objects are stored, whether it is served or not."""
    version = next(version for version in definition["spec"]["versions"] if version["storage"])
    return CustomKind(definition, version, 0)


class CustomKind(Kind):
    """Custom resources: Kubernetes 1.34: apiextensions-apiserver/pkg/registry/customresource."""

    counts_generations = True
    strategic = False
    unstructured = True
    conditional = True

    def __init__(self, definition: Object, version: Object, revision: int) -> None:
        spec = definition["spec"]
        accepted = definition.get("status", {}).get("acceptedNames") or {}
        called = accepted if accepted.get("plural") and accepted.get("kind") else spec["names"]
        below = version.get("subresources", {})
        super().__init__(
            CustomResource(
                group=spec["group"],
                version=version["name"],
                kind=called["kind"],
                plural=called["plural"],
                singular=called.get("singular", ""),
                namespaced=spec["scope"] == "Namespaced",
                short_names=tuple(called.get("shortNames", ())),
                categories=tuple(called.get("categories", ())),
                verbs=_VERBS,
                subresources=tuple(name for name in ("status", "scale") if name in below),
                named_list=called.get("listKind", ""),
            )
        )
        self.has_status = "status" in below
        self.scale = _scale_paths(below["scale"]) if "scale" in below else None
        self.fields = frozenset(one["jsonPath"].removeprefix(".") for one in version.get("selectableFields", []))
        self.warning = _warning(self.resource, version, spec["versions"])
        self._props: Object = version.get("schema", {}).get("openAPIV3Schema", {})
        self._schema = compile_schema(self._props)
        self._rules = [
            rule
            for rule, concerned in (
                (embedded.problems, lambda node: node.embedded),
                (list_types.problems, lambda node: node.list_type != "atomic"),
            )
            if anywhere(self._schema, concerned)
        ]
        self._stored = f"{spec['group']}/{next(one['name'] for one in spec['versions'] if one['storage'])}"
        self._printer = columns.printer(version.get("additionalPrinterColumns", []))
        self._terminating = is_deleting(definition) or is_true(definition, "Terminating")
        self._revision = revision
        self._watches: set[trio.CancelScope] = set()

    @property
    def stored_version(self) -> str:
        return self._stored

    @property
    def described(self) -> Object:
        """The schema with what every object has."""
        props = {key: value for key, value in self._props.items() if key != "properties"}
        every = {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"$ref": "#/components/schemas/ObjectMeta"},
        }
        return {**props, "type": "object", "properties": {**self._props.get("properties", {}), **every}}

    @property
    def printer(self) -> Printer:
        return self._printer

    @contextmanager
    def watched(self, scope: trio.CancelScope) -> Iterator[None]:
        self._watches.add(scope)
        try:
            yield
        finally:
            self._watches.discard(scope)

    def retire(self) -> None:
        """Watches end, so that their clients come again and see what is served now; the last events still go out."""
        for scope in self._watches:
            scope.deadline = min(scope.deadline, trio.current_time() + _LAST_EVENTS)

    def creation_problem(self, name: str) -> ApiError | None:
        if not self._terminating:
            return None
        why = "create not allowed while custom resource definition is terminating"
        return status.forbidden(self.resource, name, why)

    def conform(self, value: Object) -> tuple[Object, list[str]]:
        for key in ("apiVersion", "kind"):
            if value.get(key) is not None and not isinstance(value[key], str):
                raise schema.WrongType(f".{key}", "string", value[key])
        clean, unknown = pruning.prune(value, self._schema)
        if clean.get("metadata") is None:
            clean["metadata"] = {}
        else:
            clean["metadata"], more = schema.conform("ObjectMeta", clean["metadata"])
            unknown += [f"metadata.{path}" for path in more]
        clean = _copied(clean)  # a patch may share parts with what is stored
        fill(clean, self._schema)
        return clean, unknown

    def shown(self, entry: Entry) -> Entry:
        """In this version, with the defaults that have been added since it was written."""
        version = self.resource.api_version
        if entry.obj.get("apiVersion") == version and entry.revision > self._revision:
            return entry
        obj: Object = msgspec.json.decode(entry.raw)
        obj, _ = pruning.prune(obj, self._schema)
        fill(obj, self._schema)
        obj["apiVersion"], obj["kind"] = version, self.resource.kind
        return Entry(entry.revision, obj, msgspec.json.encode(obj))

    def problems(self, obj: Object) -> list[FieldError]:
        return self._faults(obj)

    def changed_problems(self, new: Object, old: Object) -> list[FieldError]:
        return self._faults(new, old)

    def status_problems(self, new: Object, old: Object) -> list[FieldError]:
        """The status is looked at by itself, so its paths are told in its own terms where Kubernetes does so, too."""
        schema_of, wanted = self._schema.properties.get("status"), new.get("status", MISSING)
        if schema_of is None or wanted is MISSING:
            return []
        faults = validation.problems(wanted, schema_of, old.get("status", MISSING))
        return [replace(fault, field=_below("status", fault.field)) for fault in faults] + [
            *self._more(new, old),
            *scale_rules.status_problems(new, self.scale),
        ]

    def _faults(self, new: Object, old: Any = MISSING) -> list[FieldError]:
        """Rules that a schema cannot tell are held against an update only when the object fulfilled them before."""
        found = validation.problems(new, self._schema, old)
        return found + self._more(new, old) + scale_rules.problems(new, self.scale)

    def _more(self, new: Object, old: Any) -> list[FieldError]:
        found: list[FieldError] = []
        for rule in self._rules:
            faults = rule(new, self._schema)
            if faults and (old is MISSING or not rule(old, self._schema)):
                found += faults
        return found

    def prepare_status(self, new: Object, old: Object) -> None:
        """Nothing but the status is taken from the writer."""
        wanted = new.get("status")
        new.clear()
        new.update(copy.deepcopy(old))
        if wanted is None:
            new.pop("status", None)
        else:
            new["status"] = wanted

    def next_generation(self, new: Object, old: Object) -> bool:
        kept = {"metadata", "apiVersion", "kind"} | ({"status"} if self.has_status else set())
        return any(new.get(key) != old.get(key) for key in (set(new) | set(old)) - kept)


def _below(path: str, field: str) -> str:
    return path if not field else field if field == "<nil>" else f"{path}{'' if field[0] == '[' else '.'}{field}"


def _copied(value: Any) -> Any:
    """A whole copy in which whole numbers are written as such: Go does not write 8.0."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def _scale_paths(wanted: Object) -> ScalePaths:
    """Their paths are plain keys behind dots."""
    keys = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    replicas, present, selector = (tuple(part for part in wanted.get(key, "").split(".") if part) for key in keys)
    return ScalePaths(replicas, present, selector)


def _warning(resource: Resource, version: Object, versions: list[Object]) -> str:
    """Kubernetes 1.34: apiextensions-apiserver/pkg/apiserver/customresource_handler.go."""
    if not version.get("deprecated"):
        return ""
    if own := version.get("deprecationWarning"):
        return str(own)
    text = f"{resource.group}/{resource.version} {resource.kind} is deprecated"
    served = sorted((one["name"] for one in versions if one["served"] and not one.get("deprecated")), key=version_order)
    better = [name for name in served if version_order(name) < version_order(resource.version)]
    return f"{text}; use {resource.group}/{better[0]} {resource.kind}" if better else text


_API_VERSION = "The group and version of the schema that this object is written in."
_KIND = "What kind of object this is; it cannot be changed."
