"""From pods to what the engine is told; and pods full of junk."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore.edged import pods, qos
from edgecore.edged.container_status import Observation
from edgecore.edged.environment import ConfigError, Facts, Sources
from edgecore.edged.plan import BACKOFF_STEP, SANDBOX_LABEL, StartContainer, plan
from edgecore.edged.runtime.engine import ContainerSpec, Mount, PodIdentity, PortMapping, SandboxInfo
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.sources import keys
from edgecore.edged.spec import Place, container_spec, hash_of, sandbox_spec
from edgecore.edged.status import pod_status
from edgecore.edged.volumes import mounter
from edgecore.edged.volumes.payload import wishes
from kube.objects import Object

SETTINGS = EdgedSettings("edge-1", "0.1.0", root=Path("/r"), pod_logs=Path("/logs"))
SANDBOX = SandboxInfo("s0", PodIdentity("ns", "web", "u1"), ready=True, attempt=0, ip="10.0.0.2")
POD: Object = {
    "metadata": {"name": "web", "namespace": "ns", "uid": "u1", "labels": {"app": "x"}, "annotations": {"a": "b"}},
    "spec": {
        "nodeName": "edge-1",
        "hostname": "box",
        "terminationGracePeriodSeconds": 7,
        "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["lan"], "options": [{"name": "ndots", "value": "2"}]},
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1001, "sysctls": [{"name": "net.x", "value": "1"}]},
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c"}}],
        "initContainers": [
            {"name": "first", "image": "a:1", "restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 2}]}
        ],
        "containers": [
            {
                "name": "main",
                "image": "a:1",
                "command": ["run", "$(A)"],
                "args": ["$$(A)"],
                "env": [{"name": "A", "value": "1"}, {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "envFrom": [{"secretRef": {"name": "s", "optional": True}}],
                "workingDir": "/w",
                "ports": [
                    {"containerPort": 80, "hostPort": 8080, "protocol": "UDP", "hostIP": "127.0.0.1"},
                    {"containerPort": 81},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "200m", "memory": "2Gi"}},
                "securityContext": {
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data", "subPathExpr": "$(N)/x"},
                    {"name": "conf", "mountPath": "conf", "readOnly": True},
                ],
                "terminationMessagePath": "/last",
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    },
}


def specify(pod: Object, attempt: int = 3) -> ContainerSpec:
    start = StartContainer(pods.containers(pod)[0], attempt, step=2)
    place = Place(Path("/r/pods/u1"), Path("/logs/p"), mounter.paths(pod, SETTINGS))
    sources = Sources(missing={("secret", "s"): "no"}, absent=frozenset({("secret", "s")}))
    return container_spec(pod, start, SANDBOX, place=place, sources=sources, facts=Facts(), memory_capacity=8 << 30)


def test_a_pod_may_say_itself_where_the_api_is() -> None:
    own = {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"}
    pod = POD | {"spec": POD["spec"] | {"containers": [{"name": "c", "image": "i", "env": [own]}]}}
    assert specify(pod).env == {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": ""}


def test_a_container() -> None:
    found = specify(POD)
    assert found.command == ["run", "1"] and found.args == ["$(A)"]
    assert found.env == {"A": "1", "N": "web", "KUBERNETES_SERVICE_HOST": "", "KUBERNETES_SERVICE_PORT": ""}
    assert found.user == "1000:1001"
    assert found.read_only_root and found.no_new_privileges and not found.privileged
    assert found.capabilities_add == ["NET_ADMIN"] and found.capabilities_drop == ["ALL"]
    assert found.mounts == [
        Mount(Path("/r/pods/u1/volumes/kubernetes.io~empty-dir/data/web/x"), "/data"),
        Mount(Path("/r/pods/u1/volumes/kubernetes.io~configmap/conf"), "/conf", True),
        Mount(Path("/r/pods/u1/containers/main/00000003"), "/last"),
    ]
    assert found.log_path == Path("/logs/p/main/3.log")
    assert found.hash == hash_of({"name": "main", "image": "a:1"})
    assert (found.resources.cpu_shares, found.resources.cpu_quota, found.resources.memory) == (102, 20000, 2 << 30)
    assert found.resources.oom_score_adj == 875
    assert found.annotations[BACKOFF_STEP] == "2" and found.annotations[SANDBOX_LABEL] == "s0"
    assert found.annotations["io.kubernetes.pod.terminationGracePeriod"] == "7"


def test_a_sandbox() -> None:
    found = sandbox_spec(POD, 1, SETTINGS)
    assert found.hostname == "box" and found.attempt == 1
    assert found.ports == [PortMapping(80, 8080, "UDP", "127.0.0.1"), PortMapping(1, 2)]
    assert (found.dns_servers, found.dns_searches, found.dns_options) == (["9.9.9.9"], ["lan"], ["ndots:2"])
    assert found.sysctls == {"net.x": "1"} and found.labels == {"app": "x"}


def test_a_sandbox_on_the_host_network_binds_nothing_itself() -> None:
    found = sandbox_spec(POD | {"spec": POD["spec"] | {"hostNetwork": True}}, 0, SETTINGS)
    assert found.host_network and found.ports == [] and found.hostname == "edge-1"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"securityContext": {"runAsGroup": 5}}, "runAsGroup is specified without runAsUser"),
        ({"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}, "breaks non-root policy"),
        ({"volumeMounts": [{"name": "none", "mountPath": "/x"}]}, 'volumeMount "none"'),
        ({"volumeMounts": [{"name": "data", "mountPath": "/x", "subPath": "../../etc"}]}, 'must not contain ".."'),
        ({"volumeMounts": [{"name": "data", "mountPath": "/x", "subPath": "/etc"}]}, "must be relative"),
    ],
)
def test_configurations_that_cannot_be(change: Object, text: str) -> None:
    pod = copy.deepcopy(POD)
    del pod["spec"]["securityContext"]
    pod["spec"]["containers"][0] |= change
    with pytest.raises(ConfigError, match=text):
        specify(pod)


def container(**resources: dict[str, str]) -> Object:
    return {"name": "c", "resources": resources}


@pytest.mark.parametrize(
    ("containers", "expected", "score"),
    [
        ([container()], "BestEffort", 1000),
        ([container(limits={"cpu": "1", "memory": "1Gi"})], "Guaranteed", -997),
        ([container(limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "1000m", "memory": "1024Mi"})], "Guaranteed", -997),
        ([container(requests={"memory": "4Gi"})], "Burstable", 500),
        ([container(requests={"memory": "8Gi"})], "Burstable", 3),
        ([container(requests={"cpu": "1m"})], "Burstable", 999),
        ([container(limits={"cpu": "1", "memory": "1Gi"}), container()], "Burstable", 875),
        ([container(limits={"cpu": "rubbish"})], "BestEffort", 1000),
    ],
)
def test_quality_of_service(containers: list[Object], expected: str, score: int) -> None:
    pod: Object = {"spec": {"containers": containers}}
    assert qos.qos_class(pod) == expected
    assert qos.oom_score(pod, containers[0], 8 << 30) == score


@pytest.mark.parametrize(
    ("metadata", "spec", "expected"),
    [
        ({}, {}, 30),
        ({}, {"terminationGracePeriodSeconds": 5}, 5),
        ({"deletionGracePeriodSeconds": 2}, {"terminationGracePeriodSeconds": 5}, 2),
        ({"deletionGracePeriodSeconds": 0}, {}, 1),
        ({"deletionGracePeriodSeconds": "x"}, {"terminationGracePeriodSeconds": None}, 30),
    ],
)
def test_grace(metadata: Object, spec: Object, expected: float) -> None:
    assert pods.grace({"metadata": metadata, "spec": spec}) == expected


@pytest.mark.parametrize("uid", ["", "../../etc", "a/b", ".", "..", "a\0b", "x" * 300])
def test_names_that_would_leave_their_directory_are_refused(uid: str) -> None:
    assert pods.unsafe({"metadata": {"uid": uid, "name": "n", "namespace": "ns"}}) is not None


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path inside the pod."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in places(item, (*at, key)))]


JUNK = st.sampled_from([None, 0, -1, 1.5, True, "", "$(A", "x", [], {}, [None], [[]], {"name": None}, [{"name": 7}], 10**30])


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from([p for p in places(POD) if len(p) > 1]), JUNK), min_size=1, max_size=3))
def test_junk_anywhere_in_a_pod_is_a_config_error_at_most(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    pod = copy.deepcopy(POD)
    for path, junk in changes:
        holder: Any = pod
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = copy.deepcopy(junk)
        except (KeyError, IndexError, TypeError):
            continue
    if pods.unsafe(pod):
        return
    keys(pod), wishes(pod), sandbox_spec(pod, 0, SETTINGS)
    plan(pod, None, 0.0, hash_of=hash_of)
    pod_status(pod, Observation(None, initialized=False), host_ip="", now=0.0)
    if pods.containers(pod):
        try:
            specify(pod)
        except ConfigError:
            pass
