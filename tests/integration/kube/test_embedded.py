"""Client and reflector against the embedded API, with TLS, as the cloud half uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from ports import free_port

from cloudcore.apiserver.server import serve
from cloudcore.apiserver.settings import ApiServerSettings
from kube import kubeconfig
from kube.client import Client
from kube.objects import Object, name, resource_version, uid
from kube.reflector import Delays, Reflector
from kube.resources import CONFIG_MAPS, LEASES, NODES
from kube.status import AlreadyExists, ApiError, Conflict, NotFound
from viaduct.tls import client_context


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    settings = ApiServerSettings(data_dir=tmp_path / "data", kubeconfig=tmp_path / "config", port=0)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, settings)
        connection = kubeconfig.load(settings.kubeconfig)
        tls = client_context(ca=connection.ca, certificate=connection.certificate, key=connection.key)
        async with Client.of(connection, tls=tls) as opened:
            yield opened
        nursery.cancel_scope.cancel()


def config_map(name: str, **data: str) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


async def test_the_life_of_an_object(client: Client) -> None:
    where: Any = {"namespace": "default"}
    made = await client.create(CONFIG_MAPS, config_map("cm", a="1"), **where)
    with pytest.raises(AlreadyExists, match='configmaps "cm" already exists'):
        await client.create(CONFIG_MAPS, config_map("cm"), **where)
    merged = await client.patch(CONFIG_MAPS, "cm", {"data": {"b": "2"}}, kind="merge", **where)
    assert merged["data"] == {"a": "1", "b": "2"}
    with pytest.raises(Conflict, match="the object has been modified"):
        await client.replace(CONFIG_MAPS, "cm", made, **where)
    operations = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}]
    assert (await client.patch(CONFIG_MAPS, "cm", operations, kind="json", **where))["data"] == {"b": "2"}
    with pytest.raises(ApiError) as caught:
        await client.patch(CONFIG_MAPS, "cm", operations, kind="json", **where)
    assert caught.value.code == 422
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "cm", uid="another", **where)
    await client.delete(CONFIG_MAPS, "cm", uid=uid(made), **where)
    with pytest.raises(NotFound, match='configmaps "cm" not found'):
        await client.get(CONFIG_MAPS, "cm", **where)


async def test_a_status_is_patched_strategically(client: Client) -> None:
    await client.create(NODES, {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "edge-1"}})
    for value in ("False", "True"):
        patch = {"status": {"conditions": [{"type": "Ready", "status": value}]}}
        found = await client.patch(NODES, "edge-1", patch, kind="strategic", subresource="status")
    assert [entry["status"] for entry in found["status"]["conditions"] if entry["type"] == "Ready"] == ["True"]


async def test_pages_and_selectors(client: Client) -> None:
    for number in range(7):
        labelled = config_map(f"cm-{number}")
        labelled["metadata"]["labels"] = {"even": str(number % 2 == 0).lower()}
        await client.create(CONFIG_MAPS, labelled, namespace="default")
    listing = await client.list(CONFIG_MAPS, namespace="default", limit=2, label_selector="even=true")
    assert [found["metadata"]["name"] for found in listing.items] == ["cm-0", "cm-2", "cm-4", "cm-6"]
    assert all(found["kind"] == "ConfigMap" for found in listing.items)
    named = await client.list(CONFIG_MAPS, field_selector="metadata.name=cm-3")
    assert len(named.items) == 1


async def test_a_watch_sees_changes_from_a_version_on(client: Client) -> None:
    listing = await client.list(CONFIG_MAPS, namespace="default")
    await client.create(CONFIG_MAPS, config_map("cm"), namespace="default")
    await client.delete(CONFIG_MAPS, "cm", namespace="default")
    options: Any = {"namespace": "default", "resource_version": listing.resource_version, "seconds": 1}
    async with client.watch(CONFIG_MAPS, **options) as events:
        found = [event.type async for event in events if event.type != "BOOKMARK"]
    assert found == ["ADDED", "DELETED"]


async def test_a_lease_is_renewed(client: Client) -> None:
    lease = {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": "edge-1"},
        "spec": {"leaseDurationSeconds": 40},
    }
    made = await client.create(LEASES, lease, namespace="kube-node-lease")
    made["spec"]["holderIdentity"] = "edge-1"
    renewed = await client.replace(LEASES, "edge-1", made, namespace="kube-node-lease")
    assert resource_version(renewed) != resource_version(made)


async def test_a_reflector_follows(client: Client) -> None:
    changed = trio.Event()

    def on_change(old: Object | None, new: Object | None) -> None:
        nonlocal changed
        changed.set()
        changed = trio.Event()

    async def until(condition: Any) -> None:
        with trio.fail_after(20):
            while not condition():
                await changed.wait()

    await client.create(CONFIG_MAPS, config_map("before"), namespace="default")
    reflector = Reflector(client, CONFIG_MAPS, namespace="default", on_change=on_change)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reflector.run)
        await until(lambda: ("default", "before") in reflector.store)
        await client.create(CONFIG_MAPS, config_map("after", a="1"), namespace="default")
        await until(lambda: ("default", "after") in reflector.store)
        await client.patch(CONFIG_MAPS, "after", {"data": {"a": "2"}}, kind="merge", namespace="default")
        await until(lambda: reflector.store["default", "after"]["data"] == {"a": "2"})
        await client.delete(CONFIG_MAPS, "before", namespace="default")
        await until(lambda: ("default", "before") not in reflector.store)
        nursery.cancel_scope.cancel()


async def test_a_reflector_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    told: list[str] = []
    changed = trio.Event()

    def on_change(old: Object | None, new: Object | None) -> None:
        nonlocal changed
        told.append(f"{'+' if old is None else '-' if new is None else '~'}{name(new or old or {})}")
        changed.set()
        changed = trio.Event()

    async def until(*names: str) -> None:
        with trio.fail_after(30):
            while set(reflector.store) != {("default", name) for name in names}:
                await changed.wait()

    settings = ApiServerSettings(data_dir=tmp_path / "data", kubeconfig=tmp_path / "config", port=free_port())
    async with trio.open_nursery() as nursery:
        first = await nursery.start(serving, settings)
        connection = kubeconfig.load(settings.kubeconfig)
        tls = client_context(ca=connection.ca, certificate=connection.certificate, key=connection.key)
        async with Client.of(connection, tls=tls) as client:
            reflector = Reflector(
                client, CONFIG_MAPS, namespace="default", on_change=on_change, delays=Delays(first=0.1, limit=0.2)
            )
            await client.create(CONFIG_MAPS, config_map("one"), namespace="default")
            nursery.start_soon(reflector.run)
            await until("one")
            await first()
            await nursery.start(serving, settings)
            await client.create(CONFIG_MAPS, config_map("two"), namespace="default")
            await client.delete(CONFIG_MAPS, "one", namespace="default")
            await until("two")
            nursery.cancel_scope.cancel()
    assert sorted(told) == ["+one", "+two", "-one"]  # by a new list deletions come first, by the watch in their order


async def serving(settings: ApiServerSettings, *, task_status: trio.TaskStatus[Callable[[], Awaitable[None]]]) -> None:
    """The server, and what ends it: it returns when the server has let go of its data."""
    ended = trio.Event()
    with trio.CancelScope() as scope:

        async def end() -> None:
            scope.cancel()
            await ended.wait()

        async with trio.open_nursery() as nursery:
            await nursery.start(serve, settings)
            task_status.started(end)
    ended.set()
