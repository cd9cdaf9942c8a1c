"""What KubeEdge's cloudcore 1.23 sees of our edge, message by message (protocol section 7a, tables 2.7 and 2.8).

The whole edge half runs here (link, store, MetaManager, edged) with containers in memory; the cloud is a script of what a real
cloudcore sends and answers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from clouds.scripted import ScriptedCloud, config_map, edge_config, pod
from engines.memory import MemoryEngine

from beehive.message import Message, build, decode, encode
from edgecore.app import App
from edgecore.edged.app import Edged
from edgecore.edged.settings import EdgedSettings
from edgecore.jointoken import JoinTokenSource
from edgecore.metamanager.metamanager import MetaManager


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[ScriptedCloud]:
    folder = tmp_path / "cloud"
    folder.mkdir()
    async with ScriptedCloud(folder).running() as cloud:
        cloud.issue("edge-1", tmp_path / "edge")
        yield cloud


@pytest.fixture
async def edge(cloud: ScriptedCloud, tmp_path: Path) -> AsyncIterator[App]:
    settings = EdgedSettings(
        node_name="edge-1",
        version="0.1.0",
        root=tmp_path / "kubelet",
        pod_logs=tmp_path / "logs",
        status_update_frequency=0.3,
        status_report_frequency=0.5,
        sync_frequency=5.0,
    )

    def make(meta: MetaManager) -> Edged:
        return Edged(settings, meta, MemoryEngine())

    config = edge_config(cloud, tmp_path / "edge")
    app = App(config, JoinTokenSource(tmp_path / "none.yaml", tmp_path / "none"), make)
    app.store.database.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.run)
        await app.meta.protect(None)
        yield app
        nursery.cancel_scope.cancel()


def wire(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(message))
    return found


def asked(cloud: ScriptedCloud, operation: str, resource: str) -> list[Message]:
    return [each for each in cloud.received if (each.operation, each.resource) == (operation, resource)]


async def first(cloud: ScriptedCloud, operation: str, resource: str) -> Message:
    await cloud.until(lambda: bool(asked(cloud, operation, resource)), 20)
    return asked(cloud, operation, resource)[0]


async def test_the_handshake_and_the_first_message(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.connected()
    assert cloud.link is not None
    peer = cloud.link.peer
    assert (peer.node, peer.project, peer.use) == ("edge-1", "e632aba927ea4ac2b575ec1603d56f10", "msg")
    assert peer.common_name == "system:node:edge-1"
    hello = wire(cloud.heard[0])
    assert set(hello["header"]) == {"msg_id", "timestamp"}
    assert hello["route"] == {"source": "websocket", "group": "resource", "operation": "keepalive", "resource": "node"}
    assert hello["content"] == "ping"


async def test_the_node_registers_reports_and_holds_a_lease(cloud: ScriptedCloud, edge: App) -> None:
    node = json.loads(bytes((await first(cloud, "insert", "null/node/edge-1")).content))
    labels = node["metadata"]["labels"]
    assert labels["node-role.kubernetes.io/edge"] == ""
    assert labels["node-role.kubernetes.io/agent"] == ""
    assert labels["kubernetes.io/hostname"] == "edge-1"
    patch = await first(cloud, "patch", "null/nodepatch/edge-1")
    assert (patch.route.source, patch.route.group) == ("edged", "meta")
    content = wire(patch)["content"]
    assert isinstance(content, str)
    conditions = json.loads(content)["status"]["conditions"]
    assert {"Ready"} <= {each["type"] for each in conditions}
    lease = json.loads(bytes((await first(cloud, "insert", "kube-node-lease/lease/edge-1")).content))
    assert lease["spec"]["holderIdentity"] == "edge-1"
    assert lease["spec"]["leaseDurationSeconds"] == 40
    assert lease["spec"]["renewTime"].endswith("Z")


async def test_every_push_gets_exactly_one_echoing_acknowledgement(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.connected()
    pushes = [
        await cloud.push("update", "null/node/edge-1", {"kind": "Node", "metadata": {"name": "edge-1", "uid": "n"}}),
        await cloud.push("insert", "default/configmap/a", config_map("a", {})),
        await cloud.push("update", "default/secret/s", config_map("s", {}) | {"kind": "Secret"}),
        await cloud.push("update", "default/pod/other", pod("other", node="edge-2")),
        await cloud.push("update", "default/device/d", {"kind": "Device", "metadata": {"uid": "d"}}, source="devicecontroller"),
        await cloud.push("delete", "default/configmap/never-seen", {"metadata": {"name": "never-seen", "uid": "x"}}),
    ]
    await cloud.send(pushes[1])  # a resend of the same message
    await cloud.acked(*pushes)
    await cloud.until(lambda: cloud.acks.count(pushes[1].id) == 2)
    echoes = {each.parent_id: each for each in cloud.heard if each.is_response()}
    for push in pushes:
        ack = wire(echoes[push.id])
        assert set(ack["header"]) == {"msg_id", "parent_msg_id", "timestamp"}
        assert ack["header"]["msg_id"] != push.id
        assert ack["route"] == wire(push)["route"] | {"operation": "response"}
        assert ack["content"] == "OK"


async def test_a_pod_from_bind_to_removal(cloud: ScriptedCloud, edge: App) -> None:
    await first(cloud, "patch", "null/nodepatch/edge-1")
    cloud.objects["default/configmap/app"] = config_map("app", {"greeting": "hello"}, version=3)
    wanted = pod("web", version=10, uid="4c0e")
    container = wanted["spec"]["containers"][0]
    container["command"] = ["sleep", "1000"]
    container["imagePullPolicy"] = "IfNotPresent"
    container["env"] = [{"name": "G", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "greeting"}}}]
    wanted["spec"] |= {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False}
    cloud.objects["default/pod/web"] = wanted
    await cloud.acked(await cloud.push("update", "default/pod/web", wanted))
    await first(cloud, "query", "default/configmap/app")

    def running() -> list[dict[str, Any]]:
        patches = [json.loads(wire(each)["content"]) for each in asked(cloud, "patch", "default/podpatch/web")]
        return [each for each in patches if each["status"].get("phase") == "Running"]

    await cloud.until(lambda: bool(running()), 20)
    assert running()[0]["metadata"]["uid"] == "4c0e"

    leaving = cloud.objects["default/pod/web"]
    leaving["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 1,
        "resourceVersion": str(int(leaving["metadata"]["resourceVersion"]) + 1),
    }
    await cloud.push("update", "default/pod/web", leaving)
    goodbye = await first(cloud, "delete", "default/pod/web")
    assert json.loads(bytes(goodbye.content)) == {"gracePeriodSeconds": 0, "preconditions": {"uid": "4c0e"}}
    last_patch = max(cloud.received.index(each) for each in asked(cloud, "patch", "default/podpatch/web"))
    assert last_patch < cloud.received.index(goodbye)
    orphan = {"metadata": {"name": "web", "namespace": "default", "uid": "4c0e", "creationTimestamp": None}}
    await cloud.acked(await cloud.push("delete", "default/pod/web", orphan))
    assert await edge.meta.pods() == []


async def test_the_recorded_pushes_of_a_cloudcore_are_acknowledged_as_recorded(cloud: ScriptedCloud, edge: App) -> None:
    rows = json.loads((Path(__file__).parent / "recorded" / "pushes.json").read_text())["pushes"]
    for row in rows:
        if row["push"]["route"]["resource"] in ("default/configmap/page", "default/secret/key"):
            cloud.objects.setdefault(row["push"]["route"]["resource"], row["push"]["content"])
    await first(cloud, "patch", "null/nodepatch/edge-1")
    for row in rows:
        push = decode(json.dumps(row["push"]))
        await cloud.send(push)
        await cloud.acked(push)
        ack = next(wire(each) for each in cloud.heard if each.parent_id == push.id)
        expected = row["acknowledgement"]
        assert ack["route"] == expected["route"]
        assert set(ack["header"]) == set(expected["header"])
        assert ack["content"] == expected["content"]
        status = row["push"]["content"].get("status", {})
        if push.operation == "insert" and "deletionTimestamp" not in rows[rows.index(row) + 1]["push"]["content"]["metadata"]:
            assert status["phase"] == "Pending"
            await cloud.until(lambda: "Running" in [phase(each) for each in asked(cloud, "patch", "default/podpatch/web")])
    assert await edge.meta.pods() == []
    await cloud.acked(await cloud.push("insert", "default/configmap/a", config_map("a", {})))
    assert cloud.connections == 1


def phase(patch: Message) -> str:
    return str(json.loads(wire(patch)["content"])["status"].get("phase", ""))


async def test_what_an_edge_without_device_modules_hears_does_not_disturb_it(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.connected()
    for group, operation, resource in (
        ("twin", "update", "membership"),
        ("user", "publish", "topic"),
        ("taskmanager", "upgrade", "upgrade/1/node/edge-1"),
        ("nonsense", "nonsense", "////"),
        ("resource", "nonsense", "////"),
        ("resource", "update", "too/many/parts/here"),
        ("", "", ""),
    ):
        message = a_message(group, operation, resource)
        await cloud.send(message)
    await cloud.acked(await cloud.push("insert", "default/configmap/a", config_map("a", {})))
    assert cloud.connections == 1


def a_message(group: str, operation: str, resource: str) -> Message:
    return build(source="x", group=group, operation=operation, resource=resource, content={"metadata": {}})
