"""Conditions in the status of a controller: a change of state is dated, the same state again is not."""

from __future__ import annotations

from typing import Any, TypeAlias

from kube.objects import timestamp

Condition: TypeAlias = dict[str, Any]


def make(type_: str, state: str, reason: str, message: str, *, updates: bool = True) -> Condition:
    """updates: whether this kind of condition dates its last update, too (that of a Deployment does)."""
    now = timestamp()
    found = {"type": type_, "status": state, "lastUpdateTime": now, "lastTransitionTime": now}
    if not updates:
        del found["lastUpdateTime"]
    return found | {"reason": reason, "message": message}


def get(conditions: list[Condition], type_: str) -> Condition | None:
    return next((condition for condition in conditions if condition.get("type") == type_), None)


def without(conditions: list[Condition], type_: str) -> list[Condition]:
    return [condition for condition in conditions if condition.get("type") != type_]


def put(conditions: list[Condition], new: Condition, *, refresh: bool = False) -> list[Condition]:
    """Sets a condition. The same state for the same reason changes nothing unless ``refresh``."""
    present = get(conditions, new["type"])
    if present is not None:
        same = present.get("status") == new["status"]
        if same and present.get("reason") == new["reason"] and not refresh:
            return conditions
        if same:
            new = {**new, "lastTransitionTime": present.get("lastTransitionTime")}
    return [*without(conditions, new["type"]), new]
