"""Defaults, rules and the STATUS column of pods."""

from __future__ import annotations

from typing import Any

import pytest

from cloudcore.apiserver import pod_defaults, pod_rules
from cloudcore.apiserver.pod_kind import PodKind
from cloudcore.apiserver.pod_table import pod_cells, pod_reason
from kube.objects import Object
from kube.resources import PODS


def pod(*containers: dict[str, Any], **spec: Any) -> Object:
    found: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": list(containers) or [{"name": "c", "image": "nginx"}], **spec},
    }
    pod_defaults.apply(found)
    return found


def faults(obj: Object) -> list[str]:
    return [str(fault) for fault in pod_rules.problems(obj)]


def test_defaults() -> None:
    spec = pod()["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["enableServiceLinks"] is True
    assert [t["tolerationSeconds"] for t in spec["tolerations"]] == [300, 300]


def test_defaults_twice_are_defaults_once() -> None:
    once = pod()
    again = pod(*once["spec"]["containers"], **{k: v for k, v in once["spec"].items() if k != "containers"})
    assert once == again


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pod_defaults.pull_policy(image) == policy


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_qos(resources: dict[str, Any], qos: str) -> None:
    assert pod_defaults.qos_class(pod({"name": "c", "image": "x", "resources": resources})["spec"]) == qos


def test_a_good_pod_has_no_faults() -> None:
    container = {
        "name": "c",
        "image": "nginx:1",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [{"name": "v", "mountPath": "/d"}],
        "livenessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}},
    }
    assert faults(pod(container, volumes=[{"name": "v", "configMap": {"name": "cm"}}])) == []


@pytest.mark.parametrize(
    ("container", "fault"),
    [
        ({"image": "x"}, "spec.containers[0].name: Required value"),
        ({"name": "c"}, "spec.containers[0].image: Required value"),
        ({"name": "c", "image": "x", "imagePullPolicy": "Maybe"}, 'Unsupported value: "Maybe"'),
        ({"name": "c", "image": "x", "ports": [{"containerPort": 70000}]}, "must be between 1 and 65535, inclusive"),
        ({"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/d"}]}, 'volumeMounts[0].name: Not found: "v"'),
        ({"name": "c", "image": "x", "env": [{"name": "1a"}]}, 'spec.containers[0].env[0].name: Invalid value: "1a"'),
        ({"name": "c", "image": "x", "resources": {"limits": {"cpu": "much"}}}, "resources.limits[cpu]: Invalid value"),
        (
            {"name": "c", "image": "x", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            "less than or equal to cpu limit",
        ),
        ({"name": "c", "image": "x", "livenessProbe": {}}, "livenessProbe: Required value: must specify a handler type"),
    ],
)
def test_faults_of_containers(container: dict[str, Any], fault: str) -> None:
    assert any(fault in text for text in faults(pod(container))), faults(pod(container))


def test_faults_of_pods() -> None:
    assert faults({"metadata": {}, "spec": {}}) == ["spec.containers: Required value"]
    assert faults(pod(restartPolicy="Sometimes")) == [
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'
    ]
    two = pod({"name": "c", "image": "x"}, {"name": "c", "image": "y"})
    assert faults(two) == ['spec.containers[1].name: Duplicate value: "c"']


def test_only_some_fields_may_change() -> None:
    kind = PodKind(PODS)
    old = pod(tolerations=[{"key": "a", "operator": "Exists"}])
    image = pod({"name": "c", "image": "nginx:2"}, tolerations=old["spec"]["tolerations"])
    image["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    assert kind.update_problems(image, old) == []
    moved = pod(nodeName="edge-2", tolerations=old["spec"]["tolerations"])
    assert "Forbidden" in str(kind.update_problems(moved, old)[0])
    fewer = pod()
    assert "Forbidden" in str(kind.update_problems(fewer, old)[0])


def test_grace() -> None:
    kind = PodKind(PODS)
    assert kind.grace(pod(), None) == 0
    assert kind.grace(pod(nodeName="e"), None) == 30
    assert kind.grace(pod(nodeName="e"), 0) == 0
    assert kind.grace(pod(nodeName="e"), -5) == 1
    assert kind.grace(pod(nodeName="e") | {"status": {"phase": "Succeeded"}}, None) == 0


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, "ImagePullBackOff"),
        ({"phase": "Running", "containerStatuses": [{"ready": True, "state": {"running": {}}}]}, "Running"),
        ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}, "ExitCode:3"),
        ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}, "Error"),
        (
            {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]},
            "Completed",
        ),
        ({"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]}, "Init:0/1"),
        (
            {"phase": "Pending", "initContainerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]},
            "Init:Error",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            "Init:CrashLoopBackOff",
        ),
    ],
)
def test_the_status_column(status: dict[str, Any], word: str) -> None:
    found = pod(initContainers=[{"name": "i", "image": "x"}]) | {"status": status}
    assert pod_reason(found) == word
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod_reason(found) == (word if status["phase"] in ("Succeeded", "Failed") else "Terminating")


def test_restarts_tell_when() -> None:
    last = {"terminated": {"finishedAt": "1970-01-01T00:00:40Z"}}
    statuses = [{"ready": True, "restartCount": 2, "state": {"running": {}}, "lastState": last}]
    found = pod() | {"status": {"phase": "Running", "containerStatuses": statuses, "podIP": "10.0.0.9"}}
    cells = pod_cells(found, 100.0)
    assert cells[:4] == ["web", "1/1", "Running", "2 (60s ago)"]
    assert cells[5] == "10.0.0.9"
