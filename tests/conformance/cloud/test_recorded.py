"""Recorded messages of a KubeEdge 1.23 edge against a running cloudcore (protocol 2.11, 7b; application path 1.5)."""

from __future__ import annotations

import json

import httpx2
import pytest
from edges.scripted import node_object

from beehive.message import Message, encode
from kube.resources import LEASES, NODES, SECRETS
from viaduct import tls
from viaduct.certificates import Authority, new_request
from viaduct.token import JoinToken

KEEPALIVE = (
    '{"header":{"msg_id":"a1","timestamp":1760000000000},"route":{"source":"websocket","group":"resource",'
    '"operation":"keepalive","resource":"node"},"content":"ping"}'
)
NODE_PATCH = (
    '{"header":{"msg_id":"a3","timestamp":1760000000200},"route":{"source":"edged","group":"meta","operation":"patch",'
    '"resource":"null/nodepatch/edge-1"},"content":"{\\"status\\":{\\"conditions\\":[{\\"type\\":\\"Ready\\",\\"status\\":'
    '\\"True\\",\\"lastHeartbeatTime\\":\\"2025-10-09T08:53:20Z\\"}]}}"}'
)
CONFIG_MAP_QUERY = (
    '{"header":{"msg_id":"a5","timestamp":1760000000400},"route":{"source":"edged","group":"meta","operation":"query",'
    '"resource":"default/configmap/app"},"content":null}'
)
MEMBERSHIP = (
    '{"header":{"msg_id":"a6","timestamp":1760000000500},"route":{"source":"twin","group":"resource","operation":"get",'
    '"resource":"membership/detail"},"content":"{\\"event_type\\":\\"group_membership_event\\",\\"event_id\\":\\"x\\",'
    '\\"group_id\\":\\"edge-1\\",\\"operation\\":\\"detail\\",\\"timestamp\\":1760000000500}"}'
)
CA_QUERY = (
    '{"header":{"msg_id":"a7","timestamp":1760000000600},"route":{"source":"metamanager","group":"meta","operation":"query",'
    '"resource":"k8s/ca.crt"},"content":null}'
)


def tree(message: Message) -> dict:
    return json.loads(encode(message))


def content(message: Message):
    return json.loads(bytes(message.content))


def without_moment(message: Message) -> dict:
    """A message without what differs each time: id, time, version."""
    out = tree(message)
    for key in ("msg_id", "timestamp", "resourceversion"):
        out["header"].pop(key, None)
    return out


@pytest.fixture
async def edge(cloud):
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        yield edge


async def test_a_second_registration_is_answered_as_recorded(edge) -> None:
    request = (
        '{"header":{"msg_id":"a2","timestamp":1760000000050},"route":{"source":"edged","group":"meta","operation":"insert",'
        f'"resource":"null/node/edge-1"}},"content":{json.dumps(node_object("edge-1"))}}}'
    )
    answer = await edge.replay(request)
    assert without_moment(answer) == {
        "header": {"parent_msg_id": "a2"},
        "route": {"source": "edgecontroller", "group": "resource", "operation": "response", "resource": "null/node/edge-1"},
        "content": {
            "Object": {"metadata": {"creationTimestamp": None}, "spec": {}, "status": {}},
            "Err": {
                "ErrStatus": {
                    "metadata": {},
                    "status": "Failure",
                    "message": 'nodes "edge-1" already exists',
                    "reason": "AlreadyExists",
                    "details": {"name": "edge-1", "kind": "nodes"},
                    "code": 409,
                }
            },
        },
    }


async def test_registration_keeps_labels_and_adds_the_annotation(edge, cloud) -> None:
    node = await cloud.client.get(NODES, "edge-1")
    assert node["metadata"]["labels"]["node-role.kubernetes.io/edge"] == ""
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "edge-1"
    assert "cloudcore" in node["metadata"]["annotations"]


async def test_status_patch_in_a_string(edge) -> None:
    answer = await edge.replay(NODE_PATCH)
    assert answer.resource == "null/nodepatch/edge-1"
    found = content(answer)
    assert list(found) == ["Object", "Err"]
    assert found["Err"] is None
    assert found["Object"]["status"]["conditions"][0]["lastHeartbeatTime"] == "2025-10-09T08:53:20Z"
    assert answer.header.resource_version == found["Object"]["metadata"]["resourceVersion"]


async def test_a_status_patch_without_news_is_answered_with_the_node(edge) -> None:
    """What the first status of a fresh KubeEdge node comes to; refused, it keeps the node waiting for Ready."""
    found = content(await edge.ask("patch", "null/nodepatch/edge-1", "{}"))
    assert found["Err"] is None
    assert found["Object"]["metadata"]["name"] == "edge-1"


async def test_lease_is_missing_then_created_then_renewed_and_conflicts(edge, cloud) -> None:
    path = "kube-node-lease/lease/edge-1"
    missing = content(await edge.ask("query", path))
    assert missing["Err"]["ErrStatus"]["reason"] == "NotFound"
    assert missing["Err"]["ErrStatus"]["code"] == 404
    lease = {
        "metadata": {"name": "edge-1", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "edge-1", "leaseDurationSeconds": 40, "renewTime": "2025-10-09T08:53:20.000000Z"},
    }
    made = content(await edge.ask("insert", path, lease))
    assert made["Err"] is None
    lease["metadata"]["resourceVersion"] = made["Object"]["metadata"]["resourceVersion"]
    lease["spec"]["renewTime"] = "2025-10-09T08:53:30.000000Z"
    renewed = content(await edge.ask("update", path, lease))
    assert renewed["Err"] is None
    assert renewed["Object"]["spec"]["renewTime"] == "2025-10-09T08:53:30.000000Z"
    stale = content(await edge.ask("update", path, lease))
    assert (stale["Err"]["ErrStatus"]["reason"], stale["Err"]["ErrStatus"]["code"]) == ("Conflict", 409)
    assert await cloud.client.get(LEASES, "edge-1", namespace="kube-node-lease")


async def test_config_map_answer_is_the_bare_object_with_kind_and_version(edge, cloud) -> None:
    await cloud.config_map("app", k="v")
    await cloud.pod("web", volumes=[{"name": "app", "configMap": {"name": "app"}}])
    await edge.until(lambda: "default/pod/web" in edge.stored)
    answer = await edge.replay(CONFIG_MAP_QUERY)
    assert without_moment(answer)["header"] == {"parent_msg_id": "a5"}
    assert without_moment(answer)["route"] == {
        "source": "edgecontroller",
        "group": "resource",
        "operation": "response",
        "resource": "default/configmap/app",
    }
    found = content(answer)
    assert (found["kind"], found["apiVersion"], found["data"]) == ("ConfigMap", "v1", {"k": "v"})
    assert answer.header.resource_version == found["metadata"]["resourceVersion"]


async def test_a_failed_query_is_operation_error_with_plain_text(edge, cloud) -> None:
    await cloud.pod("web", volumes=[{"name": "app", "configMap": {"name": "app"}}])
    await edge.until(lambda: "default/pod/web" in edge.stored)
    answer = await edge.replay(CONFIG_MAP_QUERY)
    assert answer.operation == "error"
    assert answer.parent_id == "a5"
    assert content(answer) == 'configmaps "app" not found'


async def test_a_query_of_something_optional_reads_as_an_object_without_data(edge, cloud) -> None:
    """A Go edge decodes the text into the ConfigMap; only so does a pod with an optional reference start there."""
    await cloud.pod("web", volumes=[{"name": "app", "configMap": {"name": "app", "optional": True}}])
    await edge.until(lambda: "default/pod/web" in edge.stored)
    answer = await edge.replay(CONFIG_MAP_QUERY)
    assert (answer.operation, answer.parent_id) == ("error", "a5")
    status = json.loads(content(answer))["ErrStatus"]
    assert (status["reason"], status["message"]) == ("NotFound", 'configmaps "app" not found')


async def test_one_pod_that_needs_it_makes_it_a_plain_failure(edge, cloud) -> None:
    await cloud.pod("web", volumes=[{"name": "app", "configMap": {"name": "app", "optional": True}}])
    await cloud.pod("strict", volumes=[{"name": "app", "configMap": {"name": "app"}}])
    await edge.until(lambda: {"default/pod/web", "default/pod/strict"} <= set(edge.stored))
    answer = await edge.replay(CONFIG_MAP_QUERY)
    assert content(answer) == 'configmaps "app" not found'


async def test_membership_is_answered_in_group_twin(edge) -> None:
    answer = await edge.replay(MEMBERSHIP)
    assert without_moment(answer) == {
        "header": {"parent_msg_id": "a6"},
        "route": {"source": "devicecontroller", "group": "twin", "operation": "response", "resource": "twin"},
        "content": "OK",
    }


async def test_ca_of_the_api_is_a_pem_string_of_cloudhub(edge) -> None:
    answer = await edge.replay(CA_QUERY)
    assert (answer.route.source, answer.resource) == ("cloudhub", "k8s/ca.crt")
    assert content(answer).startswith("-----BEGIN CERTIFICATE-----")


async def test_pod_deletion_as_edges_send_it(edge, cloud) -> None:
    pod = await cloud.pod("web-0")
    await edge.until(lambda: "default/pod/web-0" in edge.stored)
    wrong = {"gracePeriodSeconds": 0, "preconditions": {"uid": "4c0e0000-0000-0000-0000-000000000000"}}
    assert content(await edge.ask("delete", "default/pod/web-0", wrong)) == "OK"
    assert "default/pod/web-0" in edge.stored, "another uid is another pod"
    assert content(await edge.ask("delete", "default/pod/web-0", pod["metadata"]["uid"])) == "OK", "a bare uid, as old edges send"
    await edge.until(lambda: "default/pod/web-0" not in edge.stored)


async def test_status_of_another_uid_is_a_conflict(edge, cloud) -> None:
    await cloud.pod("web-0")
    await edge.until(lambda: "default/pod/web-0" in edge.stored)
    patch = {"metadata": {"uid": "4c0e0000-0000-0000-0000-000000000000"}, "status": {"phase": "Running"}}
    answer = content(await edge.ask("patch", "default/podpatch/web-0", json.dumps(patch)))
    assert answer["Err"]["ErrStatus"]["code"] in (409, 422)
    assert isinstance(answer["Object"], dict)


async def test_downstream_messages_have_the_form_that_edges_acknowledge(edge, cloud) -> None:
    await cloud.pod("web-0")
    await edge.until(lambda: "default/pod/web-0" in edge.stored)
    message = next(one for one in edge.received if one.resource == "default/pod/web-0")
    head, route = tree(message)["header"], tree(message)["route"]
    assert set(head) == {"msg_id", "timestamp", "resourceversion"}
    assert route == {"source": "edgecontroller", "group": "resource", "operation": "insert", "resource": "default/pod/web-0"}
    assert content(message)["spec"]["nodeName"] == "edge-1"


async def test_keepalives_are_not_answered(edge) -> None:
    before = len(edge.received)
    await edge.transmit(KEEPALIVE)
    await edge.ask("query", "null/node/edge-1")
    assert [one.operation for one in edge.received[before:] if one.parent_id == "a1"] == []


async def test_secrets_have_kubeedges_names_and_forms(cloud) -> None:
    import base64

    data = {}
    for name in ("casecret", "cloudcoresecret", "tokensecret"):
        secret = await cloud.client.get(SECRETS, name, namespace="kubeedge")
        assert secret["type"] == "Opaque"
        data |= {key: base64.b64decode(value) for key, value in secret["data"].items()}
    assert set(data) == {"cadata", "cakeydata", "cloudcoredata", "cloudcorekeydata", "tokendata"}
    authority = Authority.from_der(data["cadata"], data["cakeydata"])
    assert JoinToken.parse(data["tokendata"].decode()).fingerprint == authority.fingerprint


async def test_certificate_exchange_as_edges_do_it(cloud) -> None:
    token = JoinToken.parse(await cloud.token())
    _, request = new_request("edge-9")
    async with httpx2.AsyncClient(verify=tls.bootstrap_context()) as http:
        ca = await http.get(f"{cloud.https}/ca.crt")
        assert ca.status_code == 200
        assert ca.content[:1] == b"\x30", "DER, not PEM"
        headers = {"NodeName": "edge-9", "Authorization": f"Bearer {token.jwt}", "ExtKeyUsages": "[2]"}
        got = await http.request("GET", f"{cloud.https}/edge.crt", content=request, headers=headers)
        assert got.status_code == 200
        assert got.content[:1] == b"\x30"
        missing = await http.get(f"{cloud.https}/node/edge-9")
        assert missing.status_code == 404


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("", "token validation failure, token is empty"),
        ("Bearer", "token validation failure, token cannot be split"),
        ("Bearer a.b.c", "token validation failure, err: token is malformed: could not be decoded"),
    ],
)
async def test_bad_tokens_are_refused_in_kubeedges_words(cloud, authorization: str, text: str) -> None:
    _, request = new_request("edge-9")
    async with httpx2.AsyncClient(verify=tls.bootstrap_context()) as http:
        headers = {"NodeName": "edge-9", "Authorization": authorization}
        got = await http.request("GET", f"{cloud.https}/edge.crt", content=request, headers=headers)
    assert (got.status_code, got.text) == (401, text)


async def test_a_node_that_exists_is_found(edge, cloud) -> None:
    async with httpx2.AsyncClient(verify=tls.bootstrap_context()) as http:
        assert (await http.get(f"{cloud.https}/node/edge-1")).status_code == 200
