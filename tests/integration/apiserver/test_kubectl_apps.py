"""Deployments, ReplicaSets and DaemonSets with the real kubectl, on nodes that run every pod at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import trio

from kube.client import Client
from kube.objects import is_deleting, name, namespace, spec, status, timestamp
from kube.resources import PODS

if TYPE_CHECKING:
    from conftest import Server

NODE = """
apiVersion: v1
kind: Node
metadata: {name: edge-1, labels: {kubernetes.io/hostname: edge-1}}
status:
  capacity: {cpu: "4", memory: 4Gi, pods: "110"}
  conditions: [{type: Ready, status: "True", reason: KubeletReady}]
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: "nginx:1"}]
"""


async def run_pods(client: Client) -> None:
    """What kubelets do, for every pod that has a node; an image with ``broken`` in its name never becomes ready."""
    while True:
        for pod in (await client.list(PODS)).items:
            where = {"namespace": namespace(pod)}
            if is_deleting(pod):
                await client.delete(PODS, name(pod), grace_seconds=0, **where)
            elif spec(pod).get("nodeName") and status(pod).get("phase") == "Pending" and "broken" not in str(spec(pod)):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp()}
                running = {"name": "c", "ready": True, "state": {"running": {}}}
                patch = {"status": {"phase": "Running", "conditions": [ready], "containerStatuses": [running]}}
                await client.patch(PODS, name(pod), patch, kind="strategic", subresource="status", **where)
        await trio.sleep(0.05)


@pytest.fixture
async def cluster(kubectl: Server) -> AsyncIterator[Server]:
    await kubectl.kubectl("create", "-f", "-", stdin=NODE)
    async with kubectl.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(run_pods, client)
        yield kubectl
        nursery.cancel_scope.cancel()


async def test_a_deployment_rolls_out_back_and_away(cluster: Server) -> None:
    kubectl = cluster.kubectl
    assert await kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert (await kubectl("get", "deploy", "--no-headers")).split()[:4] == ["web", "3/3", "3", "3"]
    await kubectl("set", "image", "deploy/web", "c=nginx:2")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    images = await kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"nginx:2"}
    history = await kubectl("rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"]
    assert "rolled back" in await kubectl("rollout", "undo", "deploy/web")
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    found = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"


async def test_scale_and_cascades(cluster: Server) -> None:
    kubectl = cluster.kubectl
    await kubectl("apply", "-f", "-", stdin=WEB)
    await kubectl("wait", "--for=condition=available", "deploy/web", "--timeout=20s")
    await kubectl("scale", "deploy/web", "--replicas=5")
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert "5/5" in await kubectl("get", "deploy", "web")
    await kubectl("scale", "deploy/web", "--replicas=1", "--current-replicas=5")
    await kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deploy/web", "--timeout=20s")
    scale = json.loads(await kubectl("get", "deploy", "web", "--subresource=scale", "-o", "json"))
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=web")
    assert "must be greater than or equal to 0" in await cluster.kubectl_fails("scale", "deploy/web", "--replicas=-1")
    await kubectl("delete", "deploy", "web", "--cascade=orphan")
    (replica_set,) = (await kubectl("get", "rs", "-o", "name")).split()
    await kubectl("delete", replica_set, "--cascade=foreground", "--timeout=20s")
    assert "No resources" in await kubectl("get", "all")
    await kubectl("apply", "-f", "-", stdin=WEB)
    await kubectl("wait", "--for=condition=available", "deploy/web", "--timeout=20s")
    await kubectl("delete", "deploy", "web")
    await kubectl("wait", "--for=delete", "pods", "-l", "app=web", "--timeout=20s")
    assert "No resources" in await kubectl("get", "rs")


AGENT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers: [{name: c, image: "agent:1"}]
"""


async def test_a_daemon_set_is_everywhere(cluster: Server) -> None:
    kubectl = cluster.kubectl
    await kubectl("apply", "-f", "-", stdin=AGENT)
    assert "successfully rolled out" in await kubectl("rollout", "status", "ds/agent", "--timeout=20s")
    await kubectl("create", "-f", "-", stdin=NODE.replace("edge-1", "edge-2"))
    await kubectl("wait", "--for=jsonpath={.status.numberAvailable}=2", "ds/agent", "--timeout=20s")
    nodes = await kubectl("get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert sorted(nodes.split()) == ["edge-1", "edge-2"]
    await kubectl("set", "image", "ds/agent", "c=agent:2")
    assert "successfully rolled out" in await kubectl("rollout", "status", "ds/agent", "--timeout=20s")
    images = await kubectl("get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"agent:2"}
    await kubectl("rollout", "undo", "ds/agent")
    await kubectl("rollout", "status", "ds/agent", "--timeout=20s")
    history = await kubectl("rollout", "history", "ds/agent")
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["2", "3"]
    assert "NAME" in await kubectl("get", "controllerrevisions")
    await kubectl("cordon", "edge-2")  # such pods stay
    await kubectl("taint", "node", "edge-1", "a=b:NoExecute")
    await kubectl("wait", "--for=jsonpath={.status.desiredNumberScheduled}=1", "ds/agent", "--timeout=20s")
    assert (await kubectl("get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.nodeName}")).split()[-1:] == [
        "edge-2"
    ]


async def test_drain_leaves_daemons_and_moves_the_rest(cluster: Server) -> None:
    kubectl = cluster.kubectl
    await kubectl("apply", "-f", "-", stdin=AGENT)
    await kubectl("apply", "-f", "-", stdin=WEB)
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    await kubectl("rollout", "status", "ds/agent", "--timeout=20s")
    await kubectl("create", "-f", "-", stdin=NODE.replace("edge-1", "edge-2"))
    assert "DaemonSet-managed" in await cluster.kubectl_fails("drain", "edge-1")
    assert "drained" in await kubectl("drain", "edge-1", "--ignore-daemonsets", "--timeout=20s")
    await kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    nodes = await kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert set(nodes.split()) == {"edge-2"}
    await kubectl("uncordon", "edge-1")


async def test_pause_restart_explain_and_what_is_served(cluster: Server) -> None:
    kubectl = cluster.kubectl
    await kubectl("create", "deployment", "shop", "--image=nginx:1", "--replicas=2")
    await kubectl("rollout", "status", "deploy/shop", "--timeout=20s")
    await kubectl("rollout", "pause", "deploy/shop")
    await kubectl("set", "image", "deploy/shop", "nginx=broken:2")
    await kubectl("wait", "--for=jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=DeploymentPaused", "deploy/shop")
    assert "broken" not in await kubectl("get", "rs", "-o", "wide")
    await kubectl("rollout", "resume", "deploy/shop")
    assert "timed out" in await cluster.kubectl_fails("rollout", "status", "deploy/shop", "--timeout=1s")
    assert "2/2" in await kubectl("get", "deploy", "shop")  # the old ones work until the new ones do
    await kubectl("rollout", "undo", "deploy/shop")
    await kubectl("rollout", "restart", "deploy/shop")
    await kubectl("rollout", "status", "deploy/shop", "--timeout=20s")
    assert "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in await kubectl("describe", "deploy", "shop")
    assert "maxSurge" in await kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert (await kubectl("api-resources", "--api-group=apps", "-o", "name")).split() == [
        "controllerrevisions.apps",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
    ]
    assert "ScalingReplicaSet" in await kubectl("get", "events")
