"""The strategic merge patch that turns the stored status of a pod or node into the wanted one. Pure.

Merge keys: conditions by ``type``, podIPs and hostIPs by ``ip``; containerStatuses is replaced whole; null clears a scalar.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from edgecore.edged import pods
from kube.objects import Object

_HEARTBEAT: Final = ("lastProbeTime", "lastHeartbeatTime", "observedGeneration")


def bare(value: Any) -> Any:
    """The value without null and empty members, in which API servers differ."""
    if isinstance(value, dict):
        cleaned = {key: bare(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in (None, {}, [], "")}
    return [bare(item) for item in value] if isinstance(value, list) else value


def status_diff(base: Object, wanted: Object) -> Object:
    """What to send as ``status``; empty when nothing but heartbeat times differs. A wanted None clears the member."""
    patch: Object = {}
    for key, value in wanted.items():
        before = base.get(key)
        if key == "conditions":
            patch |= conditions_diff(pods.items(before), pods.items(value))
        elif key in ("podIPs", "hostIPs"):
            patch |= _addresses_diff(key, pods.items(before), pods.items(value))
        elif value is None:
            if before not in (None, ""):
                patch[key] = None
        elif bare(before) != bare(value) and (before is not None or bare(value)):
            patch[key] = value
    return patch


def conditions_diff(before: Collection[Object], wanted: Collection[Object], *, heartbeats: bool = False) -> Object:
    """The changed conditions and the order of all. heartbeats: their times count as changes, too."""
    known = {entry["type"]: entry for entry in before if isinstance(entry.get("type"), str)}
    skip = () if heartbeats else _HEARTBEAT
    changed = [entry for entry in wanted if _essence(known.get(entry["type"], {}), skip) != _essence(entry, skip)]
    if not changed:
        return {}
    order = [entry["type"] for entry in wanted]
    order += [kind for kind in known if kind not in order]
    cleared = [_clear_absent(known.get(entry["type"], {}), entry) for entry in changed]
    return {"$setElementOrder/conditions": [{"type": kind} for kind in order], "conditions": cleared}


def _clear_absent(before: Object, entry: Object) -> Object:
    """Merging a condition keeps what it does not name, so an old reason has to be nulled."""
    return entry | {key: None for key in ("reason", "message") if before.get(key) and not entry.get(key)}


def _essence(entry: Object, skip: Collection[str]) -> Any:
    return bare({key: value for key, value in entry.items() if key not in skip})


def _addresses_diff(key: str, before: list[Object], wanted: list[Object]) -> Object:
    new = [entry["ip"] for entry in wanted]
    old = [entry["ip"] for entry in before if isinstance(entry.get("ip"), str) and entry["ip"]]
    if new == old:
        return {}
    gone = [{"ip": ip, "$patch": "delete"} for ip in old if ip not in new]
    return {f"$setElementOrder/{key}": [{"ip": ip} for ip in new], key: [*wanted, *gone]}
