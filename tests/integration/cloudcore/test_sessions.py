"""Who may connect, how sessions end, and that one node never harms another."""

from __future__ import annotations

import json

import pytest
import trio
from clouds.standalone import config_for

from beehive.message import Operation
from kube.resources import NODES, PODS


def content(message):
    return json.loads(bytes(message.content))


async def test_a_certificate_of_another_node_is_refused_and_the_socket_closed(cloud) -> None:
    edge = await cloud.joined("edge-1")
    async with edge.connected(as_node="edge-2"):
        await edge.until_closed()


async def test_the_node_limit_closes_the_socket(start_cloud, tmp_path) -> None:
    config = config_for(tmp_path)
    config.modules.cloud_hub.node_limit = 1
    async with start_cloud(config) as cloud:
        first, second = await cloud.joined("edge-1"), await cloud.joined("edge-2")
        async with first.connected():
            await first.register()
            async with second.connected():
                await second.until_closed()
            assert content(await first.ask("query", "null/node/edge-1"))["metadata"]["name"] == "edge-1"


async def test_a_new_connection_replaces_the_old_one_and_gets_what_is_due(cloud) -> None:
    old, new = await cloud.joined("edge-1"), await cloud.joined("edge-1")
    async with old.connected():
        await old.register()
        async with new.connected():
            await old.until_closed()
            await cloud.pod("web")
            await new.until(lambda: "default/pod/web" in new.stored)
            await new.ask("query", "null/node/edge-1")


async def test_silence_ends_the_session(start_cloud, tmp_path) -> None:
    config = config_for(tmp_path)
    config.modules.cloud_hub.keepalive_interval = 1
    async with start_cloud(config) as cloud:
        edge = await cloud.joined()
        async with edge.connected():
            await edge.until_closed()


async def test_deleting_the_node_ends_its_session_and_it_may_come_back(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.client.delete(NODES, "edge-1")
        await edge.until_closed()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)


async def test_a_node_that_reconnects_is_compared_at_once(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("stays")
        await cloud.pod("goes")
        await edge.until(lambda: {"default/pod/stays", "default/pod/goes"} <= edge.stored.keys())
    await cloud.client.delete(PODS, "goes", namespace="default", grace_seconds=0)
    await cloud.pod("comes")
    received = len(edge.received)
    async with edge.connected():
        await edge.until(lambda: "default/pod/comes" in edge.stored and "default/pod/goes" not in edge.stored)
        again = [one.resource for one in edge.received[received:]]
        assert "default/pod/stays" not in again, "what has not changed is not sent again"


async def test_a_pod_made_again_while_the_edge_was_away(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
    await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
    made = await cloud.pod("web")
    received = len(edge.received)
    async with edge.connected():
        await edge.until(lambda: edge.stored.get("default/pod/web", {}).get("metadata", {}).get("uid") == made["metadata"]["uid"])
        about = [one.operation for one in edge.received[received:] if one.resource == "default/pod/web"]
        assert about[:2] == [Operation.DELETE, Operation.INSERT]


@pytest.mark.parametrize(
    "text", ["not json", "null", "[]", '{"header":5}', '{"header":{"msg_id":null},"route":{},"content":1}', "\x00"]
)
async def test_what_is_not_a_message_ends_that_session_only(cloud, text: str) -> None:
    good, bad = await cloud.joined("edge-1"), await cloud.joined("edge-2")
    async with good.connected():
        await good.register()
        async with bad.connected():
            await bad.transmit_raw(text)
            await bad.until_closed()
        assert content(await good.ask("query", "null/node/edge-1"))["kind"] == "Node"


@pytest.mark.parametrize(
    ("operation", "resource", "sent"),
    [
        ("query", "nonsense", None),
        ("query", "default/configmap", None),
        ("query", "a/b/c/d", None),
        ("query", "default/unheardof/x", None),
        ("query", "default/serviceaccounttoken/default", None),
        ("query", "default/serviceaccounttoken/default", {"spec": {"boundObjectRef": 5}}),
        ("query", "default/secret/key", None),
        ("query", "null/persistentvolume/x", None),
        ("query", "default/persistentvolumeclaim/x", None),
        ("query", "default/volumeattachment/x", None),
        ("update", "null/node/edge-1", None),
        ("update", "default/podstatus", "x"),
        ("update", "default/nodestatus/edge-1", []),
    ],
)
async def test_bad_requests_get_operation_error(cloud, operation: str, resource: str, sent: object) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        answer = await edge.ask(operation, resource, sent)
        assert answer.operation == "error"
        assert isinstance(content(answer), str)
        assert content(answer)


@pytest.mark.parametrize(
    ("operation", "resource", "sent"),
    [
        ("patch", "default/podpatch/web", "not json"),
        ("patch", "default/podpatch/web", "null"),
        ("patch", "default/podpatch/web", None),
        ("patch", "default/podpatch/web", '{"status":null}'),
        ("patch", "default/podpatch/web", '{"metadata":7,"status":{}}'),
        ("patch", "null/nodepatch/edge-1", '{"status":"x"}'),
        ("patch", "null/nodepatch/edge-1", "[]"),
        ("insert", "null/node/edge-1", "x"),
        ("insert", "null/node/edge-1", {"metadata": None}),
        ("insert", "kube-node-lease/lease/edge-1", None),
        ("update", "kube-node-lease/lease/edge-1", {"metadata": {"name": "edge-1"}, "spec": {"renewTime": 3}}),
        ("insert", "default/pod/web", {"metadata": {"name": "web"}, "spec": {"nodeName": "edge-1"}}),
    ],
)
async def test_bad_requests_get_a_full_status(cloud, operation: str, resource: str, sent: object) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        found = content(await edge.ask(operation, resource, sent))
        assert isinstance(found["Object"], dict)
        status = found["Err"]["ErrStatus"]
        assert status["status"] == "Failure"
        assert status["message"]
        assert 400 <= status["code"] < 600


@pytest.fixture
async def stranger(cloud):
    """edge-2, beside edge-1 that has a pod with a Secret and a ConfigMap."""
    owner, stranger = await cloud.joined("edge-1"), await cloud.joined("edge-2")
    await cloud.config_map("page", text="one")
    async with owner.connected(), stranger.connected():
        await owner.register()
        await stranger.register()
        await cloud.pod("web", volumes=[{"name": "page", "configMap": {"name": "page"}}])
        await owner.until(lambda: {"default/pod/web", "default/configmap/page"} <= owner.stored.keys())
        yield stranger


@pytest.mark.parametrize(
    ("operation", "resource", "sent"),
    [
        ("patch", "default/podpatch/web", '{"status":{"phase":"Failed"}}'),
        ("patch", "null/nodepatch/edge-1", '{"status":{"phase":"x"}}'),
        ("insert", "null/node/edge-3", {"metadata": {"name": "edge-3"}}),
        ("query", "kube-node-lease/lease/edge-1", None),
        ("update", "kube-node-lease/lease/edge-1", {"metadata": {"name": "edge-1"}, "spec": {}}),
        ("insert", "kube-system/pod/evil", {"metadata": {"name": "evil"}, "spec": {"nodeName": "edge-1"}}),
        ("delete", "default/pod/web", {"gracePeriodSeconds": 0}),
        ("query", "default/configmap/page", None),
        ("query", "null/node/edge-1", None),
    ],
)
async def test_a_node_touches_nothing_that_is_not_its_own(stranger, cloud, operation: str, resource: str, sent: object) -> None:
    answer = await stranger.ask(operation, resource, sent)
    found = content(answer)
    text = found if isinstance(found, str) else (found.get("Err") or found)["ErrStatus"]["message"]
    assert "is forbidden: node 'edge-2'" in text
    assert (await cloud.client.get(PODS, "web", namespace="default"))["status"].get("phase") != "Failed"


async def test_nothing_of_another_node_arrives(stranger, cloud) -> None:
    await cloud.pod("own", node="edge-2")
    await stranger.until(lambda: "default/pod/own" in stranger.stored)
    assert set(stranger.stored) == {"default/pod/own", "null/node/edge-2"}


async def test_restricted_labels_are_not_taken_from_a_node(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register(**{"node-restriction.kubernetes.io/vip": "yes"})
        node = await cloud.client.get(NODES, "edge-1")
        assert "node-restriction.kubernetes.io/vip" not in node["metadata"]["labels"]


async def test_a_node_that_gets_its_label_later_gets_its_pods(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register(**{"node-role.kubernetes.io/edge": "no"})
        await cloud.pod("web")
        await edge.until(lambda: "null/node/edge-1" in edge.stored)
        assert "default/pod/web" not in edge.stored
        patch = {"metadata": {"labels": {"node-role.kubernetes.io/edge": ""}}}
        await cloud.client.patch(NODES, "edge-1", patch, kind="merge")
        await edge.until(lambda: "default/pod/web" in edge.stored)


async def test_many_pods_at_once_all_arrive(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        async with trio.open_nursery() as nursery:
            for index in range(60):
                nursery.start_soon(cloud.pod, f"web-{index}")
        await edge.until(lambda: len([one for one in edge.stored if "/pod/" in one]) == 60, seconds=30)


async def test_a_new_machine_of_the_same_name_gets_everything(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
    replacement = await cloud.joined()
    async with replacement.connected():
        await replacement.until(lambda: {"default/pod/web", "null/node/edge-1"} <= replacement.stored.keys())


async def test_a_new_machine_gets_everything_although_the_old_one_is_still_there(cloud) -> None:
    old = await cloud.joined()
    async with old.connected():
        await old.register()
        await cloud.pod("web")
        await old.until(lambda: "default/pod/web" in old.stored)
        certificate = old.certificate()
        replacement = await cloud.joined()
        await old.ask("query", "null/node/edge-1")
        async with replacement.connected():
            await replacement.until(lambda: {"default/pod/web", "null/node/edge-1"} <= replacement.stored.keys())
            await old.until_closed()
    old.use(certificate)
    old.received.clear()
    async with old.connected():
        await old.until(lambda: "default/pod/web" in [one.resource for one in old.received])


async def test_a_renewed_certificate_costs_one_transfer_and_the_same_one_none(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
    for renewed in (False, True, False):
        if renewed:
            await edge.join(await cloud.token())
        edge.received.clear()
        async with edge.connected():
            mark = f"mark-{len(edge.stored)}"
            await cloud.pod(mark)
            await edge.until(lambda mark=mark: f"default/pod/{mark}" in [one.resource for one in edge.received])
            assert ("default/pod/web" in [one.resource for one in edge.received]) == renewed


async def test_an_edge_that_lost_its_store_gets_everything_again(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        edge.stored.clear()
        assert content(await edge.ask("query", "null/podlist/edge-1")) == "OK"
        await edge.until(lambda: {"default/pod/web", "null/node/edge-1"} <= edge.stored.keys())
        assert "is forbidden" in content(await edge.ask("query", "null/podlist/edge-2"))


async def test_status_changes_do_not_bring_pods_again_at_reconnection(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        await edge.ask("patch", "default/podpatch/web", json.dumps({"status": {"phase": "Running"}}))
        await cloud.pod("mark")
        await edge.until(lambda: "default/pod/mark" in edge.stored)
    received = len(edge.received)
    async with edge.connected():
        await cloud.pod("later")
        await edge.until(lambda: "default/pod/later" in edge.stored)
        assert "default/pod/web" not in [one.resource for one in edge.received[received:]]
