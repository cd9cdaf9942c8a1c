"""Our own client and reflector against the embedded API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from kube.client import Client
from kube.objects import Object, name
from kube.reflector import Reflector
from kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, NODES, OBJECT_SYNCS, PODS
from kube.status import AlreadyExists, ApiError, Conflict, NotFound

if TYPE_CHECKING:
    from conftest import Server, StartServer


def pod(name_: str, **spec: Any) -> Object:
    return {"metadata": {"name": name_}, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


def config_map(name_: str, **data: str) -> Object:
    return {"metadata": {"name": name_}, "data": data}


async def test_the_life_of_an_object(server: Server) -> None:
    async with server.client() as client:
        made = await client.create(CONFIG_MAPS, config_map("cm", a="1"), namespace="default")
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAPS, config_map("cm"), namespace="default")
        stale = {**made, "data": {"a": "2"}}
        changed = await client.replace(CONFIG_MAPS, "cm", stale, namespace="default")
        assert changed["metadata"]["uid"] == made["metadata"]["uid"]
        assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        with pytest.raises(Conflict, match="the object has been modified"):
            await client.replace(CONFIG_MAPS, "cm", stale, namespace="default")
        with pytest.raises(Conflict, match="UID in the precondition"):
            await client.delete(CONFIG_MAPS, "cm", namespace="default", uid="another")
        await client.delete(CONFIG_MAPS, "cm", namespace="default", uid=made["metadata"]["uid"])
        with pytest.raises(NotFound, match='configmaps "cm" not found'):
            await client.get(CONFIG_MAPS, "cm", namespace="default")


async def test_status_and_spec_are_written_apart(server: Server) -> None:
    async with server.client() as client:
        made = await client.create(PODS, pod("p") | {"status": {"phase": "Running"}}, namespace="default")
        assert made["status"]["phase"] == "Pending"
        both = {"metadata": {"labels": {"a": "b"}}, "spec": {"priority": 7}, "status": {"phase": "Running", "podIP": "10.0.0.1"}}
        after = await client.patch(PODS, "p", both, kind="strategic", namespace="default", subresource="status")
        assert (after["status"]["phase"], after["spec"]["priority"]) == ("Running", 0)
        after = await client.patch(PODS, "p", {"status": {"phase": "Failed"}}, kind="merge", namespace="default")
        assert after["status"]["phase"] == "Running"
        with pytest.raises(ApiError, match="field is immutable"):
            await client.patch(
                PODS, "p", {"metadata": {"uid": "another"}}, kind="strategic", namespace="default", subresource="status"
            )


async def test_conditions_are_merged_by_type(server: Server) -> None:
    async with server.client() as client:
        ready = {"type": "Ready", "status": "True"}
        await client.create(NODES, {"metadata": {"name": "n"}, "status": {"conditions": [ready]}})
        patch = {"status": {"conditions": [{"type": "DiskPressure", "status": "False"}]}}
        after = await client.patch(NODES, "n", patch, kind="strategic", subresource="status")
        assert {c["type"]: c["status"] for c in after["status"]["conditions"]} == {"Ready": "True", "DiskPressure": "False"}


async def test_graceful_deletion_ends_when_the_node_says_so(server: Server) -> None:
    async with server.client() as client:
        await client.create(NODES, {"metadata": {"name": "n"}})
        await client.create(PODS, pod("p", nodeName="n"), namespace="default")
        await client.delete(PODS, "p", namespace="default")
        going = await client.get(PODS, "p", namespace="default")
        assert going["metadata"]["deletionGracePeriodSeconds"] == 30
        await client.delete(PODS, "p", namespace="default", grace_seconds=0, uid=going["metadata"]["uid"])
        with pytest.raises(NotFound):
            await client.get(PODS, "p", namespace="default")


async def test_a_finalizer_keeps_an_object(server: Server) -> None:
    async with server.client() as client:
        held = config_map("cm", a="1")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await client.create(CONFIG_MAPS, held, namespace="default")
        await client.delete(CONFIG_MAPS, "cm", namespace="default")
        assert (await client.get(CONFIG_MAPS, "cm", namespace="default"))["metadata"]["deletionTimestamp"]
        await client.patch(CONFIG_MAPS, "cm", {"metadata": {"finalizers": None}}, kind="merge", namespace="default")
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "cm", namespace="default")


async def test_object_syncs(server: Server) -> None:
    async with server.client() as client:
        spec = {"objectAPIVersion": "v1", "objectKind": "Pod", "objectName": "p"}
        made = await client.create(OBJECT_SYNCS, {"metadata": {"name": "n.uid"}, "spec": spec}, namespace="default")
        assert made["metadata"]["generation"] == 1
        made["status"] = {"objectResourceVersion": "17"}
        after = await client.replace(OBJECT_SYNCS, "n.uid", made, namespace="default", subresource="status")
        assert after["status"] == {"objectResourceVersion": "17"}
        with pytest.raises(ApiError) as caught:
            await client.patch(OBJECT_SYNCS, "n.uid", {"spec": {}}, kind="strategic", namespace="default")
        assert caught.value.code == 415


async def test_micro_times_and_unknown_namespaces(server: Server) -> None:
    async with server.client() as client:
        lease = {"metadata": {"name": "n"}, "spec": {"renewTime": "2026-01-01T00:00:00.000001Z", "leaseDurationSeconds": 40}}
        made = await client.create(LEASES, lease, namespace="kube-node-lease")
        assert made["spec"] == lease["spec"]
        with pytest.raises(NotFound, match='namespaces "nope" not found'):
            await client.create(LEASES, lease, namespace="nope")


async def test_pages_hold_everything_once(server: Server) -> None:
    async with server.client() as client:
        for number in range(7):
            await client.create(CONFIG_MAPS, config_map(f"m{number}"), namespace="default")
        found = await client.list(CONFIG_MAPS, namespace="default", limit=3)
        assert [name(obj) for obj in found.items] == [f"m{number}" for number in range(7)]


async def test_a_watch_sees_every_change_in_order(server: Server) -> None:
    async with server.client() as client:
        start = (await client.list(CONFIG_MAPS)).resource_version
        for value in ("1", "2"):
            await client.create(CONFIG_MAPS, config_map(f"cm{value}", v=value), namespace="default")
        await client.patch(CONFIG_MAPS, "cm1", {"data": {"v": "3"}}, kind="merge", namespace="default")
        await client.delete(CONFIG_MAPS, "cm2", namespace="default")
        seen: list[tuple[str, str]] = []
        with trio.fail_after(20):
            async with client.watch(CONFIG_MAPS, resource_version=start) as events:
                async for event in events:
                    seen.append((event.type, name(event.object)))
                    if len(seen) == 4:
                        break
        assert seen == [("ADDED", "cm1"), ("ADDED", "cm2"), ("MODIFIED", "cm1"), ("DELETED", "cm2")]


async def test_a_selected_object_comes_and_goes(server: Server) -> None:
    async with server.client() as client:
        start = (await client.list(CONFIG_MAPS)).resource_version
        await client.create(CONFIG_MAPS, config_map("cm"), namespace="default")  # no pod: the binder would write into that, too
        for labels in ({"a": "1"}, {"a": "1", "b": "1"}, {"a": None}):
            await client.patch(CONFIG_MAPS, "cm", {"metadata": {"labels": labels}}, kind="merge", namespace="default")
        seen = []
        with trio.fail_after(20):
            async with client.watch(CONFIG_MAPS, resource_version=start, label_selector="a") as events:
                async for event in events:
                    seen.append(event.type)
                    if event.type == "DELETED":
                        break
        assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_reflector_survives_a_restart_of_the_api(start_server: StartServer) -> None:
    """The port is another one after the restart, so each life has its own reflector; the data are the same."""
    for life in range(2):
        async with start_server() as server, server.client() as client, trio.open_nursery() as nursery:
            reflector = Reflector(client, CONFIG_MAPS, namespace="default", on_change=lambda _old, _new: None)
            nursery.start_soon(reflector.run)
            with trio.fail_after(20):
                await reflector.synced.wait()
                assert len(reflector.store) == life
                await client.create(CONFIG_MAPS, config_map(f"cm{life}"), namespace="default")
                while reflector.get(f"cm{life}", "default") is None:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_a_revision_of_the_past_is_gone(start_server: StartServer) -> None:
    async with start_server() as server, server.client() as client:
        await client.create(CONFIG_MAPS, config_map("cm"), namespace="default")
    async with start_server() as server, server.client() as client:
        with pytest.raises(ApiError) as caught:
            async with client.watch(CONFIG_MAPS, resource_version="1") as events:
                async for _ in events:
                    break
        assert caught.value.code == 410
        assert len((await client.list(NAMESPACES)).items) == 5


async def test_a_slow_server_side_list_does_not_show_half_a_write(server: Server) -> None:
    async with server.client() as client, trio.open_nursery() as nursery:

        async def write(client: Client, number: int) -> None:
            made = await client.create(CONFIG_MAPS, config_map(f"m{number}"), namespace="default")
            listed = await client.list(CONFIG_MAPS, namespace="default")
            assert f"m{number}" in [name(obj) for obj in listed.items], "who got an answer can read what was written"
            assert int(listed.resource_version) >= int(made["metadata"]["resourceVersion"])

        for number in range(20):
            nursery.start_soon(write, client, number)


async def test_an_eviction_is_of_the_pod_that_was_meant(server: Server) -> None:
    async with server.client() as client:
        made = await client.create(PODS, pod("web", nodeName="edge-1"), namespace="default")

        async def evict(**options: object) -> None:
            eviction = {"metadata": {"name": "web"}, "deleteOptions": {"gracePeriodSeconds": 0} | options}
            await client.create(PODS, eviction, namespace="default", name="web", subresource="eviction")

        with pytest.raises(Conflict):
            await evict(preconditions={"uid": "another"})
        await evict(dryRun=["All"])
        assert (await client.get(PODS, "web", namespace="default"))["metadata"]["uid"] == made["metadata"]["uid"]
        await evict(preconditions={"uid": made["metadata"]["uid"]})
        with pytest.raises(NotFound):
            await client.get(PODS, "web", namespace="default")


async def test_namespaces_that_stay(server: Server) -> None:
    async with server.client() as client:
        with pytest.raises(ApiError, match='namespaces "default" is forbidden: this namespace may not be deleted'):
            await client.delete(NAMESPACES, "default")
        assert (await client.get(NAMESPACES, "default"))["status"]["phase"] == "Active"
