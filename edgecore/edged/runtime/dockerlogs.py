"""Links from the places where Kubernetes' tools look for logs to docker's own files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgecore.edged.runtime import dockerobjects as objects

log = logging.getLogger(__name__)


def links(inspected: Mapping[str, Any], log_path: str) -> list[Path]:
    """``.../pods/<ns>_<pod>_<uid>/<container>/<n>.log`` and, beside ``pods``, ``containers/<pod>_<ns>_<container>-<id>.log``."""
    first = Path(log_path)
    result = [first]
    pods = first.parents[2] if len(first.parents) > 3 else None
    if pods is not None and pods.name == "pods":
        labels = (inspected.get("Config") or {}).get("Labels") or {}
        pod = objects.identity(labels)
        stem = f"{pod.name}_{pod.namespace}_{labels.get(objects.CONTAINER_NAME, '')}-{inspected.get('Id', '')}"
        result.append(pods.parent / "containers" / f"{stem[:251]}.log")
    return result


def link(inspected: Mapping[str, Any], log_path: str | None) -> None:
    """Makes the links. A failure is logged only: a pod without its log link is better than no pod."""
    target = inspected.get("LogPath")
    if not log_path or not isinstance(target, str) or not target:
        return
    source = target
    for place in links(inspected, log_path):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(source)
        except OSError as error:
            log.warning("no log link %s: %s", place, error)
            return
        source = str(place)  # as kubelet has it: containers/ points into pods/, that into docker's directory


def unlink(inspected: Mapping[str, Any]) -> None:
    """Removes what ``link`` made for this container."""
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    log_path = labels.get(objects.LOG_PATH)
    if not log_path:
        return
    for place in links(inspected, log_path):
        with suppress(OSError):
            if place.is_symlink():
                place.unlink()
    with suppress(OSError):
        Path(log_path).parent.rmdir()
