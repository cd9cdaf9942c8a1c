"""Two cloudcores on one API: an edge may come to either, and move, whatever the other one still believes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from clouds.standalone import Cloud, config_for
from edges.scripted import ScriptedEdge

from beehive.message import Message
from beehive.resource import parse
from cloudcore.apiserver.server import serve as serve_api
from cloudcore.apiserver.settings import ApiServerSettings
from cloudcore.app import Running, client_context, serve
from cloudcore.edgecontroller import holders
from cloudcore.edgecontroller.cluster import Cluster
from cloudcore.edgecontroller.downstream import Downstream
from cloudcore.edgecontroller.location import POD, pod_path
from cloudcore.edgecontroller.records import FLUSH_EVERY, Records
from kube import kubeconfig
from kube.client import Client
from kube.resources import CLUSTER_OBJECT_SYNCS, CONFIG_MAPS, LEASES, NODES, OBJECT_SYNCS, PODS, Resource

WEB = "default/pod/web"


class Replicas:
    """An API, and cloudcores that are started and killed on it."""

    def __init__(self, folder: Path, client: Client, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.client = client
        self._nursery = nursery
        self._scopes: dict[Cloud, trio.CancelScope] = {}

    async def start(self) -> Cloud:
        config = config_for(self.folder)
        config.standalone.enable = False
        config.kube_api_config.kube_config = str(self.folder / "kubeconfig")
        scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[Running]) -> None:
            with scope:
                await serve(config, task_status=task_status)

        cloud = Cloud(self.folder, await self._nursery.start(run), self.client)
        self._scopes[cloud] = scope
        return cloud

    def stop(self, cloud: Cloud) -> None:
        self._scopes[cloud].cancel()

    async def records(self) -> dict[str, str]:
        """Wire path of the object to its recorded version."""
        found = (await self.client.list(OBJECT_SYNCS)).items
        return {
            f"default/{one['spec']['objectKind'].lower()}/{one['spec']['objectName']}": one["status"]["objectResourceVersion"]
            for one in found
            if one.get("status")
        }

    async def agree(self, edge: ScriptedEdge, *, calm: float = 0) -> None:
        """Waits until the records say what the edge has, and for ``calm`` seconds more, in which they must stay so."""

        async def agreed() -> bool:
            has = {path: one["metadata"]["resourceVersion"] for path, one in edge.stored.items() if "/node/" not in path}
            return await self.records() == has

        with trio.fail_after(15):
            while not await agreed():
                await trio.sleep(0.1)
        await trio.sleep(calm)
        assert await agreed()


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[tuple[Client, trio.Nursery]]:
    settings = ApiServerSettings(data_dir=folder / "data", kubeconfig=folder / "kubeconfig", port=0)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_api, settings))
        connection = kubeconfig.load(folder / "kubeconfig")
        async with Client.of(connection, tls=client_context(connection)) as client, trio.open_nursery() as cloudcores:
            yield client, cloudcores
            cloudcores.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    async with api(tmp_path) as (client, nursery):
        yield Replicas(tmp_path, client, nursery)


def wss(cloud: Cloud) -> str:
    return f"wss://127.0.0.1:{cloud.running.websocket_port}"


async def gone(client: Client, resource: Resource, name: str) -> None:
    await client.delete(resource, name, namespace="default", grace_seconds=0)


async def test_a_node_that_connects_elsewhere_is_let_go(replicas: Replicas) -> None:
    """The old connection may well stay open: half-open TCP is noticed only after a while."""
    one, two = await replicas.start(), await replicas.start()
    old = await one.joined()
    new = old.elsewhere(wss(two))
    async with old.connected():
        await old.register()
        await one.config_map("page", text="1")
        await one.pod("web", volumes=[{"name": "page", "configMap": {"name": "page"}}])
        await old.until(lambda: {WEB, "default/configmap/page"} <= old.stored.keys())
        await replicas.agree(old)
        async with new.connected():
            await old.until_closed()
            await gone(replicas.client, PODS, "web")
            await one.pod("next")
            await new.until(lambda: new.stored.keys() == {"null/node/edge-1", "default/pod/next"})
            assert WEB not in [one.resource for one in new.received if one.operation != "delete"], "it had that"
            await replicas.agree(new, calm=2 * FLUSH_EVERY)
    lease = await replicas.client.get(LEASES, "node.edge-1", namespace="kubeedge")
    assert lease["spec"]["leaseTransitions"] == 2


async def test_what_was_deleted_between_two_cloudcores_is_deleted(replicas: Replicas) -> None:
    one = await replicas.start()
    edge = await one.joined()
    async with edge.connected():
        await edge.register()
        await one.pod("web")
        await edge.until(lambda: WEB in edge.stored)
    replicas.stop(one)
    await gone(replicas.client, PODS, "web")
    two = await replicas.start()
    moved = edge.elsewhere(wss(two))
    async with moved.connected():
        await moved.until(lambda: WEB not in moved.stored)
        await replicas.agree(moved)


async def test_back_and_forth_nothing_comes_twice(replicas: Replicas) -> None:
    one, two = await replicas.start(), await replicas.start()
    edge = await one.joined()
    async with edge.connected():
        await edge.register()
        await one.pod("web")
        await edge.until(lambda: WEB in edge.stored)
        await replicas.agree(edge)
    for number, cloud in enumerate([two, one, two]):
        moved = edge.elsewhere(wss(cloud))
        async with moved.connected():
            await cloud.pod(f"mark-{number}")
            await moved.until(lambda moved=moved, number=number: f"default/pod/mark-{number}" in moved.stored)
            assert WEB not in [one.resource for one in moved.received]
            await replicas.agree(moved)


async def test_a_new_machine_joins_at_one_and_connects_to_the_other(replicas: Replicas) -> None:
    one, two = await replicas.start(), await replicas.start()
    edge = await one.joined()
    async with edge.connected():
        await edge.register()
        await one.pod("web")
        await edge.until(lambda: WEB in edge.stored)
        await replicas.agree(edge)
    replacement = (await one.joined()).elsewhere(wss(two))
    async with replacement.connected():
        await replacement.until(lambda: {WEB, "null/node/edge-1"} <= replacement.stored.keys())


async def test_what_was_asked_for_again_is_sent_by_the_other_one(replicas: Replicas) -> None:
    one, two = await replicas.start(), await replicas.start()
    edge = await one.joined()
    async with edge.connected():
        await edge.register()
        await one.pod("web")
        await edge.until(lambda: WEB in edge.stored)
        await replicas.agree(edge)
        edge.stored.clear()
        edge.acknowledges = lambda message: False
        assert json.loads(bytes((await edge.ask("query", "null/podlist/edge-1")).content)) == "OK"
    replicas.stop(one)
    moved = edge.elsewhere(wss(two))
    async with moved.connected():
        await moved.until(lambda: {WEB, "null/node/edge-1"} <= moved.stored.keys())


async def test_a_config_map_that_returns_while_nobody_knows_whether_it_was_forgotten_is_sent(replicas: Replicas) -> None:
    """The node forgot it and its acknowledgement was lost; then a pod refers to the same version again."""
    one, two = await replicas.start(), await replicas.start()
    edge = await one.joined()
    page = "default/configmap/page"
    volumes = [{"name": "page", "configMap": {"name": "page"}}]
    async with edge.connected():
        await edge.register()
        await one.config_map("page", text="1")
        await one.pod("web", volumes=volumes)
        await edge.until(lambda: {WEB, page} <= edge.stored.keys())
        await replicas.agree(edge)
        edge.acknowledges = lambda message: message.resource != page
        await gone(replicas.client, PODS, "web")
        await edge.until(lambda: any(one.resource == page and one.operation == "delete" for one in edge.received))
        del edge.stored[page]
    await one.pod("again", volumes=volumes)
    moved = edge.elsewhere(wss(two))
    async with moved.connected():
        await moved.until(lambda: page in moved.stored)
        assert moved.stored[page]["data"] == {"text": "1"}
        await replicas.agree(moved)


async def test_a_pod_that_nobody_knows_is_told_to_go(replicas: Replicas) -> None:
    """It has neither an object nor a record: a record was lost, or the cluster restored from an old backup."""
    cloud = await replicas.start()
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        edge.stored["default/pod/ghost"] = {"metadata": {"uid": "6c9d8b0e-0000"}}
        await edge.until(lambda: WEB in edge.stored)
        for name, uid in (("ghost", "6c9d8b0e-0000"), ("web", "6c9d8b0e-1111"), ("ghost", "../x"), ("ghost", "")):
            status = json.dumps({"metadata": {"uid": uid}, "status": {"phase": "Running"}})
            answer = await edge.ask("patch", f"default/podpatch/{name}", status)
            assert json.loads(bytes(answer.content))["Err"] is not None
        await edge.until(lambda: "default/pod/ghost" not in edge.stored)
        deleted = {one.resource: json.loads(bytes(one.content)) for one in edge.received if one.operation == "delete"}
        assert {path: one["metadata"]["uid"] for path, one in deleted.items()} == {
            "default/pod/ghost": "6c9d8b0e-0000",
            WEB: "6c9d8b0e-1111",
        }
        assert WEB in edge.stored, "the living one has another uid"
        await replicas.agree(edge)


async def test_memory_that_lags_is_waited_for(replicas: Replicas) -> None:
    cloud = Cloud(replicas.folder, Running(0, 0, None), replicas.client)
    old = await cloud.pod("web")
    heard: list[Any] = []
    cluster = Cluster(replicas.client, lambda node, path, last: heard.append(path))
    pods = cluster._reflectors[POD]
    await pods._list()
    caught_up = trio.Event()

    async def catch_up() -> None:
        await cluster.caught_up("edge-1")
        caught_up.set()

    async def later(change: Callable[[], Any]) -> None:
        """A change of which the watch does not tell yet."""
        nonlocal caught_up
        await change()
        caught_up = trio.Event()
        nursery.start_soon(catch_up)
        await trio.sleep(0.3)
        assert not caught_up.is_set()
        await pods._list()
        await caught_up.wait()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await catch_up()
            await later(partial(cloud.pod, "next"))
            await later(partial(gone, replicas.client, PODS, "web"))
            assert cluster.get(pod_path(old)) is None
            await cloud.config_map("other", text="moves the version of everything on")
            await catch_up()


PAGE = "default/configmap/page"


@asynccontextmanager
async def late(replicas: Replicas, *, without: str = "") -> AsyncIterator[tuple[Downstream, Sent]]:
    """A cloudcore whose watches are as good as dead. It lists once, leaves ``without`` out, and gets the node edge-1."""
    downstream, sent = Downstream(replicas.client, identity="late"), Sent()
    for type_, reflector in downstream.cluster._reflectors.items():
        if type_ != without:
            await reflector._list()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(downstream.records.run)
        await nursery.start(downstream.holders.run)
        await downstream.records.synced.wait()
        yield downstream, sent
        feed = downstream.attach("edge-1", sent.put, sent.certificate)
        nursery.start_soon(feed.run)
        await feed.begun.wait()
        await trio.sleep(1.0)  # for what must not be sent
        nursery.cancel_scope.cancel()


class Sent:
    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.certificate = ""

    def put(self, key: str, message: Message, note: object) -> None:
        self.messages.append((key, message.operation))


@asynccontextmanager
async def served(replicas: Replicas) -> AsyncIterator[tuple[Cloud, ScriptedEdge, str]]:
    """An edge with a pod and its ConfigMap, and the fingerprint of its certificate as its Lease has it."""
    cloud = await replicas.start()
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.config_map("page", text="1")
        await cloud.pod("web", volumes=[{"name": "page", "configMap": {"name": "page"}}])
        await edge.until(lambda: {WEB, PAGE} <= edge.stored.keys())
        await replicas.agree(edge)
        lease = await replicas.client.get(LEASES, "node.edge-1", namespace="kubeedge")
        yield cloud, edge, lease["metadata"]["annotations"][holders.CERTIFICATE]


async def test_a_config_map_of_which_the_news_lags_is_not_taken_away(replicas: Replicas) -> None:
    async with served(replicas) as (_, _, certificate):
        async with late(replicas, without="configmap") as (_, sent):
            sent.certificate = certificate
        assert (PAGE, "delete") not in sent.messages


async def test_an_older_version_than_the_node_has_is_not_sent(replicas: Replicas) -> None:
    async with served(replicas) as (_, edge, certificate):
        async with late(replicas) as (downstream, sent):
            patch = {"data": {"text": "2"}}
            await replicas.client.patch(CONFIG_MAPS, "page", patch, namespace="default", kind="merge")
            await edge.until(lambda: edge.stored[PAGE]["data"] == {"text": "2"})
            await replicas.agree(edge)
            path = parse(PAGE)
            with trio.fail_after(5):
                while edge.stored[PAGE]["metadata"]["resourceVersion"] not in _versions(downstream, path):
                    await trio.sleep(0.05)
            sent.certificate = certificate
        assert PAGE not in [path for path, _ in sent.messages]


def _versions(downstream: Downstream, path: Any) -> list[str]:
    return [one.version for one in downstream.records.of("edge-1", path).values()]


async def test_what_is_known_of_nodes_that_are_gone_for_good_is_forgotten(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudcore.edgecontroller.downstream.REMEMBER_REMOVED", 0.0)
    monkeypatch.setattr("cloudcore.edgecontroller.downstream.SWEEP", 0.2)
    one = await replicas.start()
    for name in ("edge-1", "edge-2"):
        edge = await one.joined(name)
        async with edge.connected():
            await edge.register()
            await one.pod(f"web-{name}", node=name)
            await edge.until(lambda edge=edge, name=name: f"default/pod/web-{name}" in edge.stored)
    await replicas.client.delete(NODES, "edge-1")
    with trio.fail_after(10):
        while (kept := await known(replicas.client)) != {"edge-2", "node.edge-2", "cloudcore"}:
            assert {"edge-2", "node.edge-2"} <= kept
            await trio.sleep(0.1)


async def test_a_node_that_comes_back_while_others_are_forgotten_is_not(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudcore.edgecontroller.downstream.REMEMBER_REMOVED", 0.0)
    downstream = Downstream(replicas.client, identity="a")
    nodes, forgotten = {"edge-1", "edge-2"}, []
    forget = downstream.records.forget
    for node in nodes:
        await downstream.records.ensure(node, parse(WEB), "u")

    async def then_the_other_comes(node: str) -> None:
        forgotten.append(node)
        downstream.attach((nodes - {node}).pop(), lambda *_: None, "")
        await forget(node)

    monkeypatch.setattr(downstream.records, "forget", then_the_other_comes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(downstream.forget_removed_nodes)
        with trio.fail_after(10):
            while len((await replicas.client.list(OBJECT_SYNCS)).items) > 1:
                await trio.sleep(0.05)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(forgotten) == 1
    assert forgotten[0] not in downstream._absent, "it is forgotten once, and not again with every sweep"
    assert await known(replicas.client) == nodes - set(forgotten)


async def known(client: Client) -> set[str]:
    """Nodes that have records, and Leases in kubeedge."""
    records = (await client.list(OBJECT_SYNCS)).items + (await client.list(CLUSTER_OBJECT_SYNCS)).items
    leases = (await client.list(LEASES, namespace="kubeedge")).items
    return {one["metadata"]["name"].rpartition(".")[0] for one in records} | {one["metadata"]["name"] for one in leases}


async def test_the_late_write_of_one_that_lost_the_node_does_not_count(replicas: Replicas) -> None:
    """It has not heard of it yet: it was suspended, or its watch is cut."""
    path = parse(WEB)
    pod = await Cloud(replicas.folder, Running(0, 0, None), replicas.client).pod("web")
    uid = pod["metadata"]["uid"]
    before, now = Records(replicas.client), Records(replicas.client)
    for records in (before, now):
        records.hold("edge-1")
    await before.ensure("edge-1", path, uid)
    before.acknowledged("edge-1", path, uid, "5")
    await now.ensure("edge-1", path, uid)
    now.distrust("edge-1")
    await now.settle("edge-1")
    await before.flush()
    assert await replicas.records() == {WEB: "0"}
    before.removed("edge-1", path, uid)
    await before.flush()
    assert await replicas.records() == {WEB: "0"}


async def test_where_no_record_can_be_made_objects_are_sent_without(replicas: Replicas) -> None:
    """A namespace that goes takes the records first, and its pods must be told to end, or it stays for ever."""
    path = parse("team/pod/web")
    records = Records(replicas.client)
    records.hold("edge-1")
    assert not records.holds("edge-1", path, "u")
    await records.ensure("edge-1", path, "u")
    assert records.holds("edge-1", path, "u")
    records.acknowledged("edge-1", path, "u", "5")
    await records.settle("edge-1")
    records.removed("edge-1", path, "u")
    assert records.nodes() == set()
