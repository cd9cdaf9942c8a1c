"""Binder, node lifecycle, events: against the real store, on a clock that the tests turn."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cloudcore.apiserver import events
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.binder import Binder
from cloudcore.apiserver.node_lifecycle import LEASE_NAMESPACE, QUARANTINE, SILENCE, NodeLifecycle
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.store import Store
from kube.objects import Object, timestamp
from kube.resources import EVENTS, LEASES, NAMESPACES, NODES, PODS, Resource
from kube.status import NotFound

READY = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}


class World:
    """The API and short ways to do things in it."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def create(self, resource: Resource, name: str, *, where: str = "", **fields: Any) -> Object:
        kind = self.api.registry.of(resource)
        made = await self.api.create(kind, where, {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields})
        return made.obj

    async def node(self, name: str, *, condition: dict[str, Any] = READY, **fields: Any) -> Object:
        status = {"conditions": [dict(condition)], "capacity": {"cpu": "2", "pods": "10"}}
        return await self.create(NODES, name, status=status, **fields)

    async def pod(self, name: str, **spec: Any) -> Object:
        return await self.create(PODS, name, where="default", spec={"containers": [{"name": "c", "image": "x"}], **spec})

    def get(self, resource: Resource, name: str, where: str = "") -> Object:
        return self.api.get(self.api.registry.of(resource), where, name).obj

    async def set_status(self, resource: Resource, name: str, where: str, **status: Any) -> None:
        def change(present: Object) -> Object:
            present["status"] = {**present.get("status", {}), **status}
            return present

        await self.api.update(self.api.registry.of(resource), where, name, change, subresource="status")

    def condition(self, resource: Resource, name: str, type_: str, where: str = "") -> dict[str, Any]:
        conditions = self.get(resource, name, where).get("status", {}).get("conditions", [])
        return next((dict(c) for c in conditions if c["type"] == type_), {})

    def taints(self, name: str) -> set[str]:
        return {taint["key"] for taint in self.get(NODES, name)["spec"].get("taints", [])}

    def reasons(self) -> list[str]:
        return [entry.obj["reason"] for entry in self.api.store.entries(EVENTS.qualified)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(tmp_path / "objects.db")
    await trio.to_thread.run_sync(store.open)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        world = World(Api(store, Registry()))
        for name in ("default", LEASE_NAMESPACE):
            await world.create(NAMESPACES, name)
        yield world
        nursery.cancel_scope.cancel()


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Stands still until a test moves it."""
    return trio.testing.MockClock()


async def test_the_emptier_of_the_fitting_nodes_gets_the_pod(world: World) -> None:
    await world.node("full")
    await world.node("free")
    await world.node("other", metadata={"labels": {"disk": "ssd"}})
    await world.node("cordoned", spec={"unschedulable": True})
    await world.node("unready", condition={"type": "Ready", "status": "False"})
    await world.pod("old", nodeName="full")
    await world.pod("old2", nodeName="other")
    await world.pod("new")
    await world.pod("picky", nodeSelector={"disk": "ssd"})
    await Binder(world.api).reconcile()
    assert world.get(PODS, "new", "default")["spec"]["nodeName"] == "free"
    assert world.get(PODS, "picky", "default")["spec"]["nodeName"] == "other"
    assert world.condition(PODS, "new", "PodScheduled", "default")["status"] == "True"
    assert world.reasons().count("Scheduled") == 2


async def test_a_pod_that_fits_nowhere_says_why_and_only_once(world: World) -> None:
    await world.node("small")
    await world.pod("p", containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": "3"}}}])
    binder = Binder(world.api)
    await binder.reconcile()
    condition = world.condition(PODS, "p", "PodScheduled", "default")
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient cpu")
    revision = world.api.store.revision
    await binder.reconcile()
    assert world.api.store.revision == revision
    await world.create(NODES, "large", status={"conditions": [READY], "capacity": {"cpu": "8", "pods": "10"}})
    await binder.reconcile()
    assert world.get(PODS, "p", "default")["spec"]["nodeName"] == "large"
    assert world.condition(PODS, "p", "PodScheduled", "default")["status"] == "True"


async def test_heartbeats_call_for_no_look_at_pods_that_fit_nowhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.node("small")
    await world.pod("p", containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": "3"}}}])
    binder, looks = Binder(world.api), []
    monkeypatch.setattr("cloudcore.apiserver.binder.scheduling.fit", lambda pod, *_: looks.append(pod) or "too small")

    async def seen() -> int:
        looks.clear()
        await binder.reconcile()
        return len(looks)

    async def node(change: Callable[[Object], object]) -> None:
        def apply(present: Object) -> Object:
            change(present)
            return present

        await world.api.update(world.api.registry.of(NODES), "", "small", apply, subresource="status")

    assert await seen()
    await seen()  # it has told the pod why: that was a change, too
    for beat in range(3):
        await node(
            lambda found, beat=beat: found["status"]["conditions"][0].update(lastHeartbeatTime=f"2026-01-01T00:00:0{beat}Z")
        )
        assert not await seen()
    await node(lambda found: found["status"].update(allocatable={"cpu": "8"}))
    assert await seen()
    assert not await seen()


async def test_pods_that_do_not_wait_are_left_alone(world: World) -> None:
    await world.node("n")
    await world.pod("gated", schedulingGates=[{"name": "g"}])
    await world.pod("foreign", schedulerName="mine")
    await Binder(world.api).reconcile()
    for name in ("gated", "foreign"):
        assert "nodeName" not in world.get(PODS, name, "default")["spec"]


async def test_a_silent_node_becomes_unknown_and_recovers(world: World, clock: trio.testing.MockClock) -> None:
    await world.node("n")
    lifecycle = NodeLifecycle(world.api)
    await lifecycle.reconcile()
    clock.jump(SILENCE)
    await lifecycle.reconcile()
    assert world.condition(NODES, "n", "Ready")["status"] == "True"
    clock.jump(1)
    await lifecycle.reconcile()
    assert world.condition(NODES, "n", "Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "",
    }
    assert world.taints("n") == {"node.kubernetes.io/unreachable"}
    assert "NodeNotReady" in world.reasons()
    clock.jump(100)
    await lifecycle.reconcile()
    assert world.condition(NODES, "n", "Ready")["status"] == "Unknown", "our own mark is no sign of life"
    await world.set_status(NODES, "n", "", conditions=[READY | {"lastHeartbeatTime": "2026-01-01T00:05:00Z"}])
    await lifecycle.reconcile()
    assert world.condition(NODES, "n", "Ready")["status"] == "True"
    assert world.taints("n") == set()


async def test_a_renewed_lease_is_a_sign_of_life_whatever_its_clock_says(world: World, clock: trio.testing.MockClock) -> None:
    await world.node("n")
    await world.create(LEASES, "n", where=LEASE_NAMESPACE, spec={"renewTime": "1999-01-01T00:00:00.000000Z"})
    lifecycle = NodeLifecycle(world.api)
    await lifecycle.reconcile()
    for second in range(5):
        clock.jump(SILENCE - 1)

        def renew(present: Object, second: int = second) -> Object:
            present["spec"]["renewTime"] = f"1999-01-01T00:00:0{second + 1}.000000Z"
            return present

        await world.api.update(world.api.registry.of(LEASES), LEASE_NAMESPACE, "n", renew)
        await lifecycle.reconcile()
        assert world.condition(NODES, "n", "Ready")["status"] == "True"


async def test_a_node_that_is_not_ready_is_tainted(world: World) -> None:
    await world.node(
        "n", condition={"type": "Ready", "status": "False"}, spec={"taints": [{"key": "mine", "effect": "NoSchedule"}]}
    )
    lifecycle = NodeLifecycle(world.api)
    await lifecycle.reconcile()
    assert world.taints("n") == {"mine", "node.kubernetes.io/not-ready"}
    await world.set_status(NODES, "n", "", conditions=[READY])
    await lifecycle.reconcile()
    assert world.taints("n") == {"mine"}
    revision = world.api.store.revision
    await lifecycle.reconcile()
    assert world.api.store.revision == revision


async def test_what_a_deleted_node_leaves_behind(world: World, clock: trio.testing.MockClock) -> None:
    node = await world.node("n")
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": node["metadata"]["uid"]}
    await world.create(LEASES, "n", where=LEASE_NAMESPACE, metadata={"ownerReferences": [owner]})
    for name in ("going", "running", "waiting"):
        await world.pod(name, nodeName="n")
    await world.set_status(PODS, "running", "default", phase="Running")
    lifecycle = NodeLifecycle(world.api)
    await lifecycle.reconcile()
    assert world.get(LEASES, "n", LEASE_NAMESPACE)
    kind = world.api.registry.of(PODS)
    await world.api.delete(kind, "default", "going")
    await world.api.delete(world.api.registry.of(NODES), "", "n")
    await lifecycle.reconcile()
    for resource, where, name in ((PODS, "default", "going"), (LEASES, LEASE_NAMESPACE, "n")):
        with pytest.raises(NotFound):
            world.get(resource, name, where)
    assert world.get(PODS, "running", "default")
    clock.jump(QUARANTINE + 1)
    await lifecycle.reconcile()
    with pytest.raises(NotFound):
        world.get(PODS, "running", "default")
    assert world.get(PODS, "waiting", "default"), "a pod may wait for a node that has not joined yet"


async def test_old_events_end(world: World) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    for name, age in (("old", events.LIFETIME + 60), ("new", 60)):
        then = timestamp(time.time() - age)
        await world.create(EVENTS, name, where="default", involvedObject=about, lastTimestamp=then)
    await events.expire(world.api)
    assert [entry.obj["metadata"]["name"] for entry in world.api.store.entries(EVENTS.qualified)] == ["new"]


async def test_the_same_event_counts_up(world: World) -> None:
    pod = await world.pod("p")
    recorder = events.Recorder(world.api, "test")
    for _ in range(3):
        await recorder.record(pod, kind="Pod", type_="Normal", reason="Tried", message="again")
    (entry,) = world.api.store.entries(EVENTS.qualified)
    assert entry.obj["count"] == 3
