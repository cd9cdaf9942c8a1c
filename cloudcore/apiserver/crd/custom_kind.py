"""One served version of a defined kind, as the rest of the API sees it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import msgspec

from cloudcore.apiserver import schema
from cloudcore.apiserver.crd import columns, list_types, pruning, validation
from cloudcore.apiserver.crd.defaulting import fill
from cloudcore.apiserver.crd.definition_kind import is_true
from cloudcore.apiserver.crd.structural import compile_schema
from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.kinds import Kind, Printer, ScalePaths
from kube import status
from kube.field_errors import FieldError
from kube.objects import Object, is_deleting
from kube.resources import ALL_VERBS, Resource
from kube.status import ApiError


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
                verbs=ALL_VERBS,
                subresources=tuple(name for name in ("status", "scale") if name in below),
                named_list=called.get("listKind", ""),
            )
        )
        self.has_status = "status" in below
        self.scale = _scale_paths(below["scale"]) if "scale" in below else None
        self.fields = frozenset(one["jsonPath"].removeprefix(".") for one in version.get("selectableFields", []))
        self.warning = _warning(self.resource, version)
        self._props: Object = version.get("schema", {}).get("openAPIV3Schema", {})
        self._schema = compile_schema(self._props)
        self._stored = f"{spec['group']}/{next(one['name'] for one in spec['versions'] if one['storage'])}"
        self._printer = columns.printer(version.get("additionalPrinterColumns", []))
        self._terminating = is_deleting(definition) or is_true(definition, "Terminating")
        self._revision = revision

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

    def creation_problem(self) -> ApiError | None:
        if not self._terminating:
            return None
        why = "create not allowed while custom resource definition is terminating"
        return status.make(405, "MethodNotAllowed", why, {"group": self.resource.group, "kind": self.resource.plural})

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
        clean = copy.deepcopy(clean)  # a patch may share parts with what is stored
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
        return self._faults(new, old)

    def _faults(self, new: Object, old: Any = None) -> list[FieldError]:
        if old is None:
            return validation.problems(new, self._schema) + list_types.problems(new, self._schema)
        found, doubles = validation.problems(new, self._schema, old), list_types.problems(new, self._schema)
        return found + (doubles if doubles and not list_types.problems(old, self._schema) else [])

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


def _scale_paths(wanted: Object) -> ScalePaths:
    """Their paths are plain keys behind dots."""
    keys = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
    replicas, present, selector = (tuple(part for part in wanted.get(key, "").split(".") if part) for key in keys)
    return ScalePaths(replicas, present, selector)


def _warning(resource: Resource, version: Object) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{resource.group}/{resource.version} {resource.kind} is deprecated"


_API_VERSION = "The group and version of the schema that this object is written in."
_KIND = "What kind of object this is; it cannot be changed."
