"""What a node asks for and gets, and what it may not: protocol messages U8, U11, U13, U15, U16, U17, U19."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import pytest
from clouds.meddled import MeddledApi, meddled_api
from clouds.standalone import Cloud, config_for, running_cloud
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from edges.scripted import ScriptedEdge, node_object

from kube.resources import EVENTS, NODES, PODS
from viaduct.certificates import new_request

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MIRROR = {"kubernetes.io/config.mirror": "abc"}


def content(message):
    return json.loads(bytes(message.content))


def refusal(message) -> str:
    found = content(message)
    return found if isinstance(found, str) else found["Err"]["ErrStatus"]["message"]


@pytest.fixture
async def api(tmp_path) -> AsyncIterator[MeddledApi]:
    async with meddled_api(tmp_path) as api:
        yield api


@pytest.fixture
async def cloud(api, tmp_path) -> AsyncIterator[Cloud]:
    config = config_for(tmp_path)
    config.standalone.enable = False
    config.kube_api_config.master = api.url
    async with running_cloud(config, tmp_path) as cloud:
        yield cloud


@pytest.fixture
async def edge(cloud) -> AsyncIterator[ScriptedEdge]:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        yield edge


async def test_the_status_of_an_old_edges_node(edge, cloud) -> None:
    status = {"conditions": [{"type": "Ready", "status": "False", "reason": "old"}]}
    answer = await edge.ask("update", "default/nodestatus/edge-1", {"UID": "", "Status": status, "ExtendResources": None})
    assert content(answer) == "OK"
    assert answer.resource == "default/node/edge-1"
    assert answer.header.resource_version
    node = await cloud.client.get(NODES, "edge-1")
    assert node["status"]["conditions"][0]["reason"] == "old"


async def test_an_old_edge_registers_with_its_status(cloud) -> None:
    edge = await cloud.joined("edge-2")
    async with edge.connected():
        answer = await edge.ask("insert", "default/nodestatus/edge-2", node_object("edge-2"))
        assert content(answer) == "OK"
        assert (await cloud.client.get(NODES, "edge-2"))["metadata"]["labels"]["kubernetes.io/hostname"] == "edge-2"


@pytest.mark.parametrize("array", [True, False])
async def test_the_status_of_an_old_edges_pods(edge, cloud, array: bool) -> None:
    pod = await cloud.pod("web")
    await edge.until(lambda: "default/pod/web" in edge.stored)
    one = {"UID": pod["metadata"]["uid"], "Name": "web", "Status": {"phase": "Running"}}
    gone = {"UID": "x", "Name": "gone", "Status": {"phase": "Running"}}
    answer = await edge.ask("update", "default/podstatus" + ("" if array else "/web"), [gone, one] if array else one)
    assert content(answer) == "OK"
    assert (await cloud.client.get(PODS, "web", namespace="default"))["status"]["phase"] == "Running"


def mirror(**spec: object) -> dict:
    meta = {"name": "static", "namespace": "default", "annotations": MIRROR}
    return {"metadata": meta, "spec": {"nodeName": "edge-1", "containers": [{"name": "c", "image": "x"}]} | spec}


async def test_a_mirror_pod_is_made(edge, cloud) -> None:
    found = content(await edge.ask("insert", "default/pod/static", mirror()))
    assert found["Err"] is None
    assert found["Object"]["metadata"]["uid"]
    assert (await cloud.client.get(PODS, "static", namespace="default"))["spec"]["nodeName"] == "edge-1"


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"serviceAccountName": "admin"}, "service accounts"),
        ({"serviceAccount": "admin"}, "service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "Secrets or ConfigMaps"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}, "persistent volume claims"),
        ({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]}, "persistent volume claims"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}, "tokens"),
        ({"volumes": ["x"]}, "volumes that are none"),
        ({"resourceClaims": [{"name": "r"}]}, "resource claims"),
    ],
)
async def test_a_mirror_pod_gives_its_node_no_rights(edge, spec: dict, what: str) -> None:
    assert what in refusal(await edge.ask("insert", "default/pod/static", mirror(**spec)))


async def test_a_token_for_a_pod_of_the_node(edge, cloud) -> None:
    pod = await cloud.pod("web")
    await edge.until(lambda: "default/pod/web" in edge.stored)

    def request(name: str, uid: str) -> dict:
        bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}
        return {"spec": {"audiences": ["me"], "expirationSeconds": 3600, "boundObjectRef": bound}}

    answer = await edge.ask("query", "default/serviceaccounttoken/default", request("web", pod["metadata"]["uid"]))
    found = content(answer)
    assert (answer.operation, found["kind"], found["apiVersion"]) == ("response", "TokenRequest", "authentication.k8s.io/v1")
    assert found["status"]["token"].count(".") == 2
    assert found["status"]["expirationTimestamp"]
    other = await edge.ask("query", "default/serviceaccounttoken/builder", request("web", pod["metadata"]["uid"]))
    assert "is forbidden" in content(other)
    made = content(await edge.ask("insert", "default/pod/static", mirror()))["Object"]
    await edge.until(lambda: "default/pod/static" in edge.stored)
    own = await edge.ask("query", "default/serviceaccounttoken/default", request("static", made["metadata"]["uid"]))
    assert "is forbidden" in content(own), "a pod that the node itself has made gives it no token"


async def test_volumes_of_the_nodes_pods(edge, cloud, api) -> None:
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    api.given[f"{claims}/data"] = {"metadata": {"name": "data", "namespace": "default", "resourceVersion": "7"}}
    api.given[f"{claims}/other"] = {"metadata": {"name": "other", "namespace": "default"}}
    for name, claim in (("pv-1", "data"), ("pv-2", "other")):
        spec = {"claimRef": {"namespace": "default", "name": claim}}
        api.given[f"/api/v1/persistentvolumes/{name}"] = {"metadata": {"name": name, "resourceVersion": "8"}, "spec": spec}
    for name, node in (("at-1", "edge-1"), ("at-2", "edge-2")):
        attachment = {"metadata": {"name": name, "resourceVersion": "9"}, "spec": {"nodeName": node}}
        api.given[f"/apis/storage.k8s.io/v1/volumeattachments/{name}"] = attachment
    await cloud.pod("web", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    await edge.until(lambda: "default/pod/web" in edge.stored)
    for path, kind, version in (
        ("default/persistentvolumeclaim/data", "PersistentVolumeClaim", "7"),
        ("null/persistentvolume/pv-1", "PersistentVolume", "8"),
        ("default/volumeattachment/at-1", "VolumeAttachment", "9"),
    ):
        answer = await edge.ask("query", path)
        assert (content(answer)["kind"], answer.header.resource_version, answer.resource) == (kind, version, path)
    for path in ("default/persistentvolumeclaim/other", "null/persistentvolume/pv-2", "default/volumeattachment/at-2"):
        assert "is forbidden" in content(await edge.ask("query", path))


def signing_request(name: str, *, node: str = "edge-1", signer: str = "kubernetes.io/kubelet-serving") -> dict:
    pem = x509.load_der_x509_csr(new_request(node)[1]).public_bytes(serialization.Encoding.PEM)
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["digital signature", "server auth"]}
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_serving_certificate_is_requested_and_asked_for(edge, api) -> None:
    api.given[CSRS] = {}
    found = content(await edge.ask("insert", "default/certificatesigningrequest/csr-1", signing_request("csr-1")))
    assert found["Err"] is None
    assert found["Object"]["kind"] == "CertificateSigningRequest"
    asked = content(await edge.ask("query", "default/certificatesigningrequest/csr-1"))
    assert asked["metadata"]["name"] == "csr-1"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (signing_request("csr-1", node="edge-2"), "for 'system:node:edge-2', not for 'system:node:edge-1'"),
        (signing_request("csr-1", signer="kubernetes.io/kube-apiserver-client"), "may only ask the signer"),
        (signing_request("csr-2"), "the message is about 'csr-1'"),
        ({"metadata": {"name": "csr-1"}, "spec": {"signerName": "kubernetes.io/kubelet-serving"}}, "spec.request"),
        (
            {"metadata": {"name": "csr-1"}, "spec": {"signerName": "kubernetes.io/kubelet-serving", "request": "AAAA"}},
            "not a certificate request",
        ),
        (
            {"metadata": {"name": "csr-1"}, "spec": {"signerName": "kubernetes.io/kubelet-serving", "request": "%"}},
            "spec.request",
        ),
    ],
)
async def test_a_request_for_somebody_else_is_not_handed_on(edge, api, sent: dict, why: str) -> None:
    api.given[CSRS] = {}
    assert why in refusal(await edge.ask("insert", "default/certificatesigningrequest/csr-1", sent))
    assert list(api.given) == [CSRS]


def event(pod: str, name: str, **more: object) -> dict:
    about = {"kind": "Pod", "namespace": "default", "name": pod}
    meta = {"name": name, "namespace": "default"}
    return {"metadata": meta, "involvedObject": about, "reason": "Started", "message": "m", "type": "Normal"} | more


async def test_events_follow_their_own_and_never_take_the_place_of_others(edge, cloud, caplog) -> None:
    await cloud.pod("web")
    await cloud.pod("foreign", node="edge-2")
    await edge.until(lambda: "default/pod/web" in edge.stored)
    await cloud.client.create(EVENTS, event("foreign", "theirs.1"), namespace="default")
    await edge.send("insert", "default/event/own.1", event("web", "own.1", count=1))
    await edge.send("update", "default/event/theirs.1", event("web", "theirs.1", message="overwritten"))
    changed = {"event": event("web", "theirs.1"), "patchData": '{"message":"overwritten"}'}
    await edge.send("patch", "default/event/theirs.1", changed)
    await edge.send("insert", "default/event/one.1", event("web", "another.1"))
    await edge.send("patch", "default/event/own.1", {"event": event("web", "own.1"), "patchData": "[" * 10_000})
    await edge.send("patch", "default/event/own.1", {"event": event("web", "own.1"), "patchData": '{"count":5}'})
    await cloud.until(EVENTS, lambda one: one["metadata"]["name"] == "own.1" and one["count"] == 5)
    await edge.send("insert", "default/event/last.1", event("web", "last.1"))
    await cloud.until(EVENTS, lambda one: one["metadata"]["name"] == "last.1")
    assert caplog.text.count("default/event/theirs.1; dropped") == 2
    assert "Traceback" not in caplog.text
    found = {one["metadata"]["name"]: one for one in (await cloud.client.list(EVENTS)).items}
    assert found["theirs.1"]["message"] == "m"
    assert "another.1" not in found


async def test_without_https_nodes_come_in_that_have_joined_before(start_cloud, tmp_path) -> None:
    async with start_cloud() as cloud:
        edge = await cloud.joined()
    config = config_for(tmp_path)
    config.modules.cloud_hub.https.enable = False
    async with start_cloud(config) as cloud:
        assert cloud.running.https_port == 0
        edge._wss = f"wss://127.0.0.1:{cloud.running.websocket_port}"
        async with edge.connected():
            await edge.register()
