"""The Node object and its status, purely from settings and facts.

Follows Kubernetes 1.32: pkg/kubelet/nodestatus, with the labels and the Ready reason of KubeEdge 1.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.edged import node_facts, pods
from edgecore.edged.node_facts import MachineFacts
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.status_patch import bare, conditions_diff
from kube import objects
from kube.objects import Object
from kube.quantity import QuantityError, parse

ROLES: Final = {"node-role.kubernetes.io/edge": "", "node-role.kubernetes.io/agent": ""}
ATTACH_DETACH: Final = "volumes.kubernetes.io/controller-managed-attach-detach"
EVICTION_MEMORY: Final = 100 * 1024 * 1024


@dataclass(frozen=True)
class EngineHealth:
    """runtime: ``docker://20.10.24``. trouble: "" when it answers."""

    runtime: str = ""
    trouble: str = ""


def labels(settings: EdgedSettings, facts: MachineFacts) -> dict[str, str]:
    """Those of the first registration (application-path 4.7)."""
    own = {
        "kubernetes.io/hostname": settings.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": facts.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": facts.architecture,
    }
    return own | ROLES | dict(settings.node_labels)


def node_object(settings: EdgedSettings, facts: MachineFacts, status: Object) -> Object:
    """What is sent to register this node."""
    spec: Object = {}
    if not settings.register_schedulable:
        spec["unschedulable"] = True
    if settings.taints:
        spec["taints"] = list(settings.taints)
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": settings.node_name,
            "creationTimestamp": None,
            "labels": labels(settings, facts),
            "annotations": {ATTACH_DETACH: "true"} | dict(settings.node_annotations),
        },
        "spec": spec,
        "status": status | {"daemonEndpoints": {"kubeletEndpoint": {"Port": settings.kubelet_port}}},
    }


def capacity(settings: EdgedSettings, facts: MachineFacts) -> dict[str, str]:
    return {
        "cpu": str(facts.cpus),
        "ephemeral-storage": f"{facts.disk // 1024}Ki",
        "memory": f"{facts.memory // 1024}Ki",
        "pods": str(settings.max_pods),
    }


def allocatable(settings: EdgedSettings, facts: MachineFacts) -> dict[str, str]:
    """capacity minus evictionHard (memory 100Mi, a tenth of the disk) minus kubeReserved minus systemReserved."""
    reserved = {name: _reserved(settings, name) for name in ("cpu", "memory", "ephemeral-storage")}
    memory = max(0, facts.memory - EVICTION_MEMORY - int(reserved["memory"]))
    disk = max(0, facts.disk - facts.disk // 10 - int(reserved["ephemeral-storage"]))
    cpu = max(0, facts.cpus * 1000 - round(reserved["cpu"] * 1000))
    return {
        "cpu": f"{cpu}m" if cpu % 1000 else str(cpu // 1000),
        "ephemeral-storage": str(disk),
        "memory": f"{memory // 1024}Ki",
        "pods": str(settings.max_pods),
    }


def _reserved(settings: EdgedSettings, name: str) -> float:
    total = 0.0
    for holder in (settings.kube_reserved, settings.system_reserved):
        try:
            total += parse(holder.get(name, "0")).nanos / 1e9
        except QuantityError:
            continue
    return total


def node_status(settings: EdgedSettings, facts: MachineFacts, health: EngineHealth, old: Object, now: float) -> Object:
    """Everything but daemonEndpoints, which cloudcore rewrites and which is sent at registration only."""
    return {
        "addresses": [{"type": "InternalIP", "address": facts.address}, {"type": "Hostname", "address": settings.node_name}],
        "allocatable": allocatable(settings, facts),
        "capacity": capacity(settings, facts),
        "conditions": conditions(facts, health, old, now),
        "nodeInfo": {
            "architecture": facts.architecture,
            "bootID": facts.boot_id,
            "containerRuntimeVersion": health.runtime or "unknown://unknown",
            "kernelVersion": facts.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": settings.kubelet_version,
            "machineID": facts.machine_id,
            "operatingSystem": "linux",
            "osImage": facts.os_image,
            "systemUUID": facts.system_uuid,
        },
    }


def conditions(facts: MachineFacts, health: EngineHealth, old: Object, now: float) -> list[Object]:
    """MemoryPressure, DiskPressure, PIDPressure, Ready, with the transition times of the old status kept."""
    found = [
        _pressure("MemoryPressure", "Memory", "memory available", node_facts.memory_pressure(facts)),
        _pressure("DiskPressure", "Disk", "disk pressure", node_facts.disk_pressure(facts)),
        _pressure("PIDPressure", "PID", "PID available", node_facts.pid_pressure(facts)),
        _ready(health),
    ]
    known = {str(entry.get("type")): entry for entry in pods.items(old.get("conditions"))}
    for entry in found:
        before = known.get(entry["type"], {})
        kept = before.get("lastTransitionTime") if before.get("status") == entry["status"] else None
        entry["lastTransitionTime"] = kept or objects.timestamp(now)
        entry["lastHeartbeatTime"] = objects.timestamp(now)
    return found


_CALM: Final[Mapping[str, str]] = {
    "MemoryPressure": "KubeletHasSufficientMemory",
    "DiskPressure": "KubeletHasNoDiskPressure",
    "PIDPressure": "KubeletHasSufficientPID",
}


def _pressure(kind: str, word: str, subject: str, holds: bool) -> Object:
    if holds:
        reason = f"KubeletHasInsufficient{word}" if kind != "DiskPressure" else "KubeletHasDiskPressure"
        text = f"kubelet has insufficient {subject}" if kind != "DiskPressure" else "kubelet has disk pressure"
        return {"type": kind, "status": "True", "reason": reason, "message": text}
    text = "kubelet has no disk pressure" if kind == "DiskPressure" else f"kubelet has sufficient {subject}"
    return {"type": kind, "status": "False", "reason": _CALM[kind], "message": text}


def _ready(health: EngineHealth) -> Object:
    if health.trouble:
        text = f"container runtime is down: {health.trouble}"
        return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": text}
    return {"type": "Ready", "status": "True", "reason": "EdgeReady", "message": "edge is posting ready status"}


def status_patch(old: Object, wanted: Object, *, heartbeat: bool = False) -> Object:
    """What to send as ``status``; empty when nothing but heartbeat times changed, unless ``heartbeat``."""
    patch: Object = {}
    for key, value in wanted.items():
        before = old.get(key)
        if key == "conditions":
            patch |= conditions_diff(pods.items(before), pods.items(value), heartbeats=heartbeat)
        elif key == "addresses":
            if bare(before) != bare(value):
                patch[key] = [*value, {"$patch": "replace"}]
        elif changed := _map_diff(pods.mapping(before), value, amounts=key in ("capacity", "allocatable")):
            patch[key] = changed
    return patch


def _map_diff(before: Object, wanted: Object, *, amounts: bool) -> Object:
    """capacity, allocatable, nodeInfo: the changed members. amounts: an API server writes 2048Ki as 2Mi, which is no change."""
    same = _same_amount if amounts else _same_text
    return {key: value for key, value in wanted.items() if not same(before.get(key), value)}


def _same_text(before: object, value: str) -> bool:
    return (before or "") == value


def _same_amount(before: object, value: str) -> bool:
    try:
        return parse(before) == parse(value)
    except QuantityError:
        return before == value


def missing_metadata(settings: EdgedSettings, facts: MachineFacts, node: Object) -> Object:
    """Labels and annotations of ours that an existing Node lacks, as a patch of its metadata; empty when none."""
    patch: Object = {}
    wanted, found = labels(settings, facts), objects.labels(node)
    if lacking := {key: value for key, value in wanted.items() if found.get(key) != value}:
        patch["labels"] = lacking
    notes = {ATTACH_DETACH: "true"} | dict(settings.node_annotations)
    if lacking := {key: value for key, value in notes.items() if objects.annotations(node).get(key) != value}:
        patch["annotations"] = lacking
    return patch
