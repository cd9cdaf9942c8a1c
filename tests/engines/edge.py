"""Edged between an in-memory cloud and an engine: the harness of its tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from engines.memory import MemoryEngine
from engines.meta import MemoryMeta

from edgecore.edged.app import Edged
from edgecore.edged.runtime.engine import Engine
from edgecore.edged.settings import EdgedSettings
from kube.objects import Object

EPOCH = 1_800_000_000.0


def virtual_now() -> float:
    """Seconds since the epoch on trio's clock."""
    return EPOCH + trio.current_time()


def make_pod(name: str = "web", *, uid: str = "", spec: Object | None = None, **container: Any) -> Object:
    """A pod that is bound to edge-1, with one container ``main``; ``container`` overrides its fields."""
    main: Object = {
        "name": "main",
        "image": "busybox:1",
        "command": ["sh", "-c", "sleep 1000"],
        "imagePullPolicy": "IfNotPresent",
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": uid or f"uid-{name}"},
        "spec": {"nodeName": "edge-1", "restartPolicy": "Always", "containers": [main | container]} | (spec or {}),
        "status": {"phase": "Pending"},
    }


class Edge:
    """meta: the cloud. engine: what runs. edged: the running program; ``restart`` makes a new one."""

    def __init__(self, root: Path, *, meta: MemoryMeta, engine: Engine, clock: Callable[[], float], **settings: Any) -> None:
        self.root = root
        self.meta = meta
        self.engine = engine
        self.clock = clock
        self.settings = EdgedSettings(
            node_name="edge-1",
            version="0.1.0",
            root=root / "kubelet",
            pod_logs=root / "logs",
            **{"node_ip": "192.0.2.1", "relist_frequency": 2.0} | settings,
        )
        self.edged: Edged | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Edged]:
        """One life of edged; leaving it is like a kill: nothing is said or stopped."""
        edged = Edged(self.settings, self.meta, self.engine, clock=self.clock)
        self.meta.listeners[:] = [edged.notify]
        self.meta.links[:] = [edged.on_connection]
        self.edged = edged
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: edged.run(task_status=task_status))
            yield edged
            self.meta.listeners.clear()
            self.meta.links.clear()
            nursery.cancel_scope.cancel()

    async def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Waits until the condition holds, looking at each change in the cloud and now and then; fails after ``seconds``."""
        pause = 0.05
        with trio.move_on_after(seconds):
            while not (found := condition()):
                with trio.move_on_after(pause):
                    await self.meta.changed.wait()
                    continue
                pause = min(1.0, pause * 1.2)
            return found
        raise AssertionError(f"it did not become true within {seconds} s; cloud: {self.describe()}")

    def describe(self) -> str:
        return "; ".join(f"{key[2]}: {obj.get('status')}" for key, obj in self.meta.stored.items() if key[0] == "pod")

    def phase(self, name: str = "web") -> str:
        return str(self.meta.seen(name).get("phase"))

    def container(self, name: str = "web", index: int = 0) -> Object:
        """The container status that the cloud has."""
        entries = self.meta.seen(name).get("containerStatuses") or [{}]
        found: Object = entries[index]
        return found

    def waiting(self, name: str = "web") -> str:
        """The waiting reason of the first container, as the cloud has it."""
        return str(((self.container(name).get("state") or {}).get("waiting") or {}).get("reason") or "")

    def file(self, uid: str, kind: str, volume: str, name: str) -> Path:
        return self.settings.root / "pods" / uid / "volumes" / f"kubernetes.io~{kind}" / volume / name


def memory_edge(root: Path, **settings: Any) -> Edge:
    """On the virtual clock; every image is present."""
    engine = MemoryEngine(images=["busybox:1", "busybox:2"], now=virtual_now)
    return Edge(root, meta=MemoryMeta(), engine=engine, clock=virtual_now, **settings)
