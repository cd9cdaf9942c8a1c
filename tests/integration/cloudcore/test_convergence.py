"""Whatever is changed, cut and restarted in whatever order: in the end the edge has exactly what it should have."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

import pytest
import trio
from clouds.standalone import Cloud
from edges.scripted import ScriptedEdge

from kube.resources import CONFIG_MAPS, NODES, PODS
from kube.status import AlreadyExists, NotFound

NAMES = ("a", "b", "c", "d")


class Chaos:
    """Random changes in the cloud. seed: makes a failing run repeatable as far as the network allows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    async def change(self, cloud: Cloud) -> None:
        name = self.random.choice(NAMES)
        self.count += 1
        try:
            await self.random.choice([self.pod, self.pod, self.no_pod, self.label, self.map, self.map, self.no_map])(cloud, name)
        except (AlreadyExists, NotFound):
            pass

    async def pod(self, cloud: Cloud, name: str) -> None:
        needs = self.random.sample(NAMES, self.random.randint(0, 2))
        await cloud.pod(name, volumes=[{"name": one, "configMap": {"name": one}} for one in needs])

    async def no_pod(self, cloud: Cloud, name: str) -> None:
        await cloud.client.delete(PODS, name, namespace="default", grace_seconds=0)

    async def label(self, cloud: Cloud, name: str) -> None:
        patch = {"metadata": {"labels": {"count": str(self.count)}}}
        await cloud.client.patch(PODS, name, patch, kind="merge", namespace="default")

    async def map(self, cloud: Cloud, name: str) -> None:
        try:
            await cloud.config_map(name, count=str(self.count))
        except AlreadyExists:
            patch = {"data": {"count": str(self.count)}}
            await cloud.client.patch(CONFIG_MAPS, name, patch, kind="merge", namespace="default")

    async def no_map(self, cloud: Cloud, name: str) -> None:
        await cloud.client.delete(CONFIG_MAPS, name, namespace="default")


async def desired(cloud: Cloud) -> dict[str, tuple[str, object]]:
    """Wire resource -> (uid, what must be the same)."""
    pods = (await cloud.client.list(PODS, namespace="default")).items
    maps = {one["metadata"]["name"]: one for one in (await cloud.client.list(CONFIG_MAPS, namespace="default")).items}
    out: dict[str, tuple[str, object]] = {}
    for pod in pods:
        meta = pod["metadata"]
        out[f"default/pod/{meta['name']}"] = (meta["uid"], meta.get("labels"))
        for volume in pod["spec"].get("volumes", []):
            found = maps.get(volume.get("configMap", {}).get("name"))
            if found is not None:
                out[f"default/configmap/{found['metadata']['name']}"] = (found["metadata"]["uid"], found["data"])
    return out


def actual(edge: ScriptedEdge) -> dict[str, tuple[str, object]]:
    return {
        path: (obj["metadata"]["uid"], obj["data"] if "/configmap/" in path else obj["metadata"].get("labels"))
        for path, obj in edge.stored.items()
        if "/node/" not in path
    }


@pytest.mark.parametrize("seed", range(3))
async def test_the_edge_has_what_it_should_have(start_cloud, seed: int) -> None:
    chaos = Chaos(seed)
    stored: dict = {}
    for _round in range(3):
        async with AsyncExitStack() as stack:
            cloud = await stack.enter_async_context(start_cloud())
            edge = await cloud.joined()
            if _round:
                # The same machine: its certificate was renewed by token, which makes the cloud doubt what it has.
                edge.stored = stored
            for _ in range(3):
                async with edge.connected():
                    if _round == 0 and "null/node/edge-1" not in edge.stored:
                        await edge.register()
                        await edge.until(lambda edge=edge: "null/node/edge-1" in edge.stored)
                    for _ in range(8):
                        await chaos.change(cloud)
                for _ in range(4):
                    await chaos.change(cloud)
            wanted = await desired(cloud)
            async with edge.connected():
                try:
                    await edge.until(lambda edge=edge, wanted=wanted: actual(edge) == wanted, seconds=20)
                except trio.TooSlowError:
                    assert actual(edge) == wanted
            for _ in range(3):
                await chaos.change(cloud)
            stored = edge.stored


async def test_pods_of_a_node_that_was_removed_leave_its_edge_when_it_comes_back(cloud) -> None:
    edge = await cloud.joined()
    async with edge.connected():
        await edge.register()
        await cloud.pod("web")
        await edge.until(lambda: "default/pod/web" in edge.stored)
    await cloud.client.delete(NODES, "edge-1")
    try:
        await cloud.client.delete(PODS, "web", namespace="default", grace_seconds=0)
    except NotFound:
        pass
    async with edge.connected():
        await edge.until(lambda: "default/pod/web" not in edge.stored)
        await edge.register()
        await cloud.pod("next")
        await edge.until(lambda: "default/pod/next" in edge.stored)
