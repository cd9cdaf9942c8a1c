from __future__ import annotations

import base64
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from engines.memory import MemoryEngine

from edgecore.edged import admission, lease, node, node_facts
from edgecore.edged.credentials import from_secrets
from edgecore.edged.images import ImageProblem, ImagePuller, pull_policy
from edgecore.edged.node import EngineHealth
from edgecore.edged.node_facts import MachineFacts
from edgecore.edged.runtime.engine import Credentials
from edgecore.edged.settings import EdgedSettings
from kube.objects import Object

FACTS = MachineFacts(
    cpus=4, memory=8 << 30, memory_available=4 << 30, disk=100 << 30, disk_available=50 << 30, pids_left=30_000,
    machine_id="m", system_uuid="s", boot_id="b", kernel="6.1", os_image="Linux", architecture="arm64", address="192.0.2.1",
)  # fmt: skip
SETTINGS = EdgedSettings("edge-1", "0.1.0", system_reserved={"cpu": "500m", "memory": "1Gi"})
HEALTHY = EngineHealth("docker://20.10.24")
NOW = 1_800_000_000.0


def test_capacity_and_what_is_left_of_it() -> None:
    assert node.capacity(SETTINGS, FACTS) == {
        "cpu": "4", "memory": "8388608Ki", "ephemeral-storage": "104857600Ki", "pods": "110",
    }  # fmt: skip
    left = node.allocatable(SETTINGS, FACTS)
    assert left == {"cpu": "3500m", "memory": f"{(7 << 20) - 100 * 1024}Ki", "ephemeral-storage": str(90 << 30), "pods": "110"}


@pytest.mark.parametrize(
    ("facts", "health", "expected"),
    [
        (FACTS, HEALTHY, ["False", "False", "False", "True"]),
        (replace(FACTS, memory_available=99 << 20), HEALTHY, ["True", "False", "False", "True"]),
        (replace(FACTS, disk_available=9 << 30), HEALTHY, ["False", "True", "False", "True"]),
        (replace(FACTS, pids_left=10), HEALTHY, ["False", "False", "True", "True"]),
        (FACTS, EngineHealth("", "no socket"), ["False", "False", "False", "False"]),
        (replace(FACTS, memory=0, memory_available=0, disk=0), HEALTHY, ["False", "False", "False", "True"]),
    ],
)
def test_conditions(facts: MachineFacts, health: EngineHealth, expected: list[str]) -> None:
    found = node.conditions(facts, health, {}, NOW)
    assert [entry["type"] for entry in found] == ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
    assert [entry["status"] for entry in found] == expected


def test_nothing_is_sent_when_only_heartbeats_moved() -> None:
    first = node.node_status(SETTINGS, FACTS, HEALTHY, {}, NOW)
    second = node.node_status(SETTINGS, FACTS, HEALTHY, first, NOW + 60)
    assert node.status_patch(first, second) == {}
    beat = node.status_patch(first, second, heartbeat=True)
    assert [entry["type"] for entry in beat["conditions"]] == ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
    assert {entry["lastTransitionTime"] for entry in beat["conditions"]} == {"2027-01-15T08:00:00Z"}


def test_a_new_address_replaces_the_old_one() -> None:
    first = node.node_status(SETTINGS, FACTS, HEALTHY, {}, NOW)
    second = node.node_status(SETTINGS, replace(FACTS, address="192.0.2.9"), HEALTHY, first, NOW)
    assert node.status_patch(first, second) == {
        "addresses": [
            {"type": "InternalIP", "address": "192.0.2.9"},
            {"type": "Hostname", "address": "edge-1"},
            {"$patch": "replace"},
        ]
    }


def test_this_machine() -> None:
    found = node_facts.observe(Path("/"))
    assert found.cpus > 0 and found.memory > found.memory_available > 0 and found.disk > 0
    assert found.address and found.kernel and found.boot_id


def test_a_lease_keeps_its_version_and_takes_the_new_owner() -> None:
    known: Object = {"metadata": {"name": "edge-1", "resourceVersion": "7", "managedFields": []}, "spec": {"leaseTransitions": 1}}
    found = lease.renewed(known, SETTINGS, {"metadata": {"uid": "n2"}}, NOW)
    assert found["metadata"]["resourceVersion"] == "7" and "managedFields" not in found["metadata"]
    assert found["metadata"]["ownerReferences"][0]["uid"] == "n2"
    assert found["spec"]["renewTime"] == "2027-01-15T08:00:00.000000Z" and found["spec"]["leaseTransitions"] == 1


NODE: Object = {
    "metadata": {"name": "edge-1", "labels": {"zone": "a"}},
    "spec": {"unschedulable": True, "taints": [{"key": "k", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "2"}},
}


def pod(name: str, port: int = 0, cpu: str = "0", **spec: object) -> Object:
    main = {"name": "c", "ports": [{"containerPort": 1, "hostPort": port}], "resources": {"requests": {"cpu": cpu}}}
    return {
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"nodeName": "edge-1", "containers": [main]} | spec,
    }


@pytest.mark.parametrize(
    ("wanted", "here", "leaving", "reason", "temporary"),
    [
        (pod("a"), [], [], None, False),
        (pod("a", nodeSelector={"zone": "b"}), [], [], "NodeAffinity", False),
        (pod("a", 80), [pod("b", 80)], [], "NodePorts", False),
        (pod("a", 80), [], [pod("b", 80)], "NodePorts", True),
        (pod("a", cpu="2"), [], [], "OutOfcpu", False),
        (pod("a", cpu="600m"), [], [pod("b", cpu="600m")], "OutOfcpu", True),
        (pod("a"), [pod("b"), pod("c")], [], "OutOfpods", False),
    ],
)
def test_admission(wanted: Object, here: list[Object], leaving: list[Object], reason: str | None, temporary: bool) -> None:
    found = admission.judge(wanted, NODE, here, leaving)
    assert (found.reason if found else None) == reason
    assert found is None or found.temporary is temporary


def test_a_no_execute_taint_rejects_and_an_unknown_node_admits() -> None:
    tainted = NODE | {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
    found = admission.judge(pod("a"), tainted, [], [])
    assert found is not None and found.reason == "UnexpectedAdmissionError"
    assert admission.judge(pod("a", cpu="9", nodeSelector={"zone": "b"}), None, [], []) is None
    clash = admission.judge(pod("a", 80), None, [pod("b", 80)], [])
    assert clash is not None and clash.reason == "NodePorts"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"image": "a"}, "Always"),
        ({"image": "a:latest"}, "Always"),
        ({"image": "host:5000/a"}, "Always"),
        ({"image": "a:1"}, "IfNotPresent"),
        ({"image": "a@sha256:0"}, "IfNotPresent"),
        ({"image": "a:1", "imagePullPolicy": "Never"}, "Never"),
        ({"image": "a:1", "imagePullPolicy": "Perhaps"}, "IfNotPresent"),
        ({}, "Always"),
    ],
)
def test_pull_policies(container: Object, expected: str) -> None:
    assert pull_policy(container) == expected


async def test_pulls_back_off_and_a_success_forgets(autojump_clock: trio.testing.MockClock) -> None:
    engine = MemoryEngine()
    engine.pullable = set()
    puller = ImagePuller(engine, clock=trio.current_time)

    pulled: list[float] = []
    reasons: set[str] = set()
    while trio.current_time() < 1000:
        before = len(engine.calls)
        with pytest.raises(ImageProblem) as caught:
            await puller.ensure("a:1", "IfNotPresent")
        reasons.add(caught.value.reason)
        if "pull_image" in [method for method, _ in engine.calls[before:]]:
            pulled.append(trio.current_time())
        await trio.sleep(1)
    assert reasons == {"ErrImagePull", "ImagePullBackOff"}
    assert [round(after - before) for before, after in pairwise(pulled)] == [10, 20, 40, 80, 160, 300, 300]
    engine.pullable = None
    await trio.sleep(300)
    engine.calls.clear()
    await puller.ensure("a:1", "IfNotPresent")
    await puller.ensure("a:1", "IfNotPresent")
    assert [method for method, _ in engine.calls].count("pull_image") == 1
    await puller.ensure("a:1", "Always")
    assert [method for method, _ in engine.calls].count("pull_image") == 2


def secret(key: str, value: object) -> Object:
    return {"metadata": {"name": "s"}, "data": {key: base64.b64encode(json.dumps(value).encode()).decode()}}


AUTH = base64.b64encode(b"me:pa:ss").decode()


@pytest.mark.parametrize(
    ("found", "image", "expected"),
    [
        (secret(".dockerconfigjson", {"auths": {"r.io": {"auth": AUTH}}}), "r.io/a:1", [Credentials("me", "pa:ss", "r.io")]),
        (
            secret(".dockerconfigjson", {"auths": {"https://r.io/v2/": {"auth": AUTH}}}),
            "r.io/a",
            [Credentials("me", "pa:ss", "r.io")],
        ),
        (secret(".dockercfg", {"r.io": {"username": "u", "password": "p"}}), "r.io/a", [Credentials("u", "p", "r.io")]),
        (
            secret(".dockerconfigjson", {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}}),
            "a",
            [Credentials("me", "pa:ss", "docker.io")],
        ),
        (secret(".dockerconfigjson", {"auths": {"r.io": {"auth": AUTH}}}), "other.io/a", []),
        (secret(".dockerconfigjson", {"auths": {"r.io": {"auth": "***"}, "x": None}}), "r.io/a", []),
        (secret(".dockerconfigjson", None), "r.io/a", []),
        ({"data": {".dockerconfigjson": "no base64"}}, "r.io/a", []),
        ({"data": None}, "r.io/a", []),
    ],
)
def test_pull_secrets(found: Object, image: str, expected: list[Credentials]) -> None:
    assert from_secrets([found], image) == expected


def test_amounts_that_an_api_server_writes_in_its_own_way_are_no_change() -> None:
    wanted = {"capacity": {"memory": "2048Ki", "ephemeral-storage": "2000", "cpu": "4"}, "nodeInfo": {"kernelVersion": "6"}}
    old = {"capacity": {"memory": "2Mi", "ephemeral-storage": "2k", "cpu": "4"}, "nodeInfo": {"kernelVersion": "6"}}
    assert node.status_patch(old, wanted) == {}
    assert node.status_patch({"capacity": {"memory": "x"}}, {"capacity": {"memory": "2048Ki"}}) == {
        "capacity": {"memory": "2048Ki"}
    }
