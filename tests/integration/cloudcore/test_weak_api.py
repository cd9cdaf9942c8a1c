"""A Kubernetes API that is slow, fails, or lacks the records: others do not suffer, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio
from clouds.meddled import MeddledApi, meddled_api
from clouds.standalone import Cloud, config_for, running_cloud

from kube.objects import Object
from kube.resources import OBJECT_SYNCS, PODS


def content(message):
    return json.loads(bytes(message.content))


def weak_config(api: MeddledApi, folder: Path):
    config = config_for(folder)
    config.standalone.enable = False
    config.kube_api_config.master = api.url
    return config


@pytest.fixture
async def api(tmp_path) -> AsyncIterator[MeddledApi]:
    async with meddled_api(tmp_path) as api:
        yield api


@pytest.fixture
async def cloud(api, tmp_path) -> AsyncIterator[Cloud]:
    async with running_cloud(weak_config(api, tmp_path), tmp_path) as cloud:
        yield cloud


async def test_cloudcore_starts_although_the_first_answers_are_no_help(api, tmp_path) -> None:
    codes = [500, 429]

    async def overloaded(method: str, path: str) -> int:
        return codes.pop() if codes and "/secrets" in path else 0

    api.meddle = overloaded
    async with running_cloud(weak_config(api, tmp_path), tmp_path) as cloud:
        assert await cloud.token()
    assert not codes


async def test_a_call_that_hangs_holds_up_neither_its_own_node_nor_another(api, cloud) -> None:
    first, second = await cloud.joined("edge-1"), await cloud.joined("edge-2")
    async with first.connected(), second.connected():
        await first.register()
        await second.register()

        async def hang(method: str, path: str) -> int:
            if path.endswith("/pods/stuck/status"):
                await trio.sleep_forever()
            return 0

        await cloud.pod("stuck")
        await first.until(lambda: "default/pod/stuck" in first.stored)
        api.meddle = hang
        await first.send("patch", "default/podpatch/stuck", '{"status":{"phase":"Running"}}')
        assert content(await first.ask("query", "null/node/edge-1"))["kind"] == "Node"
        assert content(await second.ask("query", "null/node/edge-2"))["kind"] == "Node"
        await cloud.pod("other")
        await first.until(lambda: "default/pod/other" in first.stored)


async def test_a_flood_behind_a_hanging_call_is_refused_not_collected(api, cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()

        async def hang(method: str, path: str) -> int:
            if path.endswith("/nodes/edge-1/status"):
                await trio.sleep_forever()
            return 0

        api.meddle = hang
        for _ in range(300):
            last = await edge.send("patch", "null/nodepatch/edge-1", '{"status":{}}')
        answer = await edge.until(lambda: edge._answers.get(last.id))
        assert content(answer)["Err"]["ErrStatus"]["code"] == 429


async def test_an_object_waits_for_its_record_and_the_others_do_not(api, cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        refused = True

        async def refuse(method: str, path: str) -> int:
            return 500 if refused and method == "POST" and path.endswith("/objectsyncs") else 0

        await cloud.config_map("page", text="one")
        api.meddle = refuse
        await cloud.pod("web")
        await edge.ask("query", "null/node/edge-1")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert "default/pod/web" not in edge.stored, "without a record it could never be deleted for certain"
        refused = False
        await edge.until(lambda: "default/pod/web" in edge.stored)


async def test_without_the_records_in_the_api_nodes_are_served_from_memory(api, tmp_path, caplog) -> None:
    async def lacks(method: str, path: str) -> int:
        return 404 if "reliablesyncs" in path else 0

    api.meddle = lacks
    async with running_cloud(weak_config(api, tmp_path), tmp_path) as cloud:
        assert "has no objectsyncs.reliablesyncs.kubeedge.io" in caplog.text
        edge = await cloud.joined()
        async with edge.connected():
            await edge.register()
            await cloud.pod("web")
            await edge.until(lambda: "default/pod/web" in edge.stored)
        await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
        async with edge.connected():
            await edge.until(lambda: "default/pod/web" not in edge.stored)


async def test_records_that_cannot_be_read_at_the_start_are_waited_for(api, tmp_path, caplog) -> None:
    failures = 2

    async def fail(method: str, path: str) -> int:
        nonlocal failures
        if "reliablesyncs" in path and failures:
            failures -= 1
            return 503
        return 0

    api.meddle = fail
    async with running_cloud(weak_config(api, tmp_path), tmp_path) as cloud:
        assert caplog.text.count("what nodes have cannot be read") == 2
        await cloud.joined()


async def test_failures_of_the_api_are_told_to_the_node(api, cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()

        async def fail(method: str, path: str) -> int:
            return 503 if path.endswith("/status") else 0

        api.meddle = fail
        found = content(await edge.ask("patch", "null/nodepatch/edge-1", '{"status":{}}'))
        assert found["Err"]["ErrStatus"]["code"] == 503
        assert found["Err"]["ErrStatus"]["message"]


async def test_versions_are_written_in_batches(api, cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.config_map("page", text="0")
        await cloud.pod("web", volumes=[{"name": "page", "configMap": {"name": "page"}}])
        await edge.until(lambda: "default/configmap/page" in edge.stored)
        from kube.resources import CONFIG_MAPS

        for index in range(1, 21):
            await cloud.client.patch(CONFIG_MAPS, "page", {"data": {"text": str(index)}}, kind="merge", namespace="default")
            await edge.until(lambda index=index: edge.stored["default/configmap/page"]["data"]["text"] == str(index))
        uid = edge.stored["default/configmap/page"]["metadata"]["uid"]
        version = edge.stored["default/configmap/page"]["metadata"]["resourceVersion"]
        name = f"edge-1.{uid}"
        status = {"objectResourceVersion": version}
        await cloud.until(OBJECT_SYNCS, lambda one: one["metadata"]["name"] == name and one.get("status") == status)
        writes = [one for one in api.calls if one == ("PATCH", OBJECT_SYNCS.path("default", name, "status"))]
        assert len(writes) < 20


async def test_what_is_wanted_again_before_its_deletion_was_sent_counts_as_known(api, cloud) -> None:
    """The record says already that nobody knows whether the node has it; the node never heard of that."""
    edge = await cloud.joined()
    uses = [{"name": "page", "configMap": {"name": "page"}}]
    async with edge.connected():
        await edge.register()
        page = await cloud.config_map("page", text="0")
        await cloud.pod("web", volumes=uses)
        name, version = f"edge-1.{page['metadata']['uid']}", page["metadata"]["resourceVersion"]
        await cloud.until(OBJECT_SYNCS, known := partial(is_record, name, version))
        record, held = OBJECT_SYNCS.path("default", name, "status"), trio.Event()
        gone = trio.Event()

        async def hold(method: str, path: str) -> int:
            if (method, path) == ("PATCH", record) and not held.is_set():
                gone.set()
                await held.wait()
            return 0

        api.meddle = hold
        await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
        with trio.fail_after(10):
            await gone.wait()
        await cloud.pod("again", volumes=uses)
        await edge.until(lambda: "default/pod/again" in edge.stored)
        held.set()
        await cloud.until(OBJECT_SYNCS, partial(is_record, name, "0"))
        await cloud.until(OBJECT_SYNCS, known)
        about = [one.operation for one in edge.received if one.resource == "default/configmap/page"]
        assert about == ["insert"], "it was there all the time"


async def test_a_stray_pod_whose_record_could_not_be_made_at_once_is_told_to_go(api, cloud) -> None:
    """It was told before, and its record is still to be removed when the node speaks of it once more."""
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        pod = await cloud.pod("web")
        uid = pod["metadata"]["uid"]
        await edge.until(lambda: "default/pod/web" in edge.stored)
        away = {"DELETE"}

        async def refuse(method: str, path: str) -> int:
            return 503 if method in away and "/objectsyncs" in path else 0

        api.meddle = refuse
        await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
        await edge.until(lambda: "default/pod/web" not in edge.stored)
        await edge.ask("query", "null/node/edge-1")  # the acknowledgement was before this
        away.add("POST")
        answer = content(await edge.ask("patch", "default/podpatch/web", json.dumps({"metadata": {"uid": uid}, "status": {}})))
        assert answer["Err"]["ErrStatus"]["code"] == 503
        received = len(edge.received)
        away.clear()
        await edge.until(lambda: any(one.operation == "delete" for one in edge.received[received:]))
        with trio.fail_after(20):
            while any(uid in one["metadata"]["name"] for one in (await cloud.client.list(OBJECT_SYNCS)).items):
                await trio.sleep(0.05)


def is_record(name: str, version: str, record: Object) -> bool:
    return record["metadata"]["name"] == name and record.get("status") == {"objectResourceVersion": version}


async def test_a_record_that_somebody_removes_is_made_again(api, cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        pod = await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        name = f"edge-1.{pod['metadata']['uid']}"
        old = await cloud.client.get(OBJECT_SYNCS, name, namespace="default")
        await cloud.client.delete(OBJECT_SYNCS, name, namespace="default")
        await cloud.until(
            OBJECT_SYNCS,
            lambda one: one["metadata"]["name"] == name and one["metadata"]["uid"] != old["metadata"]["uid"],
        )


async def test_events_of_own_pods_are_written_and_others_dropped(cloud) -> None:
    from kube.resources import EVENTS

    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await cloud.pod("foreign", node="edge-2")
        await edge.until(lambda: "default/pod/web" in edge.stored)
        for name in ("foreign", "web"):
            event = {
                "metadata": {"name": f"{name}.1", "namespace": "default"},
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": name},
                "reason": "Started",
                "message": "Started container c",
                "type": "Normal",
            }
            await edge.send("insert", f"default/event/{name}.1", event)
        await cloud.until(EVENTS, lambda one: one["metadata"]["name"] == "web.1")
        found = (await cloud.client.list(EVENTS)).items
        assert [one["metadata"]["name"] for one in found] == ["web.1"]
