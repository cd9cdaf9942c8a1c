"""The controllers of apps/v1 on the real store, in one process: what is hard to see from outside."""

from __future__ import annotations

import random
from typing import Any

import trio

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps import controllers, template
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.apps.replica_sets import ReplicaSets
from cloudcore.apiserver.history import History
from cloudcore.apiserver.namespaces import Namespaces
from kube.objects import Object, uid
from kube.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, Resource


async def create(api: Api, resource: Resource, name: str, *, where: str = "default", **fields: Any) -> Object:
    return (await api.create(api.registry.of(resource), where, {"metadata": {"name": name}, **fields})).obj


def workload(replicas: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    return {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}


async def settled(api: Api, resource: Resource, number: int) -> None:
    while (found := api.store.get(resource.qualified, "default", "web")) is None or found.obj["status"].get("replicas") != number:
        await trio.sleep(0.01)


def index_of(api: Api) -> Ownership:
    return Ownership(api.store, lambda: [kind.key for kind in api.registry.stored()])


async def all_written(api: Api) -> None:
    """Until what was on its way to the store is in it: writes are made in the order in which they were asked for."""
    await api.store.mutate(PODS.qualified, "default", "none", lambda found: found, dry_run=True)


async def at_rest(api: Api, controller: ReplicaSets) -> None:
    """Until a look at what has changed changes nothing any more."""
    revision = -1
    while revision != api.store.revision:
        revision = api.store.revision
        await controller.loop.round()


async def test_what_a_dead_controller_had_on_its_way_is_taken_back_if_it_is_too_much(api: Api) -> None:
    owner = await create(api, REPLICA_SETS, "web", spec=workload(1))
    controller = ReplicaSets(api, index_of(api))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(api.create, api.registry.of(PODS), "default", template.pod(owner))
        await controller.loop.round()
    assert api.store.count(PODS.qualified) == 2
    await at_rest(api, controller)
    assert api.store.count(PODS.qualified) == 1


async def test_a_controller_that_dies_again_and_again_never_makes_too_many(api: Api) -> None:
    """It needs no memory of what it has asked for: what was written is in the store before it looks again.

    What was on its way when it died comes beside what its successor makes, and goes again: never more than that was. Only of
    the last one that died: what those before it had asked for is there when the successor begins.
    """
    await create(api, REPLICA_SETS, "web", spec=workload(60))
    most = 0

    async def watch() -> None:
        nonlocal most
        history = api.store.history(PODS.qualified)
        while True:
            most = max(most, api.store.count(PODS.qualified))
            await history.wait(history.end)

    async def arrive(event: trio.Event) -> None:
        await all_written(api)
        event.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        arrived = trio.Event()
        nursery.start_soon(arrive, arrived)
        while api.store.count(PODS.qualified) < 60:
            with trio.move_on_after(random.uniform(0, 0.05)):
                await ReplicaSets(api, index_of(api)).run()
            await arrived.wait()
            arrived = trio.Event()
            nursery.start_soon(arrive, arrived)
        await all_written(api)
        await at_rest(api, ReplicaSets(api, index_of(api)))
        nursery.cancel_scope.cancel()
    assert api.store.count(PODS.qualified) == 60
    await settled(api, REPLICA_SETS, 60)
    assert most <= 60 + 16


async def test_an_absurd_number_of_pods_costs_no_memory_at_once(api: Api) -> None:
    await create(api, REPLICA_SETS, "web", spec=workload(2**62))
    with trio.move_on_after(20):
        async with trio.open_nursery() as running:
            running.start_soon(ReplicaSets(api, index_of(api)).run)
            while api.store.count(PODS.qualified) < 3:
                await trio.sleep(0.01)
            running.cancel_scope.cancel()
    assert api.store.count(PODS.qualified) >= 3


async def test_who_is_adopted_by_an_owner_names_it_once(api: Api) -> None:
    owner = await create(api, REPLICA_SETS, "web", spec=workload(1))
    named = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid(owner)}
    pod = {
        "metadata": {"name": "p", "labels": {"app": "web"}, "ownerReferences": [named]},
        "spec": workload(1)["template"]["spec"],
    }
    await api.create(api.registry.of(PODS), "default", pod)
    await ReplicaSets(api, index_of(api)).loop.round()
    (found,) = api.store.entries(PODS.qualified)
    (reference,) = found.obj["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (uid(owner), True)


async def test_more_grace_than_time_can_tell_holds_up_nobody(api: Api) -> None:
    pod = {"containers": [{"name": "c", "image": "x:1"}], "terminationGracePeriodSeconds": 2**62}
    await create(api, PODS, "patient", spec={**pod, "nodeName": "edge-1"})
    result = await api.delete(api.registry.of(PODS), "default", "patient")
    assert result.after is not None
    assert result.after.obj["metadata"]["deletionTimestamp"].startswith("9999-")


async def test_changes_that_nobody_can_tell_any_more(api: Api) -> None:
    for resource in (PODS, REPLICA_SETS):
        api.store._histories[resource.qualified] = History(api.store.revision, changes=3)
    index = index_of(api)
    owner = await create(api, REPLICA_SETS, "web", spec=workload(20))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ReplicaSets(api, index).run)
        await settled(api, REPLICA_SETS, 20)
        kind = api.registry.of(PODS)
        for entry in api.store.entries(PODS.qualified)[:8]:
            await api.delete(kind, "default", entry.obj["metadata"]["name"])
        while len(index.managed(PODS.qualified, uid(owner))) != 20:
            await trio.sleep(0.01)
        assert api.store.count(PODS.qualified) == 20
        nursery.cancel_scope.cancel()


async def test_a_namespace_goes_with_its_deployments(api: Api) -> None:
    async with trio.open_nursery() as nursery:
        controllers.start(api, nursery)
        nursery.start_soon(Namespaces(api).run)
        await create(api, DEPLOYMENTS, "web", where="shop", spec=workload(5))
        while api.store.count(PODS.qualified) < 5:
            await trio.sleep(0.01)
        await api.delete(api.registry.of(NAMESPACES), "", "shop")
        while api.store.get(NAMESPACES.qualified, "", "shop") is not None:
            await trio.sleep(0.01)
        assert not [kind.key for kind in api.registry.stored() if api.store.entries(kind.key, "shop")]
        nursery.cancel_scope.cancel()


async def test_a_collision_of_names_makes_another_name(api: Api) -> None:
    async with trio.open_nursery() as nursery:
        controllers.start(api, nursery)
        await create(api, DEPLOYMENTS, "web", spec=workload(1))
        await settled(api, DEPLOYMENTS, 1)
        (taken,) = [entry.obj["metadata"]["name"] for entry in api.store.entries(REPLICA_SETS.qualified)]
        await api.delete(api.registry.of(DEPLOYMENTS), "default", "web")
        while api.store.count(REPLICA_SETS.qualified):
            await trio.sleep(0.01)
        other = workload(0)
        other["selector"] = other["template"]["metadata"]["labels"] = {"app": "other"}
        other["selector"] = {"matchLabels": other["selector"]}
        await create(api, REPLICA_SETS, taken, spec=other)
        await create(api, DEPLOYMENTS, "web", spec=workload(1))
        await settled(api, DEPLOYMENTS, 1)
        found = api.store.get(DEPLOYMENTS.qualified, "default", "web")
        assert found is not None
        assert found.obj["status"]["collisionCount"] == 1
        nursery.cancel_scope.cancel()
