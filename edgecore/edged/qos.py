"""Quality of service of a pod: class, OOM score, and the conversion of requests and limits into what engines count."""

from __future__ import annotations

from typing import Final

from edgecore.edged import pods
from edgecore.edged.runtime.engine import Resources
from kube.objects import Object
from kube.quantity import QuantityError, parse

QUOTA_PERIOD: Final = 100_000
MIN_SHARES: Final = 2
MAX_SHARES: Final = 262_144
MIN_QUOTA: Final = 1000


def amount(container: Object, kind: str, resource: str) -> float | None:
    """``resources.<kind>.<resource>`` in cores or bytes; None when unset or unreadable. kind: requests or limits."""
    found = pods.mapping(pods.mapping(container.get("resources")).get(kind)).get(resource)
    if found is None or isinstance(found, bool):
        return None
    try:
        return parse(found).nanos / 1e9
    except QuantityError:
        return None


def request(container: Object, resource: str) -> float | None:
    """The request; an absent one is the limit (as the API server defaults it)."""
    found = amount(container, "requests", resource)
    return amount(container, "limits", resource) if found is None else found


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort (Kubernetes 1.32: pkg/apis/core/v1/helper/qos)."""
    every = pods.containers(pod) + pods.init_containers(pod)
    values = [amount(c, kind, r) for c in every for kind in ("requests", "limits") for r in ("cpu", "memory")]
    if not any(values):
        return "BestEffort"
    for container in every:
        for resource in ("cpu", "memory"):
            limit = amount(container, "limits", resource)
            if not limit or request(container, resource) != limit:
                return "Burstable"
    return "Guaranteed"


def oom_score(pod: Object, container: Object, memory_capacity: int) -> int:
    """-997 for Guaranteed, 1000 for BestEffort, between 3 and 999 by share of memory otherwise."""
    kind = qos_class(pod)
    if kind == "Guaranteed":
        return -997
    if kind == "BestEffort":
        return 1000
    wanted = request(container, "memory") or 0.0
    score = 1000 - int(1000 * wanted / memory_capacity) if memory_capacity > 0 else 1000
    return min(max(score, 3), 999)


def resources(pod: Object, container: Object, memory_capacity: int) -> Resources:
    """Milli-cores to shares (1024 each core, at least 2), CPU limit to a quota on a 100 ms period."""
    wanted = request(container, "cpu") or 0.0
    limit = amount(container, "limits", "cpu")
    shares = min(max(MIN_SHARES, round(wanted * 1000) * 1024 // 1000), MAX_SHARES)
    quota = max(MIN_QUOTA, round(limit * QUOTA_PERIOD)) if limit else 0
    memory = int(amount(container, "limits", "memory") or 0)
    return Resources(shares, quota, QUOTA_PERIOD, memory, oom_score(pod, container, memory_capacity))
