"""The real kubectl against the embedded API: it reads like a terminal."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio

from kube.resources import PODS

if TYPE_CHECKING:
    from conftest import Server

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: edge-1
  containers:
  - name: c
    image: nginx:1.25
    ports: [{containerPort: 80}]
    volumeMounts: [{name: files, mountPath: /data}]
  volumes: [{name: files, configMap: {name: files}}]
"""
NODE = """
apiVersion: v1
kind: Node
metadata: {name: edge-1, labels: {node-role.kubernetes.io/edge: "", kubernetes.io/hostname: edge-1}}
status:
  capacity: {cpu: "4", memory: 4Gi, pods: "110"}
  conditions: [{type: Ready, status: "True", reason: KubeletReady}]
  addresses: [{type: InternalIP, address: 10.0.0.1}]
  nodeInfo: {kubeletVersion: v1.32.0, osImage: Debian, kernelVersion: "6.1", containerRuntimeVersion: "docker://20"}
"""


async def test_apply_is_idempotent_and_changes_what_changed(kubectl: Server) -> None:
    assert await kubectl.kubectl("apply", "-f", "-", stdin=POD) == "pod/web created\n"
    assert await kubectl.kubectl("apply", "-f", "-", stdin=POD) == "pod/web unchanged\n"
    newer = POD.replace("1.25", "1.26")
    assert await kubectl.kubectl("apply", "-f", "-", stdin=newer) == "pod/web configured\n"
    assert await kubectl.kubectl("get", "pod", "web", "-o", "jsonpath={.spec.containers[0].image}") == "nginx:1.26"
    moved = newer.replace("edge-1", "edge-2")
    assert "Forbidden: pod updates may not change fields" in await kubectl.kubectl_fails("apply", "-f", "-", stdin=moved)


async def test_get_prints_tables(kubectl: Server) -> None:
    await kubectl.kubectl("create", "-f", "-", stdin=NODE)
    await kubectl.kubectl("create", "-f", "-", stdin=POD)
    head, line = (await kubectl.kubectl("get", "pods", "-o", "wide")).splitlines()
    assert head.split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert line.split()[:4] == ["web", "0/1", "Pending", "0"]
    assert line.split()[6] == "edge-1"
    node = (await kubectl.kubectl("get", "nodes", "-o", "wide")).splitlines()[1]
    assert node.split()[:3] == ["edge-1", "Ready", "edge"]
    assert "docker://20" in node
    assert "default     web" in await kubectl.kubectl("get", "pods", "-A")
    assert "web" in await kubectl.kubectl("get", "pods", "-l", "app in (web,api)")
    assert "No resources" in await kubectl.kubectl("get", "pods", "-l", "app!=web")
    assert "web" in await kubectl.kubectl("get", "all")
    shown = json.loads(await kubectl.kubectl("get", "pod", "web", "-o", "json"))
    assert shown["spec"]["restartPolicy"] == "Always"
    assert "NotFound" in await kubectl.kubectl_fails("get", "pod", "nope")


async def test_describe(kubectl: Server) -> None:
    await kubectl.kubectl("create", "-f", "-", stdin=NODE)
    await kubectl.kubectl("run", "free", "--image=busybox:1")
    await kubectl.kubectl("wait", "--for=condition=PodScheduled", "pod/free", "--timeout=20s")
    node = await kubectl.kubectl("describe", "node", "edge-1")
    assert "free" in node
    assert "10.0.0.1" in node
    with trio.fail_after(20):
        while "Successfully assigned default/free to edge-1" not in await kubectl.kubectl("describe", "pod", "free"):
            await trio.sleep(0.1)
    assert "Scheduled" in await kubectl.kubectl("get", "events")
    if kubectl.minor >= 26:
        assert "Scheduled" in await kubectl.kubectl("events")


async def test_change_in_place(kubectl: Server) -> None:
    await kubectl.kubectl("create", "-f", "-", stdin=POD)
    await kubectl.kubectl("label", "pod", "web", "tier=front")
    await kubectl.kubectl("annotate", "pod", "web", "note=1")
    await kubectl.kubectl("patch", "pod", "web", "-p", '{"metadata":{"labels":{"a":"1"}}}')
    await kubectl.kubectl("patch", "pod", "web", "--type=merge", "-p", '{"metadata":{"labels":{"b":"2"}}}')
    patch = '[{"op":"remove","path":"/metadata/labels/app"}]'
    await kubectl.kubectl("patch", "pod", "web", "--type=json", "-p", patch)
    labels = json.loads(await kubectl.kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.labels}"))
    assert labels == {"tier": "front", "a": "1", "b": "2"}
    await kubectl.kubectl("set", "image", "pod/web", "c=nginx:1.27")
    assert await kubectl.kubectl("get", "pod", "web", "-o", "jsonpath={.spec.containers[0].image}") == "nginx:1.27"


async def test_edit(kubectl: Server) -> None:
    await kubectl.kubectl("create", "configmap", "files", "--from-literal=page=old")
    assert "configmap/files edited" in await kubectl.kubectl("edit", "cm", "files", editor="sed -i s/old/new/")
    assert await kubectl.kubectl("get", "cm", "files", "-o", "jsonpath={.data.page}") == "new"
    assert "cancelled" in await kubectl.kubectl("edit", "cm", "files", editor="true")


async def test_what_kubectl_sends_as_protobuf(kubectl: Server) -> None:
    await kubectl.kubectl("create", "namespace", "shop")
    await kubectl.kubectl("create", "configmap", "files", "-n", "shop", "--from-literal=a=1")
    await kubectl.kubectl("create", "secret", "generic", "key", "-n", "shop", "--from-literal=p=q")
    await kubectl.kubectl("create", "serviceaccount", "robot", "-n", "shop")
    assert await kubectl.kubectl("get", "secret", "key", "-n", "shop", "-o", "jsonpath={.data.p}") == "cQ=="
    if kubectl.minor >= 27:
        assert "kubernetes-admin" in await kubectl.kubectl("auth", "whoami")
        assert len((await kubectl.kubectl("create", "token", "robot", "-n", "shop")).split(".")) == 3
    assert "yes" in await kubectl.kubectl("auth", "can-i", "delete", "pods")
    assert "already exists" in await kubectl.kubectl_fails("create", "namespace", "shop")


async def test_a_deleted_namespace_takes_everything_along(kubectl: Server) -> None:
    await kubectl.kubectl("create", "namespace", "shop")
    await kubectl.kubectl("create", "configmap", "files", "-n", "shop", "--from-literal=a=1")
    await kubectl.kubectl("run", "p", "-n", "shop", "--image=x")
    await kubectl.kubectl("delete", "namespace", "shop", "--timeout=30s")
    assert "NotFound" in await kubectl.kubectl_fails("get", "namespace", "shop")
    assert 'namespaces "shop" not found' in await kubectl.kubectl_fails("create", "cm", "x", "-n", "shop")
    assert "shop" not in await kubectl.kubectl("get", "cm,pods,sa", "-A")


async def test_delete_waits_for_the_node_unless_forced(kubectl: Server) -> None:
    await kubectl.kubectl("create", "-f", "-", stdin=NODE)
    await kubectl.kubectl("create", "-f", "-", stdin=POD)
    await kubectl.kubectl("delete", "pod", "web", "--wait=false")
    assert "Terminating" in await kubectl.kubectl("get", "pods")
    assert await kubectl.kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.deletionGracePeriodSeconds}") == "30"
    await kubectl.kubectl("delete", "pod", "web", "--grace-period=5", "--wait=false")
    assert await kubectl.kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.deletionGracePeriodSeconds}") == "5"
    await kubectl.kubectl("delete", "pod", "web", "--force", "--grace-period=0")
    assert "NotFound" in await kubectl.kubectl_fails("get", "pod", "web")
    assert "NotFound" in await kubectl.kubectl_fails("delete", "pod", "web")


async def test_a_pod_of_a_node_that_is_gone_can_be_deleted(kubectl: Server) -> None:
    await kubectl.kubectl("create", "-f", "-", stdin=NODE)
    await kubectl.kubectl("create", "-f", "-", stdin=POD)
    await kubectl.kubectl("delete", "node", "edge-1")
    await kubectl.kubectl("delete", "pod", "web", "--timeout=20s")
    assert "No resources" in await kubectl.kubectl("get", "pods")


async def test_cordon_taint_drain(kubectl: Server) -> None:
    await kubectl.kubectl("create", "-f", "-", stdin=NODE)
    await kubectl.kubectl("cordon", "edge-1")
    assert "SchedulingDisabled" in await kubectl.kubectl("get", "nodes")
    await kubectl.kubectl("run", "waits", "--image=x:1")
    with trio.fail_after(20):
        while "FailedScheduling" not in await kubectl.kubectl("get", "events"):
            await trio.sleep(0.1)
    await kubectl.kubectl("uncordon", "edge-1")
    await kubectl.kubectl("wait", "--for=condition=PodScheduled", "pod/waits", "--timeout=20s")
    await kubectl.kubectl("taint", "node", "edge-1", "a=b:NoSchedule")
    assert "a=b:NoSchedule" in await kubectl.kubectl("describe", "node", "edge-1")
    await kubectl.kubectl("taint", "node", "edge-1", "a-")
    assert "a=b:NoSchedule" not in await kubectl.kubectl("describe", "node", "edge-1")


async def test_watch_prints_what_happens(kubectl: Server) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(_start, kubectl, "get", "pods", "-w", "--no-headers")
            await kubectl.kubectl("run", "a", "--image=x")
            assert await _line(process) == ["a", "0/1", "Pending"]
            running = {"name": "a", "ready": True, "state": {"running": {}}}
            patch = {"status": {"phase": "Running", "containerStatuses": [running]}}
            async with kubectl.client() as client:
                await client.patch(PODS, "a", patch, kind="merge", namespace="default", subresource="status")
            while (words := await _line(process)) != ["a", "1/1", "Running"]:
                assert words == ["a", "0/1", "Pending"]  # the binder says that no node is there
            process.terminate()


async def _start(server: Server, *words: str, task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(
        server.argv(*words), stdout=subprocess.PIPE, env=server.environment, check=False, task_status=task_status
    )


async def _line(process: trio.Process) -> list[str]:
    assert process.stdout is not None
    data = b""
    while not data.endswith(b"\n"):
        part = await process.stdout.receive_some(1)
        assert part, "kubectl has ended"
        data += part
    return data.decode().split()[:3]


async def test_faults_are_told_as_kubernetes_tells_them(kubectl: Server) -> None:
    misspelt = POD.replace("image:", "imag:")
    text = await kubectl.kubectl_fails("apply", "-f", "-", stdin=misspelt)
    newer = 'strict decoding error: unknown field "spec.containers[0].imag"'
    assert newer in text if kubectl.minor >= 27 else 'unknown field "imag" in Container' in text
    text = await kubectl.kubectl_fails("apply", "--validate=false", "-f", "-", stdin=misspelt)
    assert 'The Pod "web" is invalid: spec.containers[0].image: Required value' in text
    how = "warn" if kubectl.minor >= 27 else "false"
    warned = await kubectl.kubectl("apply", f"--validate={how}", "-f", "-", stdin=POD.replace("spec:", "spec:\n  oops: 1", 1))
    assert 'Warning: unknown field "spec.oops"' in warned
    assert "must consist of lower case" in await kubectl.kubectl_fails("run", "Bad_Name", "--image=x")
    assert "field label not supported" in await kubectl.kubectl_fails("get", "pods", "--field-selector=a=b")


async def test_discovery_version_explain(kubectl: Server) -> None:
    version = json.loads(await kubectl.kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"].startswith("v1.32")
    listed = await kubectl.kubectl("api-resources")
    for kind in ("Pod", "Node", "Lease", "ObjectSync", "ClusterObjectSync", "ServiceAccount"):
        assert kind in listed
    assert "objectsyncs" in await kubectl.kubectl("api-resources", "--api-group=reliablesyncs.kubeedge.io", "-o", "name")
    assert "reliablesyncs.kubeedge.io/v1alpha1" in await kubectl.kubectl("api-versions")
    assert "volumeMounts" in await kubectl.kubectl("explain", "pod.spec.containers")
    assert "the server doesn't have a resource type" in await kubectl.kubectl_fails("get", "jobs")


async def test_dry_run_and_diff(kubectl: Server) -> None:
    assert "server dry run" in await kubectl.kubectl("apply", "--dry-run=server", "-f", "-", stdin=POD)
    assert "No resources" in await kubectl.kubectl("get", "pods")
    await kubectl.kubectl("apply", "-f", "-", stdin=POD)
    difference = await kubectl.run("diff", "-f", "-", stdin=POD.replace("1.25", "1.26"))
    assert difference.returncode == 1
    assert b"+  - image: nginx:1.26" in difference.stdout


async def test_pages(kubectl: Server) -> None:
    for number in range(5):
        await kubectl.kubectl("create", "cm", f"m{number}")
    assert len((await kubectl.kubectl("get", "cm", "--chunk-size=2", "-o", "name")).split()) == 5


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("logs", "web"), "log"),
        (("exec", "web", "--", "true"), "exec"),
        (("attach", "web"), "attach"),
        (("port-forward", "web", "8080"), "portforward"),
    ],
)
async def test_what_is_not_served_yet_says_so(kubectl, words: tuple[str, ...], what: str) -> None:
    """Newer kubectls ask for a WebSocket first, older ones for SPDY."""
    await kubectl.kubectl("apply", "-f", "-", stdin=POD)
    running = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
    if kubectl.minor >= 24:
        await kubectl.kubectl("patch", "pod", "web", "--subresource=status", "--type=merge", "-p", running)
    else:
        async with kubectl.client() as client:
            await client.patch(PODS, "web", json.loads(running), namespace="default", kind="merge", subresource="status")
    complaint = await kubectl.kubectl_fails(*words)
    assert f"{what} is not served by the embedded Kubernetes API yet" in complaint
