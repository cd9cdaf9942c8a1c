"""Nodes."""

from __future__ import annotations

from cloudcore.apiserver import names
from cloudcore.apiserver.kinds import Kind
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


class NodeKind(Kind):
    """A node may bring its status when it registers."""

    has_status = True
    fields = frozenset({"spec.unschedulable"})

    def defaults(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})
        status = obj["status"]
        status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
        for key in _INFO:
            status.setdefault("nodeInfo", {}).setdefault(key, "")
        if "capacity" in status and "allocatable" not in status:
            status["allocatable"] = dict(status["capacity"])

    def prepare_create(self, obj: Object) -> None:
        """Keeps the status: the kubelet registers with it."""

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        found = []
        for key, path in (("podCIDR", "spec.podCIDRs"), ("providerID", "spec.providerID")):
            if old["spec"].get(key) and new["spec"].get(key) != old["spec"][key]:
                found.append(field_errors.forbidden(path, f'node updates may not change {key} except from "" to valid'))
        return found

    def problems(self, obj: Object) -> list[FieldError]:
        found: list[FieldError] = []
        seen = set()
        for place, taint in enumerate(obj["spec"].get("taints", [])):
            path = f"metadata.taints[{place}]"
            if (why := names.qualified_problem(taint.get("key", ""))) is not None:
                found.append(field_errors.invalid(f"{path}.key", taint.get("key", ""), why))
            if taint.get("effect") not in _EFFECTS:
                found.append(field_errors.not_supported(f"{path}.effect", taint.get("effect", ""), _EFFECTS))
            identity = (taint.get("key"), taint.get("effect"))
            if identity in seen:
                found.append(field_errors.duplicate(path, taint))
            seen.add(identity)
        return found
