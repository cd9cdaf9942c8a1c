"""The main path: an edge registers, a pod goes down, its status comes up, it ends."""

from __future__ import annotations

import json

import pytest

from beehive.message import Message
from kube.resources import CONFIG_MAPS, NODES, OBJECT_SYNCS, PODS
from kube.status import NotFound

pytestmark = pytest.mark.usefixtures("cloud")


def content(message: Message):
    return json.loads(bytes(message.content))


async def test_pod_goes_down_and_status_comes_up(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        pod = await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        stored = edge.stored["default/pod/web"]
        assert (stored["kind"], stored["apiVersion"], stored["metadata"]["uid"]) == ("Pod", "v1", pod["metadata"]["uid"])
        assert "managedFields" not in stored["metadata"]

        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"phase": "Running", "podIP": "172.17.0.2"}}
        answer = await edge.ask("patch", "default/podpatch/web", json.dumps(patch))
        assert (answer.route.source, answer.route.group, answer.operation) == ("edgecontroller", "resource", "response")
        assert content(answer)["Err"] is None
        assert content(answer)["Object"]["status"]["phase"] == "Running"
        assert answer.header.resource_version == content(answer)["Object"]["metadata"]["resourceVersion"]
        assert (await cloud.client.get(PODS, "web", namespace="default"))["status"]["phase"] == "Running"


async def test_node_arrives_at_its_edge_after_registration(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await edge.until(lambda: "null/node/edge-1" in edge.stored)
        node = await cloud.client.get(NODES, "edge-1")
        assert node["metadata"]["annotations"]["cloudcore"]
        assert node["status"]["capacity"]["pods"] == "110"


async def test_config_map_follows_its_pod_and_leaves_with_it(cloud) -> None:
    edge = await cloud.joined()
    await cloud.config_map("page", text="one")
    async with edge.connected():
        await edge.register()
        await cloud.pod("web", volumes=[{"name": "page", "configMap": {"name": "page"}}])
        await edge.until(lambda: "default/configmap/page" in edge.stored and "default/pod/web" in edge.stored)
        await cloud.client.patch(CONFIG_MAPS, "page", {"data": {"text": "two"}}, kind="merge", namespace="default")
        await edge.until(lambda: edge.stored["default/configmap/page"]["data"]["text"] == "two")
        await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
        await edge.until(lambda: "default/pod/web" not in edge.stored and "default/configmap/page" not in edge.stored)


async def test_graceful_deletion_of_a_pod(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        pod = await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        await cloud.client.delete(PODS, "web", namespace="default")
        await edge.until(lambda: "deletionTimestamp" in edge.stored["default/pod/web"]["metadata"])
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        answer = await edge.ask("delete", "default/pod/web", options)
        assert content(answer) == "OK"
        await edge.until(lambda: "default/pod/web" not in edge.stored)
        with pytest.raises(NotFound):
            await cloud.client.get(PODS, "web", namespace="default")
        again = await edge.ask("delete", "default/pod/web", options)
        assert content(again) == "OK"


async def test_status_of_a_pod_does_not_come_back_as_an_echo(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        before = len(edge.versions("default/pod/web"))
        await edge.ask("patch", "default/podpatch/web", json.dumps({"status": {"phase": "Running"}}))
        await cloud.pod("later")
        await edge.until(lambda: "default/pod/later" in edge.stored)
        assert len(edge.versions("default/pod/web")) == before


async def test_deletion_while_edge_and_cloud_are_down(start_cloud) -> None:
    async with start_cloud() as cloud:
        edge = await cloud.joined()
        async with edge.connected():
            await edge.register()
            await cloud.pod("gone")
            await cloud.pod("stays")
            await edge.until(lambda: {"default/pod/gone", "default/pod/stays"} <= edge.stored.keys())
            await _recorded(cloud, "gone", "stays")
        await cloud.client.delete(PODS, "gone", namespace="default", grace_seconds=0)
    async with start_cloud() as cloud:
        back = cloud.edge()
        back.stored = edge.stored
        async with back.connected():
            await back.until(lambda: "default/pod/gone" not in back.stored)
            assert "default/pod/stays" in back.stored


async def _recorded(cloud, *names: str) -> None:
    """Waits until the records in the API say that the node has these objects."""
    for name in names:
        await cloud.until(
            OBJECT_SYNCS,
            lambda one, name=name: (
                one["spec"]["objectName"] == name and one.get("status", {}).get("objectResourceVersion", "0") != "0"
            ),
        )
