"""When a rollout is complete, and why a pod does not run, in one line."""

from __future__ import annotations

from typing import Any

import pytest

from keadm.rollout import complete, newest, reason_of


def deployment(**status: int) -> dict[str, Any]:
    counts = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    return {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": counts | status}


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 1}, {"replicas": 3}, {"updatedReplicas": 1}, {"availableReplicas": 1}],
    ids=lambda one: next(iter(one)),
)
def test_everything_must_be_new_and_available(status: dict[str, int]) -> None:
    assert complete(deployment())
    assert not complete(deployment(**status))
    assert not complete({"metadata": {"generation": 1}, "spec": {}})


def container(state: dict[str, Any], **last: Any) -> dict[str, Any]:
    return {"status": {"phase": "Running", "containerStatuses": [{"state": state, "lastState": last}]}}


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, ""),
        (
            {"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}},
            "it fits on no node: 0/1 nodes are available",
        ),
        (
            container({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            "ErrImagePull: not found",
        ),
        (
            container({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, terminated={"exitCode": 1}),
            "CrashLoopBackOff: exit code 1",
        ),
        (
            container({"waiting": {"reason": "CrashLoopBackOff"}}, terminated={"exitCode": 1, "message": "a\nthe reason\n"}),
            "CrashLoopBackOff: the reason",
        ),
        (container({"waiting": {"reason": "ContainerCreating"}}), "it runs, but /readyz does not say ok"),
        (container({"running": {}}), "it runs, but /readyz does not say ok"),
        ({}, ""),
    ],
)
def test_why_a_pod_is_not_ready(pod: dict[str, Any], why: str) -> None:
    assert reason_of(pod) == why


def test_only_the_pods_of_the_newest_template_count() -> None:
    def pod(template: str, made: str) -> dict[str, Any]:
        return {"metadata": {"labels": {"pod-template-hash": template}, "creationTimestamp": f"2026-01-01T00:00:0{made}Z"}}

    pods = [pod("a", "1"), pod("b", "3"), pod("a", "2"), pod("b", "3")]
    assert newest(pods) == [pods[1], pods[3]]
    assert newest([]) == []
