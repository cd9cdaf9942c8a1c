"""Whether this node takes a pod that was bound to it. A refusal is final: phase Failed, decided by the node alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgecore.edged import pods
from edgecore.edged.status import Verdict
from kube import objects, scheduling
from kube.objects import Object

_REASONS: Final = {
    scheduling.NO_AFFINITY: "NodeAffinity",
    scheduling.NO_PORTS: "NodePorts",
    scheduling.TOO_MANY_PODS: "OutOfpods",
    scheduling.WRONG_NODE: "NodeName",
}


def as_kubelet_sees(node: Object) -> Object:
    """Cordons and NoSchedule taints concern the scheduler only; a kubelet minds NoExecute."""
    spec = dict(objects.spec(node))
    spec.pop("unschedulable", None)
    spec["taints"] = [t for t in pods.items(spec.get("taints")) if t.get("effect") == "NoExecute"]
    return node | {"spec": spec}


def judge(pod: Object, node: Object | None, admitted: Sequence[Object], ending: Sequence[Object]) -> Verdict | None:
    """None: it is taken. ``ending``: pods that still hold what they had, but not for long."""
    known = node is not None
    if node is None:
        # Nothing is known of labels and sizes yet; a host port can be taken all the same.
        node = {"metadata": {"name": pods.node_name(pod)}}
        pod = pod | {"spec": {k: v for k, v in objects.spec(pod).items() if k not in ("nodeSelector", "affinity")}}
    seen = as_kubelet_sees(node)
    reason = scheduling.fit(pod, seen, [*admitted, *ending])
    if reason is None or (not known and reason != scheduling.NO_PORTS):
        return None
    temporary = scheduling.fit(pod, seen, admitted) is None
    word = _REASONS.get(reason, "UnexpectedAdmissionError")
    if reason.startswith("Insufficient "):
        word = reason.replace("Insufficient ", "OutOf")
    return Verdict(word, f"Pod was rejected: {reason}", temporary)
