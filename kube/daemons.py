"""Which nodes a DaemonSet's pod belongs to, and what such a pod carries so that it gets to its node and stays there.

Source: Kubernetes 1.32: pkg/controller/daemon (daemon_controller.go, util/daemonset_util.go).
"""

from __future__ import annotations

import copy
from typing import Any, Final, NamedTuple

from kube import scheduling
from kube.objects import Object, name, spec

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_NODE_NAME: Final = "metadata.name"
_NO_EXECUTE: Final = (NOT_READY, UNREACHABLE)
_NO_SCHEDULE: Final = tuple(
    f"node.kubernetes.io/{word}" for word in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
)


class Verdict(NamedTuple):
    """runs: a pod belongs there. stays: one that is there already may stay."""

    runs: bool
    stays: bool


def tolerations(pod_spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the template, and those that every DaemonSet's pod gets: trouble with the node is no reason to leave it."""
    keys = [(key, "NoExecute") for key in _NO_EXECUTE] + [(key, "NoSchedule") for key in _NO_SCHEDULE]
    if pod_spec.get("hostNetwork"):
        keys.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    found = list(pod_spec.get("tolerations") or [])
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in keys]
    return found + [toleration for toleration in added if toleration not in found]


def pinned(affinity: dict[str, Any] | None, node: str) -> dict[str, Any]:
    """The affinity that leads a pod to one node. What the template requires of nodes has been looked at already."""
    found = copy.deepcopy(affinity or {})
    terms = [{"matchFields": [{"key": _NODE_NAME, "operator": "In", "values": [node]}]}]
    required = found.setdefault("nodeAffinity", {}).setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    required["nodeSelectorTerms"] = terms
    return found


def target(pod: Object) -> str:
    """The node that a DaemonSet's pod is on or meant for; "" when it is for none."""
    if node := spec(pod).get("nodeName"):
        return str(node)
    affinity = spec(pod).get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field.get("key") == _NODE_NAME and field.get("operator") == "In" and len(field.get("values") or []) == 1:
                return str(field["values"][0])
    return ""


def judge(template: Object, node: Object) -> Verdict:
    """Whether a pod of this template belongs to the node."""
    wanted = template.get("spec") or {}
    pod = {"spec": {**wanted, "tolerations": tolerations(wanted)}}
    if wanted.get("nodeName") not in (None, "", name(node)) or not scheduling.matches_affinity(pod, node):
        return Verdict(runs=False, stays=False)
    open_taints = [taint for taint in spec(node).get("taints") or [] if not scheduling.tolerates(pod, taint)]
    effects = {taint.get("effect") for taint in open_taints}
    return Verdict(runs=not effects & {"NoSchedule", "NoExecute"}, stays="NoExecute" not in effects)


def is_away(node: Object) -> bool:
    """Whether the node does not answer at present."""
    return any(taint.get("key") in _NO_EXECUTE for taint in spec(node).get("taints") or [])
