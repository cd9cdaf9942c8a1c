"""The status of a Deployment: counts, and how it gets on. Kubernetes 1.32: pkg/controller/deployment/progress.go, sync.go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cloudcore.apiserver.apps import conditions, revisions
from kube.objects import Object, name, parse_timestamp, spec

PROGRESSING: Final = "Progressing"
COMPLETE: Final = "NewReplicaSetAvailable"
TIMED_OUT: Final = "ProgressDeadlineExceeded"
_PAUSED: Final = "DeploymentPaused"
_FAILURE: Final = "ReplicaFailure"
NO_DEADLINE: Final = 2**31 - 1
"""This progressDeadlineSeconds means that there is none."""


def has_deadline(owner: Object) -> bool:
    seconds = spec(owner).get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def note(owner: Object, state: str, reason: str, message: str) -> None:
    """Sets the Progressing condition in place, if somebody wants to know."""
    if has_deadline(owner):
        status = owner.setdefault("status", {})
        new = conditions.make(PROGRESSING, state, reason, message)
        status["conditions"] = conditions.put(status.get("conditions", []), new)


def note_pause(owner: Object) -> None:
    """Tells, in place, that the Deployment is paused or goes on again."""
    present = condition(owner, PROGRESSING)
    reason = present.get("reason") if present else None
    if reason == TIMED_OUT:
        return
    if spec(owner).get("paused") and reason != _PAUSED:
        note(owner, "Unknown", _PAUSED, "Deployment is paused")
    elif not spec(owner).get("paused") and reason == _PAUSED:
        note(owner, "Unknown", "DeploymentResumed", "Deployment is resumed")


def condition(owner: Object, type_: str) -> dict[str, Any] | None:
    return conditions.get(owner.get("status", {}).get("conditions", []), type_)


def _sum(sets: Sequence[Object], key: str) -> int:
    return sum(found.get("status", {}).get(key, 0) for found in sets)


def counted(owner: Object, new: Object | None, sets: Sequence[Object]) -> dict[str, Any]:
    """The status without an estimate of the progress."""
    present = owner.get("status", {})
    available = _sum(sets, "availableReplicas")
    counts = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(spec(found).get("replicas", 0) for found in sets) - available, 0),
        "collisionCount": present.get("collisionCount", 0),
    }
    status: dict[str, Any] = {key: count for key, count in counts.items() if count}
    if available >= revisions.limits(owner).least:
        word = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        word = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = conditions.put(present.get("conditions", []), conditions.make("Available", *word))
    return status


def estimated(owner: Object, before: dict[str, Any], new: Object | None, sets: Sequence[Object], now: float) -> dict[str, Any]:
    """The status during a rollout. ``before``: the status that was last told, to see what has moved."""
    status = counted(owner, new, sets)
    found = status["conditions"]
    present = conditions.get(found, PROGRESSING)
    what = f'ReplicaSet "{name(new)}"' if new else f'Deployment "{name(owner)}"'
    finished = present and present.get("reason") == COMPLETE and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    if not has_deadline(owner):
        found = conditions.without(found, PROGRESSING)
    elif not finished:
        if is_complete(owner, status):
            text = f"{what} has successfully progressed."
            found = conditions.put(found, conditions.make(PROGRESSING, "True", COMPLETE, text))
        elif _moves(before, status):
            text = f"{what} is progressing."
            found = conditions.put(found, conditions.make(PROGRESSING, "True", "ReplicaSetUpdated", text), refresh=True)
        elif present and present.get("reason") != COMPLETE and (left := _left(owner, present, now)) is not None and left < 0:
            text = f"{what} has timed out progressing."
            found = conditions.put(found, conditions.make(PROGRESSING, "False", TIMED_OUT, text))
    status["conditions"] = _with_failure(found, new, sets)
    return status


def _with_failure(found: list[dict[str, Any]], new: Object | None, sets: Sequence[Object]) -> list[dict[str, Any]]:
    for replica_set in ([new] if new else []) + list(sets):
        failure = conditions.get(replica_set.get("status", {}).get("conditions", []), _FAILURE)
        if failure is not None:
            told = conditions.make(_FAILURE, failure["status"], failure.get("reason", ""), failure.get("message", ""))
            return conditions.put(found, told)
    return conditions.without(found, _FAILURE)


def is_complete(owner: Object, status: dict[str, Any]) -> bool:
    """Whether all pods are new and work."""
    wanted = owner["spec"]["replicas"]
    return all(status.get(key, 0) == wanted for key in ("updatedReplicas", "replicas", "availableReplicas")) and (
        status.get("observedGeneration", 0) >= owner["metadata"].get("generation", 0)
    )


def _moves(before: dict[str, Any], after: dict[str, Any]) -> bool:
    def old(status: dict[str, Any]) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    more = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old(after) < old(before) or any(after.get(key, 0) > before.get(key, 0) for key in more)


def _left(owner: Object, present: dict[str, Any], now: float) -> float | None:
    """Seconds until the deadline. None: nobody can tell."""
    try:
        since = parse_timestamp(present.get("lastUpdateTime", ""))
    except ValueError:
        return None
    return since + float(owner["spec"]["progressDeadlineSeconds"]) - now


def next_look(owner: Object, status: dict[str, Any], now: float) -> float | None:
    """When the deadline has to be looked at, in seconds."""
    present = conditions.get(status.get("conditions", []), PROGRESSING)
    if not has_deadline(owner) or present is None or spec(owner).get("paused"):
        return None
    if present.get("reason") in (COMPLETE, TIMED_OUT) or is_complete(owner, status):
        return None
    left = _left(owner, present, now)
    return None if left is None else max(left, 0) + 1
