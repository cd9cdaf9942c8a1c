"""Many pods on many simulated nodes of one cloud: made, changed, deleted, and compared on all sides."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from e2e.harness import Cloud
from edges.fleet import Fleet, FleetState
from faults import agreement

from cloudcore.app import client_context
from kube import kubeconfig
from kube.client import Client
from kube.objects import Object
from kube.resources import CONFIG_MAPS, NODES, OBJECT_SYNCS, PODS, SECRETS
from kube.status import ApiError, ApiUnreachable

HOW_MANY, HOW_MANY_NODES = (int(number) for number in os.environ.get("SCALE", "200/10").split("/"))
"""Pods and nodes."""
SEED = int(os.environ.get("SCALE_SEED", "1"))
PATIENCE = 60 + HOW_MANY / 4
"""Seconds that any state may take to come about."""
SPACE = "default"
MAKERS = 16
"""Requests of the test at the same time."""
_OUR_FAULT = (400, 401, 405, 415, 422)
"""Codes that no bad weather explains: 403 and 409 come from an API server that has just started, too."""
TOGETHER = 10
"""Pods that share a ConfigMap."""


class Crowd:
    """``random`` decides what happens; its seed belongs into every failure."""

    def __init__(self, client: Client, fleet: Fleet, pods: int, seed: int) -> None:
        self.client, self.fleet = client, fleet
        self.size, self.seed = pods, seed
        self.random = random.Random(seed)
        self.changes = 0

    # ------------------------------------------------------------------------------------------------- objects

    def body(self, number: int, node: str) -> Object:
        """Of one pod. node: "" leaves it to the scheduler. Every pod has a ConfigMap, one in three a Secret as well."""
        group = number // TOGETHER
        container: Object = {"name": "main", "image": "none", "envFrom": [{"configMapRef": {"name": f"settings-{group}"}}]}
        if number % 3 == 0:
            container["envFrom"].append({"secretRef": {"name": f"secret-{group}"}})
        spec: Object = {
            "containers": [container],
            "terminationGracePeriodSeconds": 30,
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": False,
        }
        if node:
            spec["nodeName"] = node
        meta = {"name": f"pod-{number:04d}", "namespace": SPACE, "labels": {"group": f"g{group}"}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    def node_for(self, number: int) -> str:
        return self.fleet.names[number % len(self.fleet.names)]

    async def make_settings(self) -> None:
        async with trio.open_nursery() as nursery:
            for group in range((self.size - 1) // TOGETHER + 1):
                nursery.start_soon(self._settings, group)

    async def _settings(self, group: int) -> None:
        meta = {"name": f"settings-{group}", "namespace": SPACE}
        await self.client.create(CONFIG_MAPS, {"metadata": meta, "data": {"value": "0"}}, namespace=SPACE)
        meta = {"name": f"secret-{group}", "namespace": SPACE}
        await self.client.create(SECRETS, {"metadata": meta, "data": {"value": "MA=="}}, namespace=SPACE)

    async def make_pods(self) -> None:
        """All of them, as fast as the API takes them."""
        limit = trio.CapacityLimiter(MAKERS)

        async def make(number: int) -> None:
            async with limit:
                await self.client.create(PODS, self.body(number, self.node_for(number)), namespace=SPACE)

        async with trio.open_nursery() as nursery:
            for number in range(self.size):
                nursery.start_soon(make, number)

    async def fill(self, within: float) -> str:
        """All pods, Running; says how long that took."""
        begin = time.monotonic()
        await self.make_settings()
        await self.make_pods()
        made = time.monotonic() - begin
        running = await self.until("all pods run", self.not_running, within)
        return f"{self.size} pods on {len(self.fleet.names)} nodes made in {made:.1f} s, all Running {running:.1f} s later"

    # ------------------------------------------------------------------------------------------------- changes

    async def churn(self, seconds: float) -> None:
        """Several writers for so long. An API that is away costs them a try, no more."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(self._write)

    async def _write(self) -> None:
        while True:
            try:
                await self._change()
                self.changes += 1
            except (ApiUnreachable, trio.TooSlowError):
                await trio.sleep(0.5)
            except ApiError as error:
                if error.code in _OUR_FAULT:
                    raise
            await trio.sleep(self.random.uniform(0.01, 0.1))

    async def _change(self) -> None:
        number = self.random.randrange(self.size)
        name = f"pod-{number:04d}"
        match self.random.choice(["text", "text", "delete", "force", "again", "again", "label", "secret"]):
            case "text":
                patch = {"data": {"value": str(self.random.random())}}
                await self.client.patch(CONFIG_MAPS, f"settings-{number // TOGETHER}", patch, kind="merge", namespace=SPACE)
            case "secret":
                patch = {"data": {"value": "MQ==" if self.random.random() < 0.5 else "Mg=="}}
                await self.client.patch(SECRETS, f"secret-{number // TOGETHER}", patch, kind="merge", namespace=SPACE)
            case "label":
                patch = {"metadata": {"labels": {"changed": f"v{self.random.randrange(10**6)}"}}}
                await self.client.patch(PODS, name, patch, kind="merge", namespace=SPACE)
            case "delete":
                await self.client.delete(PODS, name, namespace=SPACE)
            case "force":
                await self.client.delete(PODS, name, namespace=SPACE, grace_seconds=0)
                await self._make_again(number)
            case "again":
                await self._make_again(number)

    async def _make_again(self, number: int) -> None:
        """On its node, or wherever the scheduler puts it."""
        node = self.node_for(self.random.randrange(self.size)) if self.random.random() < 0.7 else ""
        await self.client.create(PODS, self.body(number, node), namespace=SPACE)

    # ------------------------------------------------------------------------------------------------- the end

    async def until(self, what: str, check: Callable[[], Awaitable[Any]], within: float, every: float = 0.5) -> float:
        """Seconds until ``check`` returned nothing to complain about."""
        begin, last = time.monotonic(), None
        while time.monotonic() < begin + within:
            try:
                last = await check()
                if not last:
                    return time.monotonic() - begin
            except ApiError as error:
                last = error
            await trio.sleep(every)
        raise AssertionError(f"seed {self.seed}: not within {within:.0f} s: {what}; last seen: {last}")

    async def state(self) -> FleetState:
        return await trio.to_thread.run_sync(self.fleet.state)

    async def all_ready(self) -> list[str]:
        """Nodes that are not Ready yet."""
        nodes = (await self.client.list(NODES)).items
        ready = {
            one["metadata"]["name"]
            for one in nodes
            if {c["type"]: c["status"] for c in one["status"].get("conditions", [])}.get("Ready") == "True"
        }
        return sorted(set(self.fleet.names) - ready)

    async def not_running(self) -> str:
        pods = (await self.client.list(PODS, namespace=SPACE)).items
        left = sum(1 for pod in pods if pod["status"].get("phase") != "Running")
        return f"{left} of {len(pods)} pods" if left else ""

    async def differences(self) -> list[str]:
        state = await self.state()
        pods = list((await self.client.list(PODS, namespace=SPACE)).items)
        others = {}
        for word, kind in (("configmap", CONFIG_MAPS), ("secret", SECRETS)):
            for one in (await self.client.list(kind, namespace=SPACE)).items:
                others[f"{SPACE}/{word}/{one['metadata']['name']}"] = one
        records = list((await self.client.list(OBJECT_SYNCS)).items)
        return agreement.differences(pods, others, records, state)

    async def agree(self, within: float) -> float:
        """Seconds until all sides hold the same; also that nothing happened twice on the way."""
        took = await self.until("all sides agree", self.differences, within, every=1.0)
        problems = (await self.state()).problems
        assert not problems, f"seed {self.seed}: {problems[:5]}"
        return took


@asynccontextmanager
async def started(*clouds: Cloud) -> AsyncIterator[None]:
    """cloudcores, gone for good afterwards."""
    try:
        for cloud in clouds:
            await trio.to_thread.run_sync(cloud.start)
        yield
    finally:
        for cloud in clouds:
            cloud.program.kill()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(clouds[0].close)


@asynccontextmanager
async def crowd(clouds: Sequence[Cloud], folder: Path) -> AsyncIterator[Crowd]:
    """One cloud, of one or more started cloudcores, with so many Ready nodes; no pods yet."""
    token = await trio.to_thread.run_sync(clouds[0].token)
    doors = [(f"https://127.0.0.1:{cloud.cert_port}", f"wss://127.0.0.1:{cloud.hub_port}") for cloud in clouds]
    names = [f"sim-{number:02d}" for number in range(HOW_MANY_NODES)]
    connection = kubeconfig.load(clouds[0].kubeconfig)
    fleet = Fleet(folder / "fleet", names, doors, token, SEED)
    try:
        async with Client.of(connection, tls=client_context(connection), user_agent="test") as client:
            made = Crowd(client, fleet, HOW_MANY, SEED)
            await made.until("every node is Ready", made.all_ready, within=60 + HOW_MANY_NODES)
            yield made
    finally:
        fleet.close()
