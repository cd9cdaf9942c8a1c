"""Stopping the containers of a pod: all at once with their grace, sidecars after the others in reverse order."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from edgecore.edged import pods
from edgecore.edged.runtime.engine import ContainerInfo, Engine, PodInfo, State
from kube.objects import Object

MIN_GRACE = 2.0
"""Seconds that a sidecar gets even when the others have used up the grace period."""
GRACE_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod"


def running(info: PodInfo | None) -> list[ContainerInfo]:
    """What has to be stopped; UNKNOWN counts."""
    return [c for c in info.containers if c.state in (State.RUNNING, State.UNKNOWN)] if info else []


def recorded_grace(info: PodInfo) -> float | None:
    """The grace period that its containers were made with: all that tells it when the pod itself is no longer known."""
    texts = [str(c.annotations.get(GRACE_ANNOTATION, "")) for c in info.containers]
    return max((float(text) for text in texts if text.isdecimal() and len(text) < 10), default=None)


def is_still(info: PodInfo | None) -> bool:
    """Nothing runs and no sandbox is up."""
    return info is None or (not running(info) and not any(s.ready for s in info.sandboxes))


def waves(pod: Object, info: PodInfo) -> list[list[ContainerInfo]]:
    """Groups to be stopped one after another."""
    sidecars = [str(c["name"]) for c in pods.init_containers(pod) if pods.is_sidecar(c)]
    alive = running(info)
    groups = [[c for c in alive if c.name not in sidecars]]
    groups += [[c for c in alive if c.name == name] for name in reversed(sidecars)]
    return [group for group in groups if group]


async def stop_pod(pod: Object, info: PodInfo, engine: Engine, grace: float) -> None:
    """Returns when nothing of the pod runs. Raises EngineError (in a group when several fail)."""
    end = trio.current_time() + grace
    for group in waves(pod, info):
        left = max(end - trio.current_time(), min(MIN_GRACE, grace))
        await _stop_all(group, engine, left)
    for sandbox in info.sandboxes:
        if sandbox.ready:
            await engine.stop_sandbox(sandbox.id)


async def _stop_all(group: Sequence[ContainerInfo], engine: Engine, grace: float) -> None:
    async with trio.open_nursery() as nursery:
        for container in group:
            nursery.start_soon(engine.stop_container, container.id, grace)


async def remove_pod(info: PodInfo | None, engine: Engine) -> None:
    """Removes containers and sandboxes, newest sandbox last. Raises EngineError."""
    if info is None:
        return
    for container in info.containers:
        await engine.remove_container(container.id)
    for sandbox in reversed(info.sandboxes):
        await engine.remove_sandbox(sandbox.id)
