"""Which pods a ReplicaSet gives up first."""

from __future__ import annotations

from typing import Any

from cloudcore.apiserver.apps.victims import DELETION_COST, to_delete
from kube.objects import Object, timestamp

NOW = 1_800_000_000.0


def pod(
    name: str, *, node: str = "n", phase: str = "Running", ready: float | None = 1000, age: float = 5000, **more: Any
) -> Object:
    condition = {"type": "Ready", "status": "False" if ready is None else "True"}
    if ready is not None:
        condition["lastTransitionTime"] = timestamp(NOW - ready)
    found = {"name": name, "uid": name, "creationTimestamp": timestamp(NOW - age), "annotations": more.get("annotations", {})}
    status = {"phase": phase, "conditions": [condition], "containerStatuses": [{"restartCount": more.get("restarts", 0)}]}
    return {"metadata": found, "spec": {"nodeName": node} if node else {}, "status": status}


def chosen(*pods: Object, number: int = 1) -> list[str]:
    return [found["metadata"]["name"] for found in to_delete(pods, number, pods, NOW)]


def test_the_order() -> None:
    best = pod("best", node="other")
    assert chosen(best, pod("unassigned", node="")) == ["unassigned"]
    assert chosen(best, pod("pending", phase="Pending", node="third")) == ["pending"]
    assert chosen(best, pod("unready", ready=None, node="third")) == ["unready"]
    assert chosen(pod("cheap", annotations={DELETION_COST: "-1"}), best, pod("crowd"), pod("crowd2")) == ["cheap"]
    assert chosen(best, pod("crowd1"), pod("crowd2"), number=2) == ["crowd1", "crowd2"]
    assert chosen(best, pod("just-ready", ready=10, node="third")) == ["just-ready"]
    assert chosen(best, pod("restarted", restarts=3, node="third")) == ["restarted"]
    assert chosen(best, pod("young", age=1, node="third")) == ["young"]


def test_all_of_them_and_what_cannot_be_read() -> None:
    assert sorted(chosen(pod("a"), pod("b"), number=5)) == ["a", "b"]
    assert chosen(pod("a", annotations={DELETION_COST: "much"}), pod("b", annotations={DELETION_COST: "1"})) == ["a"]
