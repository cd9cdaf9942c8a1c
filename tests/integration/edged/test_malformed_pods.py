"""Pods as no API server would let them pass: each costs itself a clear status, never another pod, never a crash."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from engines.edge import Edge, make_pod, memory_edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from edgecore.edged.runtime.engine import ContainerSpec, EngineError, Mount, PodIdentity, SandboxSpec
from edgecore.edged.runtime.process import ProcessEngine
from edgecore.metamanager.client import Refused
from kube.objects import Object

JUNK = [
    None,
    "",
    "x",
    "a/../..",
    "\0",
    -1,
    0,
    1,
    10**25,
    10**400,
    1.5,
    True,
    [],
    [None],
    ["x"],
    [[]],
    {},
    {"": None},
    {"name": "x"},
    [{}],
]


def rich_pod() -> Object:
    """Something of everything that edged reads."""
    pod = make_pod(
        "odd",
        spec={
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 5,
            "serviceAccountName": "me",
            "hostname": "odd",
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}]},
            "nodeSelector": {},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "imagePullSecrets": [{"name": "pull"}],
            "securityContext": {"runAsUser": 5, "fsGroup": 5, "sysctls": [{"name": "a", "value": "b"}]},
            "overhead": {"cpu": "1m"},
            "initContainers": [{"name": "first", "image": "busybox:1", "command": ["sh", "-c", "exit 0"]}],
            "volumes": [
                {"name": "empty", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {"name": "host", "hostPath": {"path": "/usr", "type": "Directory"}},
                {"name": "map", "configMap": {"name": "app", "defaultMode": 0o600, "items": [{"key": "k", "path": "p"}]}},
                {"name": "secret", "secret": {"secretName": "pull", "optional": True}},
                {"name": "down", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {
                    "name": "all",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                            {"configMap": {"name": "app"}},
                            {"downwardAPI": {"items": [{"path": "c", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
                        ]
                    },
                },
            ],
        },
        resources={"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m"}},
        ports=[{"containerPort": 80, "hostPort": 8080, "protocol": "TCP", "hostIP": "127.0.0.1", "name": "web"}],
        env=[
            {"name": "A", "value": "$(B)"},
            {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "k"}}},
            {"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ],
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "app"}}],
        volumeMounts=[
            {"name": "map", "mountPath": "/map", "readOnly": True},
            {"name": "empty", "mountPath": "/e", "subPath": "s"},
        ],
        securityContext={"runAsGroup": 5, "capabilities": {"add": ["X"], "drop": ["Y"]}},
        workingDir="/",
        args=["x"],
        terminationMessagePath="/dev/termination-log",
        lifecycle={"preStop": {"exec": {"command": ["true"]}}},
    )
    pod["metadata"] |= {"labels": {"a": "b"}, "annotations": {"c": "d"}, "deletionGracePeriodSeconds": 1}
    pod["status"] = {
        "phase": "Pending",
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "containerStatuses": [{"name": "main", "containerID": "x://1", "restartCount": 3, "state": {"running": {}}}],
    }
    return pod


IDENTITY = {("spec",), ("spec", "nodeName"), ("metadata",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid")}


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member but those that say which pod it is."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        path = (*before, key)
        if path[0] in {"spec", "status", "metadata"}:
            if path not in IDENTITY:
                yield path
            yield from places(inner, path)


def changed(pod: Object, path: tuple[Any, ...], value: Any) -> None:
    holder: Any = pod
    for key in path[:-1]:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return  # an earlier change took it away
    if isinstance(holder, dict) or (isinstance(holder, list) and path[-1] < len(holder)):
        holder[path[-1]] = copy.deepcopy(value)


PLACES = list(places(rich_pod()))


async def live_beside(edge: Edge, odd: Object, earlier: Object | None) -> None:
    edge.meta.put("configmap", {"metadata": {"name": "app", "namespace": "default"}, "data": {"k": "v"}})
    edge.meta.put("secret", {"metadata": {"name": "pull", "namespace": "default"}, "data": {}})
    async with edge.running():
        if earlier is not None:
            edge.meta.put("pod", earlier)
            await edge.until(lambda: edge.meta.seen("odd").get("phase") == "Running")
        edge.meta.put("pod", odd)
        edge.meta.put("pod", make_pod("sound", resources={"requests": {"cpu": "10m"}}))
        await edge.until(lambda: edge.phase("sound") == "Running")
        await edge.until(lambda: edge.phase("odd"))
        await trio.sleep(30)
        assert edge.phase("sound") == "Running"
        edge.meta.delete("default", "odd", grace=1)
        await edge.until(lambda: not edge.meta.seen("odd"), 2000)
    async with edge.running():
        await edge.until(lambda: "sound/main" in edge.engine.running())  # type: ignore[attr-defined]


def lives(odd: Object, earlier: Object | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    with tempfile.TemporaryDirectory() as folder:
        trio.run(live_beside, memory_edge(Path(folder)), odd, earlier, clock=MockClock(autojump_threshold=0.005))
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(JUNK)), min_size=1, max_size=4))
def test_any_pod(caplog: pytest.LogCaptureFixture, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    caplog.set_level(logging.INFO)
    odd = rich_pod()
    for path, value in changes:
        changed(odd, path, value)
    lives(odd, None, caplog)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"containers": "x"}, "it has no containers"),
        ({"containers": [None, 5, {"image": "busybox:1"}]}, "it has no containers"),
        ({"containers": [{"name": "a/../b", "image": "busybox:1"}]}, "its container 'a/../b' is no valid name"),
        ({"containers": [{"name": "a", "image": "busybox:1"}, {"name": "a", "image": "busybox:2"}]}, "two containers named 'a'"),
        ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "hostPath": {"path": "/"}}]}, "two volumes named 'v'"),
    ],
)
async def test_a_spec_that_cannot_be_carried_out(edge: Edge, virtual_clock: MockClock, spec: Object, said: str) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod("odd", spec=spec))
        edge.meta.put("pod", make_pod("sound"))
        await edge.until(lambda: edge.phase("odd") == "Failed" and edge.phase("sound") == "Running")
    status = edge.meta.seen("odd")
    assert (status["reason"], said in status["message"]) == ("UnexpectedAdmissionError", True)


async def test_a_spec_that_cannot_be_carried_out_does_not_end_what_runs(
    edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with edge.running():
        pod = edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        for _ in range(3):
            edge.meta.put("pod", pod | {"spec": pod["spec"] | {"containers": []}, "status": edge.meta.seen("web")})
            await trio.sleep(20)
        assert edge.phase() == "Running"
        assert edge.engine.running() == ["web/main"]  # type: ignore[attr-defined]
        edge.meta.delete("default", "web", grace=1)
        await edge.until(lambda: not edge.meta.seen("web"))
    assert caplog.text.count("its new spec is not used: it has no containers") == 1


@pytest.mark.parametrize("path", ["", "relative", "/var/../etc"])
async def test_a_host_path_that_leads_nowhere(edge: Edge, virtual_clock: MockClock, path: str) -> None:
    volume = {"volumes": [{"name": "host", "hostPath": {"path": path}}]}
    async with edge.running():
        edge.meta.put("pod", make_pod(spec=volume, volumeMounts=[{"name": "host", "mountPath": "/host"}]))
        await edge.until(lambda: "must be absolute" in edge.container().get("state", {}).get("waiting", {}).get("message", ""))
        assert edge.engine.running() == []  # type: ignore[attr-defined]


async def test_a_last_status_that_the_cloud_refuses_does_not_keep_the_pod(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.meta.failures["patch_pod_status"] = Refused("status: Invalid value", code=422, reason="Invalid")
        edge.meta.delete("default", "web", grace=1)
        await edge.until(lambda: not edge.meta.seen("web"))


async def test_what_no_process_can_be_made_of(tmp_path: Path) -> None:
    engine = ProcessEngine(tmp_path / "process")
    pod = PodIdentity("default", "odd", "uid-odd")
    sandbox = await engine.create_sandbox(SandboxSpec(pod))
    for odd in (
        {"mounts": [Mount(Path("/usr"), "/a\0b")]},
        {"env": {"A": "\udcff"}},
        {"working_dir": "/\0"},
    ):
        with pytest.raises(EngineError, match="container main of pod default/odd"):
            await engine.create_container(sandbox, ContainerSpec(pod, "main", "busybox:1", 0, "", ["true"], **odd))  # type: ignore[arg-type]
    await engine.aclose()
