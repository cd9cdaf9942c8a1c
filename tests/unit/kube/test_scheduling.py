from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube import scheduling
from kube.scheduling import NO_AFFINITY, NO_PORTS, TOO_MANY_PODS, UNSCHEDULABLE, WRONG_NODE, explain, fit, pod_requests


def node(labels: dict[str, str] | None = None, *, taints: Any = None, allocatable: Any = None, **spec: Any) -> dict[str, Any]:
    room = allocatable or {"cpu": "2", "memory": "1Gi", "pods": "3"}
    return {
        "metadata": {"name": "edge-1", "labels": labels or {}},
        "spec": {"taints": taints, **spec},
        "status": {"allocatable": room},
    }


def pod(name: str = "web", *, requests: Any = None, ports: Any = None, phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "resources": {"requests": requests}, "ports": ports}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": containers, **spec},
        "status": {"phase": phase},
    }


def affinity(*terms: Any) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def wants(key: str, operator: str, *values: str) -> dict[str, Any]:
    return affinity({"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]})


def test_a_plain_pod_fits() -> None:
    assert fit(pod(), node()) is None


def test_a_cordoned_node() -> None:
    assert fit(pod(), node(unschedulable=True)) == UNSCHEDULABLE
    tolerant = pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])
    assert fit(tolerant, node(unschedulable=True)) is None


def test_a_pod_that_names_its_node() -> None:
    assert fit(pod(nodeName="other"), node()) == WRONG_NODE
    assert fit(pod(nodeName="edge-1"), node()) is None


def test_node_selector() -> None:
    assert fit(pod(nodeSelector={"zone": "a"}), node({"zone": "a"})) is None
    assert fit(pod(nodeSelector={"zone": "a"}), node({"zone": "b"})) == NO_AFFINITY
    assert fit(pod(nodeSelector={"zone": "a"}), node()) == NO_AFFINITY


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (wants("zone", "In", "a", "b"), True),
        (wants("zone", "In", "b"), False),
        (wants("zone", "NotIn", "b"), True),
        (wants("gone", "NotIn", "b"), True),
        (wants("zone", "Exists"), True),
        (wants("gone", "Exists"), False),
        (wants("gone", "DoesNotExist"), True),
        (wants("size", "Gt", "4"), True),
        (wants("size", "Lt", "4"), False),
        (wants("zone", "Gt", "4"), False),
        (wants("zone", "Like", "a"), False),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["edge-1"]}]}), True),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["x"]}]}), False),
        (affinity({}), False),
        (affinity({}, {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}), True),
    ],
)
def test_required_node_affinity(wanted: dict[str, Any], fits: bool) -> None:
    assert fit(pod(affinity=wanted), node({"zone": "a", "size": "5"})) == (None if fits else NO_AFFINITY)


TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "j", "operator": "Exists"}, False),
        ({"value": "v"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_taints(toleration: Any, tolerated: bool) -> None:
    found = fit(pod(tolerations=[toleration]), node(taints=[TAINT]))
    assert found == (None if tolerated else "node(s) had untolerated taint {k: v}")


def test_a_taint_that_only_prefers() -> None:
    assert fit(pod(), node(taints=[{"key": "k", "effect": "PreferNoSchedule"}])) is None


def test_the_unreachable_taint() -> None:
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    assert fit(pod(), node(taints=[taint])) == "node(s) had untolerated taint {node.kubernetes.io/unreachable: }"


def test_resources_of_all_pods_count() -> None:
    running = [pod("a", requests={"cpu": "1500m"}), pod("done", requests={"cpu": "2"}, phase="Succeeded")]
    assert fit(pod(requests={"cpu": "0.5"}), node(), running) is None
    assert fit(pod(requests={"cpu": "501m"}), node(), running) == "Insufficient cpu"
    assert fit(pod(requests={"memory": "2Gi"}), node()) == "Insufficient memory"
    assert fit(pod(requests={"example.com/gpu": "1"}), node()) == "Insufficient example.com/gpu"
    assert fit(pod(), node(), [pod("a", requests={"cpu": "9"})]) is None


def test_too_many_pods() -> None:
    assert fit(pod(), node(), [pod("a"), pod("b"), pod("c")]) == TOO_MANY_PODS
    assert fit(pod(), node(), [pod("a"), pod("b"), pod("web")]) is None


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, False),
        ({"containerPort": 80}, {"containerPort": 80}, False),
    ],
)
def test_host_ports(one: Any, other: Any, clash: bool) -> None:
    assert fit(pod(ports=[one]), node(), [pod("a", ports=[other])]) == (NO_PORTS if clash else None)


def test_ports_of_the_host_network() -> None:
    running = pod("a", ports=[{"containerPort": 80}], hostNetwork=True)
    assert fit(pod(ports=[{"hostPort": 80}]), node(), [running]) == NO_PORTS


def test_what_a_pod_requests_in_sum() -> None:
    found = pod_requests(
        {
            "spec": {
                "containers": [
                    {"resources": {"requests": {"cpu": "100m", "memory": "10Mi"}}},
                    {"resources": {"limits": {"cpu": "200m"}}},
                    {"resources": {"requests": {"cpu": "nonsense"}}},
                ],
                "initContainers": [
                    {"resources": {"requests": {"cpu": "50m"}}, "restartPolicy": "Always"},
                    {"resources": {"requests": {"cpu": "1"}}},
                ],
                "overhead": {"cpu": "10m"},
            }
        }
    )
    assert {resource: str(amount) for resource, amount in found.items()} == {"cpu": "1060m", "memory": "10Mi"}


def test_the_message_counts_the_reasons() -> None:
    assert explain([]) == "no nodes available to schedule pods"
    reasons = ["Insufficient cpu", NO_AFFINITY, "Insufficient cpu"]
    assert explain(reasons) == (
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 Insufficient cpu."
    )


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["Exists", "In", "NoSchedule"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "key",
                    "operator",
                    "values",
                    "effect",
                    "cpu",
                    "requests",
                    "resources",
                    "hostPort",
                    "ports",
                    "containerPort",
                    "nodeAffinity",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_parts = st.sampled_from(
    [
        "containers",
        "initContainers",
        "tolerations",
        "taints",
        "nodeSelector",
        "affinity",
        "overhead",
        "allocatable",
        "unschedulable",
    ]
)


@given(st.dictionaries(_parts, _junk), st.dictionaries(_parts, _junk))
def test_odd_shapes_do_no_harm(spec: dict[str, Any], other: dict[str, Any]) -> None:
    reason = scheduling.fit({"spec": spec}, {"spec": other, "status": other}, [{"metadata": {"name": "x"}, "spec": other}])
    assert reason is None or reason
