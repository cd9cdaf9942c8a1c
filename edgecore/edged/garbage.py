"""What a pod leaves behind while it lives: old containers and old sandboxes. Pure."""

from __future__ import annotations

from edgecore.edged.plan import SANDBOX_LABEL, latest, newest_sandbox
from edgecore.edged.runtime.engine import ContainerInfo, PodInfo, State


def dead_containers(info: PodInfo, keep: int = 1) -> list[str]:
    """Ids of ended containers beyond ``keep`` predecessors of each current one, whose log and last state are still asked for."""
    found: list[str] = []
    for name in {c.name for c in info.containers}:
        current = latest(info, name)
        older = [c for c in info.containers if c.name == name and c is not current and c.state is not State.RUNNING]
        older.sort(key=lambda c: (c.attempt, c.created_at), reverse=True)
        found += [c.id for c in older[keep:]]
    return found


def dead_sandboxes(info: PodInfo) -> list[str]:
    """Ids of sandboxes that are not the newest, not up, and empty."""
    newest = newest_sandbox(info)
    homes = {_home(c) for c in info.containers}
    if "" in homes:
        return []  # whose container that is, is not known
    return [s.id for s in info.sandboxes if s is not newest and not s.ready and s.id not in homes]


def _home(container: ContainerInfo) -> str:
    return container.labels.get(SANDBOX_LABEL) or container.annotations.get(SANDBOX_LABEL) or ""
