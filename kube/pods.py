"""What controllers read from a pod's state. Kubernetes 1.32: pkg/api/v1/pod/util.go, pkg/controller/controller_utils.go."""

from __future__ import annotations

from typing import Any

from kube.objects import Object, is_deleting, metadata, parse_timestamp, status


def condition(obj: Object, type_: str) -> dict[str, Any]:
    """One condition of any object's status, or an empty one."""
    found = status(obj).get("conditions")
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict) and entry.get("type") == type_:
            return entry
    return {}


def is_finished(pod: Object) -> bool:
    return status(pod).get("phase") in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it counts as a replica: it has not finished and is not going away."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def ready_since(pod: Object) -> float | None:
    """Since the epoch; None when it is not ready or does not say since when."""
    return _moment(condition(pod, "Ready").get("lastTransitionTime")) if is_ready(pod) else None


def created(obj: Object) -> float | None:
    """Since the epoch; None when the object does not say."""
    return _moment(metadata(obj).get("creationTimestamp"))


def _moment(text: Any) -> float | None:
    try:
        return parse_timestamp(text) if isinstance(text, str) else None
    except ValueError:
        return None


def until_available(pod: Object, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until it counts as available if nothing happens: 0 or less when it does; None when it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = ready_since(pod)
    return None if since is None else since + min_ready_seconds - now


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    """Whether it has been ready for so long."""
    left = until_available(pod, min_ready_seconds, now)
    return left is not None and left <= 0
