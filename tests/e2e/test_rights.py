"""Everything that an edge may ask for, answered by a real API server to a cloudcore that has the rights we ship and no others."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from clouds.standalone import Cloud, config_for, running_cloud
from cluster import Cluster
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from edges.scripted import ScriptedEdge

from beehive.message import Message
from kube.resources import EVENTS, NAMESPACES, NODES, PODS
from kube.status import ApiError
from viaduct.certificates import new_request

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.clean()


@pytest.fixture
async def cloud(clean: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Cloud]:
    """Its ``client`` is the administrator's."""
    config = config_for(tmp_path)
    config.standalone.enable = False
    config.standalone.kube_config = str(clean.admin)
    config.kube_api_config.kube_config = str(clean.cloudcore)
    async with running_cloud(config, tmp_path) as cloud:
        yield cloud
    assert " cannot " not in caplog.text, "cloudcore lacks a right in packaging/kubernetes/rbac.yaml"


@pytest.fixture
async def edge(cloud: Cloud) -> AsyncIterator[ScriptedEdge]:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        yield edge


def content(message: Message) -> Any:
    return json.loads(bytes(message.content))


async def done(edge: ScriptedEdge, operation: str, path: str, body: object = None) -> Any:
    """The result of a request that must succeed."""
    answer = await edge.ask(operation, path, body)
    assert answer.operation == "response", content(answer)
    found = content(answer)
    if isinstance(found, dict) and set(found) == {"Object", "Err"}:
        assert found["Err"] is None, found["Err"]
        return found["Object"]
    return found


async def become(condition: Callable[[], object]) -> None:
    """Asks the API until it is so."""
    with trio.fail_after(30):
        while not await trio.to_thread.run_sync(condition):
            await trio.sleep(0.3)


async def test_the_node(edge: ScriptedEdge, cloud: Cloud) -> None:
    node = await done(edge, "query", "null/node/edge-1")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "edge-1"
    assert node["metadata"]["annotations"]["cloudcore"]
    assert await done(edge, "update", "null/node/edge-1", {"metadata": {"name": "edge-1", "labels": {"disk": "ssd"}}}) == "OK"
    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "EdgeReady", "message": "m"}]}
    patched = await done(edge, "patch", "null/nodepatch/edge-1", json.dumps({"status": ready}))
    assert patched["metadata"]["labels"]["disk"] == "ssd"
    stored = await cloud.client.get(NODES, "edge-1")
    assert [one["reason"] for one in stored["status"]["conditions"]] == ["EdgeReady"]


async def test_the_lease(edge: ScriptedEdge) -> None:
    missing = content(await edge.ask("query", "kube-node-lease/lease/edge-1"))
    assert missing["Err"]["ErrStatus"]["reason"] == "NotFound"
    spec = {"holderIdentity": "edge-1", "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"}
    lease = {"metadata": {"name": "edge-1", "namespace": "kube-node-lease"}, "spec": spec}
    made = await done(edge, "insert", "kube-node-lease/lease/edge-1", lease)
    renewed = made | {"spec": spec | {"renewTime": "2026-01-01T00:00:10.000000Z"}}
    assert (await done(edge, "update", "kube-node-lease/lease/edge-1", renewed))["spec"]["renewTime"].startswith(
        "2026-01-01T00:00:10"
    )
    late = content(await edge.ask("update", "kube-node-lease/lease/edge-1", renewed))
    assert late["Err"]["ErrStatus"]["reason"] == "Conflict"


async def test_a_pod_from_its_status_to_its_end(edge: ScriptedEdge, cloud: Cloud) -> None:
    pod = await cloud.pod("web")
    uid = pod["metadata"]["uid"]
    stored = await edge.until(lambda: edge.stored.get("default/pod/web"))
    assert stored["spec"]["serviceAccountName"] == "default"
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{"ip": "10.0.0.7"}]}
    patch = json.dumps({"metadata": {"uid": uid}, "status": status})
    assert (await done(edge, "patch", "default/podpatch/web", patch))["status"]["phase"] == "Running"
    other = json.dumps({"metadata": {"uid": "another"}, "status": {"phase": "Failed"}})
    refused = content(await edge.ask("patch", "default/podpatch/web", other))
    assert refused["Err"]["ErrStatus"]["code"] in (409, 422)
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": uid}
    wish = {"metadata": {}, "spec": {"audiences": None, "expirationSeconds": 3607, "boundObjectRef": bound}, "status": {}}
    token = await done(edge, "query", "default/serviceaccounttoken/default", wish)
    assert token["status"]["token"].count(".") == 2
    assert (await done(edge, "query", "default/configmap/kube-root-ca.crt"))["data"]["ca.crt"].startswith("-----BEGIN")
    await cloud.client.delete(PODS, "web", namespace="default")
    await edge.until(lambda: edge.stored["default/pod/web"]["metadata"].get("deletionTimestamp"))
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    assert await done(edge, "delete", "default/pod/web", options) == "OK"
    await edge.until(lambda: "default/pod/web" not in edge.stored)
    assert await done(edge, "delete", "default/pod/web", options) == "OK"


async def test_a_static_pods_mirror(edge: ScriptedEdge) -> None:
    meta = {"name": "static", "namespace": "default", "annotations": {"kubernetes.io/config.mirror": "abc"}}
    spec = {"nodeName": "edge-1", "containers": [{"name": "c", "image": "x"}], "tolerations": [{"operator": "Exists"}]}
    made = await done(edge, "insert", "default/pod/static", {"metadata": meta, "spec": spec})
    assert made["metadata"]["uid"]


async def test_volumes(edge: ScriptedEdge, cloud: Cloud, cluster: Cluster) -> None:
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    claims, volumes = "/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/persistentvolumes"
    claim = {"metadata": {"name": "data"}, "spec": common | {"resources": {"requests": {"storage": "1Mi"}}, "volumeName": "pv-1"}}
    owner = {"namespace": "default", "name": "data"}
    volume = {
        "metadata": {"name": "pv-1"},
        "spec": common | {"capacity": {"storage": "1Mi"}, "hostPath": {"path": "/nowhere"}, "claimRef": owner},
    }
    try:
        cluster.request("POST", claims, claim)
        cluster.request("POST", volumes, volume)
        await cloud.pod("web", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
        await edge.until(lambda: "default/pod/web" in edge.stored)
        assert (await done(edge, "query", "default/persistentvolumeclaim/data"))["kind"] == "PersistentVolumeClaim"
        assert (await done(edge, "query", "null/persistentvolume/pv-1"))["kind"] == "PersistentVolume"
        missing = str(content(await edge.ask("query", "default/volumeattachment/none")))
        assert "not found" in missing
    finally:
        await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
        cluster.request("DELETE", f"{claims}/data")
        cluster.request("DELETE", f"{volumes}/pv-1")


async def test_a_serving_certificate(edge: ScriptedEdge, cluster: Cluster) -> None:
    pem = x509.load_der_x509_csr(new_request("edge-1")[1]).public_bytes(serialization.Encoding.PEM)
    usages = ["digital signature", "server auth"]
    spec = {"request": base64.b64encode(pem).decode(), "signerName": "kubernetes.io/kubelet-serving", "usages": usages}
    path = "default/certificatesigningrequest/csr-1"
    try:
        made = await done(edge, "insert", path, {"metadata": {"name": "csr-1"}, "spec": spec})
        assert made["spec"]["username"] == "system:serviceaccount:kubeedge:cloudcore"
        assert (await done(edge, "query", path))["metadata"]["uid"] == made["metadata"]["uid"]
    finally:
        cluster.request("DELETE", "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1")


async def test_events(edge: ScriptedEdge, cloud: Cloud, cluster: Cluster) -> None:
    await cloud.pod("web")
    await edge.until(lambda: "default/pod/web" in edge.stored)
    name = f"web.{edge.stored['default/pod/web']['metadata']['uid'][:8]}"
    about = {"kind": "Pod", "namespace": "default", "name": "web"}
    meta = {"name": name, "namespace": "default"}
    body = {"metadata": meta, "involvedObject": about, "reason": "Started", "message": "first", "type": "Normal", "count": 1}
    path = f"default/event/{name}"
    await edge.send("insert", path, body)
    await cloud.until(EVENTS, lambda one: one["metadata"]["name"] == name)
    await edge.send("update", path, body | {"message": "second", "count": 2})
    await cloud.until(EVENTS, lambda one: one["metadata"]["name"] == name and one["message"] == "second")
    await edge.send("patch", path, {"event": body, "patchData": '{"count":3}'})
    await cloud.until(EVENTS, lambda one: one["metadata"]["name"] == name and one["count"] == 3)


async def test_what_a_node_has_is_recorded_and_forgotten(edge: ScriptedEdge, cloud: Cloud, cluster: Cluster) -> None:
    await cloud.config_map("page", text="1")
    pod = await cloud.pod("web", volumes=[{"name": "page", "configMap": {"name": "page"}}])
    await edge.until(lambda: {"default/pod/web", "default/configmap/page"} <= set(edge.stored))
    path = "/apis/reliablesyncs.kubeedge.io/v1alpha1/namespaces/default/objectsyncs"

    def records() -> dict[str, str]:
        found = cluster.request("GET", path)["items"]
        return {one["spec"]["objectName"]: one.get("status", {}).get("objectResourceVersion", "") for one in found}

    await become(lambda: set(records()) >= {"web", "page"} and "0" not in records().values() and all(records().values()))
    assert records()["page"] == edge.stored["default/configmap/page"]["metadata"]["resourceVersion"]
    await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0, uid=pod["metadata"]["uid"])
    await edge.until(lambda: not {"default/pod/web", "default/configmap/page"} & set(edge.stored))
    await become(lambda: not records())


async def test_a_namespace_goes_with_its_pods_although_its_records_went_first(edge: ScriptedEdge, cloud: Cloud) -> None:
    await cloud.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    spec = {"nodeName": "edge-1", "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "busybox"}]}
    made: list[str] = []

    async def make() -> bool:
        with suppress(ApiError):  # its service account is not there at once
            pod = await cloud.client.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, namespace="team")
            made.append(pod["metadata"]["uid"])
        return bool(made)

    with trio.fail_after(20):
        while not await make():
            await trio.sleep(0.2)
    path = "team/pod/web"
    await edge.until(lambda: path in edge.stored)
    await cloud.client.delete(NAMESPACES, "team")
    await edge.until(lambda: edge.stored[path]["metadata"].get("deletionTimestamp"), 20)
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": made[0]}}
    assert await done(edge, "delete", path, options) == "OK"
    await edge.until(lambda: path not in edge.stored, 20)
    with trio.fail_after(30):
        while "team" in [one["metadata"]["name"] for one in (await cloud.client.list(NAMESPACES)).items]:
            await trio.sleep(0.3)


async def test_reports_on_pods_that_are_others_by_now(edge: ScriptedEdge, cloud: Cloud) -> None:
    """The API answers 409 or 422 for a wrong uid; the edge is told that the pod of this uid is to go."""
    await cloud.pod("web")
    await edge.until(lambda: "default/pod/web" in edge.stored)
    for uid, name in (("0c3c6c0e-1", "web"), ("0c3c6c0e-2", "nowhere")):
        path = f"default/pod/{name}"
        old = {"UID": uid, "Name": name, "Status": {"phase": "Failed"}}
        assert await done(edge, "update", f"default/podstatus/{name}", old) == "OK"
        await edge.until(lambda uid=uid, path=path: uid in told_to_go(edge, path))
    assert (await cloud.client.get(PODS, "web", namespace="default"))["status"]["phase"] == "Pending"
    assert "default/pod/web" in edge.stored


def told_to_go(edge: ScriptedEdge, path: str) -> list[str]:
    return [content(one)["metadata"]["uid"] for one in edge.received if (one.resource, one.operation) == (path, "delete")]
