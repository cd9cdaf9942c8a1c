"""CustomResourceDefinitions as objects: defaults, rules, and the part of the status that the writer does not decide."""

from __future__ import annotations

from typing import Final

from cloudcore.apiserver.crd import definition_rules
from cloudcore.apiserver.kinds import Kind
from kube.field_errors import FieldError
from kube.objects import Object, timestamp

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
"""Holds a definition until its objects are gone."""


def condition(obj: Object, type_: str) -> Object:
    """That condition of a definition, or {}."""
    found: Object = next((one for one in (obj.get("status", {}).get("conditions") or []) if one.get("type") == type_), {})
    return found


def is_true(obj: Object, type_: str) -> bool:
    return condition(obj, type_).get("status") == "True"


def set_condition(obj: Object, type_: str, status: str, reason: str, message: str) -> None:
    """In place; the time of the transition changes with the status only."""
    present = condition(obj, type_)
    new = {"type": type_, "status": status, "reason": reason, "message": message}
    same = present.get("status") == status
    new["lastTransitionTime"] = present.get("lastTransitionTime", timestamp()) if same else timestamp()
    if present:
        present.update(new)
    else:
        block = obj.setdefault("status", {})
        block["conditions"] = [*(block.get("conditions") or []), new]


class DefinitionKind(Kind):
    """Kubernetes 1.34: apiextensions-apiserver/pkg/registry/customresourcedefinition."""

    has_status = True
    counts_generations = True
    conditional = True

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        called = spec.setdefault("names", {})
        if kind := called.get("kind"):
            called.setdefault("singular", kind.lower())
            called.setdefault("listKind", f"{kind}List")
        spec.setdefault("conversion", {"strategy": "None"})
        if not spec.get("preserveUnknownFields"):
            spec.pop("preserveUnknownFields", None)
        for version in spec.setdefault("versions", []):
            version.setdefault("served", False)
            version.setdefault("storage", False)

    def prepare_create(self, obj: Object) -> None:
        """Kubernetes says null until there are conditions; there are clients that fail on it."""
        stored = [version.get("name", "") for version in obj["spec"]["versions"] if version["storage"]]
        obj["status"] = {"conditions": [], "acceptedNames": {"kind": "", "plural": ""}, "storedVersions": stored[:1]}

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        self._add_stored(new)

    def prepare_status(self, new: Object, old: Object) -> None:
        super().prepare_status(new, old)
        self._add_stored(new)

    def _add_stored(self, new: Object) -> None:
        """Objects are stored in the version that is so marked from now on."""
        stored = new.get("status", {}).get("storedVersions", [])
        added = [v["name"] for v in new["spec"]["versions"] if v["storage"] and v.get("name") and v["name"] not in stored]
        if added:
            new["status"] = {**new.get("status", {}), "storedVersions": [*stored, added[0]]}

    def problems(self, obj: Object) -> list[FieldError]:
        return definition_rules.name_problems(obj) + definition_rules.problems(obj)

    def changed_problems(self, new: Object, old: Object) -> list[FieldError]:
        return definition_rules.problems(new) + self.update_problems(new, old)

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        return definition_rules.update_problems(new, old, established=is_true(old, "Established"))

    def status_problems(self, new: Object, old: Object) -> list[FieldError]:
        return definition_rules.status_problems(new)

    def prepare_delete(self, obj: Object) -> None:
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        set_condition(obj, "Terminating", "True", "InstanceDeletionPending", why)
