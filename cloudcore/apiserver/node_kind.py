"""Nodes."""

from __future__ import annotations

from cloudcore.apiserver import names
from cloudcore.apiserver.kinds import Kind
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class NodeKind(Kind):
    """A node may bring its status when it registers."""

    has_status = True
    fields = frozenset({"spec.unschedulable"})

    def defaults(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})
        status = obj["status"]
        if "capacity" in status and "allocatable" not in status:
            status["allocatable"] = dict(status["capacity"])

    def prepare_create(self, obj: Object) -> None:
        """Keeps the status: the kubelet registers with it."""

    def problems(self, obj: Object) -> list[FieldError]:
        found: list[FieldError] = []
        seen = set()
        for place, taint in enumerate(obj["spec"].get("taints", [])):
            path = f"spec.taints[{place}]"
            if (why := names.qualified_problem(taint.get("key", ""))) is not None:
                found.append(field_errors.invalid(f"{path}.key", taint.get("key", ""), why))
            if taint.get("effect") not in _EFFECTS:
                found.append(field_errors.not_supported(f"{path}.effect", taint.get("effect", ""), _EFFECTS))
            identity = (taint.get("key"), taint.get("effect"))
            if identity in seen:
                found.append(field_errors.duplicate(path, taint))
            seen.add(identity)
        return found
