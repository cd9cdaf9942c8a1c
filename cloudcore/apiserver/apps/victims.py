"""Which pods go first when there are too many.

Source of the order: Kubernetes 1.32: pkg/controller/controller_utils.go (ActivePodsWithRanks). Ages are compared by their
order of magnitude, as Kubernetes does (LogarithmicScaleDown), so that not always the newest node empties.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from kube import objects, pods
from kube.objects import Object, spec, status, uid

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


def to_delete(candidates: Sequence[Object], number: int, related: Iterable[Object], now: float) -> list[Object]:
    """``number`` of the candidates. ``related``: all active pods of the same purpose; crowded nodes lose pods first."""
    if number >= len(candidates):
        return list(candidates)
    crowd = Counter(spec(pod).get("nodeName") for pod in related if pods.is_active(pod))
    return sorted(candidates, key=lambda pod: _rank(pod, crowd, now))[:number]


def _rank(pod: Object, crowd: Counter[str | None], now: float) -> tuple[Any, ...]:
    node, ready = spec(pod).get("nodeName"), pods.is_ready(pod)
    return (
        bool(node),
        _PHASES.get(status(pod).get("phase", ""), 0),
        ready,
        deletion_cost(pod),
        -crowd[node],
        _magnitude(pods.ready_since(pod), now) if ready else 0,
        -_restarts(pod),
        _magnitude(pods.created(pod), now),
        uid(pod),
    )


def deletion_cost(pod: Object) -> int:
    """What the annotation says; what cannot be read costs nothing."""
    try:
        return int(objects.annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _magnitude(moment: float | None, now: float) -> int:
    """Of an age in nanoseconds; the unknown one counts as the least."""
    if moment is None:
        return -2
    age = now - moment
    return int(math.log2(age * 1e9)) if age > 0 else -1


def _restarts(pod: Object) -> int:
    return max((int(c.get("restartCount", 0)) for c in status(pod).get("containerStatuses", [])), default=0)
