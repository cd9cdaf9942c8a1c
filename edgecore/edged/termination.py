"""The last words of a container: its termination message file, or the end of its log. Blocking parts run in a thread."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgecore.edged.room import Room
from edgecore.edged.runtime.engine import ContainerInfo, EngineError, PodInfo, State
from edgecore.edged.spec import TERMINATION_POLICY, termination_file

FILE_LIMIT: Final = 4096
LOG_LIMIT: Final = 2048
LOG_LINES: Final = 80


def prepare(path: Path) -> None:
    """Makes the empty file that is bound into the container. It is world-writable: the program may run as any user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)


def read(path: Path) -> str:
    """The file's first 4096 bytes; "" when there is none."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


async def collect(info: PodInfo | None, known: dict[str, str], room: Room) -> None:
    """Adds the messages of ended containers that are not known yet; drops those of containers that are gone."""
    ended = [c for c in info.containers if c.state is State.EXITED] if info else []
    for container_id in set(known) - {c.id for c in ended}:
        del known[container_id]
    for container in ended:
        if container.id not in known:
            known[container.id] = await _message(container, room)


async def _message(container: ContainerInfo, room: Room) -> str:
    path = termination_file(room.settings.pod_directory(container.pod.uid), container.name, container.attempt)
    try:
        text = await room.on_disk(read, path)
    except OSError:
        text = ""
    wants_log = container.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError"
    if not text and wants_log and container.exit_code != 0:
        try:
            text = await room.engine.logs_tail(container.id, lines=LOG_LINES, limit=LOG_LIMIT)
        except EngineError:
            return ""
    return text
