"""The ReplicaSets of a Deployment: which one is new, what their annotations say, which old ones are kept.

Source: Kubernetes 1.32: pkg/controller/deployment/util/deployment_util.go.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from cloudcore.apiserver.apps import template
from cloudcore.apiserver.apps.rolling import Bounds, Member, bounds
from kube import objects
from kube.objects import Object, is_deleting, metadata, name, spec, status
from kube.ownership import controller_reference

REVISION: Final = "deployment.kubernetes.io/revision"
_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
_MOST: Final = "deployment.kubernetes.io/max-replicas"
_OWN: Final = frozenset(
    {
        REVISION,
        _HISTORY,
        DESIRED,
        _MOST,
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
    }
)
"""Annotations that do not go from a Deployment to its ReplicaSets."""
_HISTORY_LIMIT: Final = 2000
"""Characters of the list of earlier revisions."""


def age(obj: Object) -> tuple[str, str]:
    """By it the oldest come first."""
    return str(metadata(obj).get("creationTimestamp") or ""), name(obj)


def split(owner: Object, sets: Sequence[Object]) -> tuple[Object | None, list[Object]]:
    """The ReplicaSet with the present template, and the others, oldest first."""
    ordered = sorted(sets, key=age)
    wanted = owner["spec"]["template"]
    new = next((found for found in ordered if template.same(found["spec"]["template"], wanted)), None)
    return new, [found for found in ordered if found is not new]


def revision(obj: Object) -> int:
    """0 when it does not say."""
    return _number(obj, REVISION)


def _number(obj: Object, key: str) -> int:
    text = objects.annotations(obj).get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def limits(owner: Object) -> Bounds:
    """How far a Deployment may go; without a rolling update as many pods as it says."""
    wanted = owner["spec"]
    rolling = wanted.get("strategy", {}).get("rollingUpdate")
    if rolling is None:
        return Bounds(wanted["replicas"])
    return bounds(wanted["replicas"], rolling["maxSurge"], rolling["maxUnavailable"])


def member(obj: Object) -> Member:
    """What the arithmetic needs to know of a ReplicaSet."""
    return Member(
        name=name(obj),
        size=spec(obj).get("replicas", 0),
        available=status(obj).get("availableReplicas", 0),
        created=age(obj)[0],
        limit=_number(obj, _MOST),
    )


def is_scaling(owner: Object, sets: Sequence[Object]) -> bool:
    """Whether the Deployment wants another number of pods than when its ReplicaSets were last resized."""
    active = [found for found in sets if spec(found).get("replicas", 0) > 0]
    return any(DESIRED in objects.annotations(found) and _number(found, DESIRED) != owner["spec"]["replicas"] for found in active)


def is_saturated(owner: Object, new: Object | None) -> bool:
    """Whether the new ReplicaSet has all the pods and all of them work."""
    if new is None:
        return False
    wanted = owner["spec"]["replicas"]
    return bool(
        spec(new).get("replicas", 0) == wanted
        and DESIRED in objects.annotations(new)
        and _number(new, DESIRED) == wanted
        and status(new).get("availableReplicas", 0) == wanted
    )


def new_replica_set(owner: Object, size: int, number: int) -> Object:
    """The ReplicaSet for the present template, as revision ``number``."""
    wanted = copy.deepcopy(owner["spec"]["template"])
    short = template.digest(wanted, status(owner).get("collisionCount", 0))
    found = {**metadata(wanted).get("labels", {}), template.HASH: short}
    wanted["metadata"]["labels"] = found
    selector = copy.deepcopy(owner["spec"]["selector"])
    selector.setdefault("matchLabels", {})[template.HASH] = short
    body: Object = {
        "metadata": {
            "name": f"{name(owner)}-{short}",
            "labels": dict(found),
            "annotations": {},
            "ownerReferences": [controller_reference(owner)],
        },
        "spec": {"replicas": size, "selector": selector, "template": wanted},
    }
    if owner["spec"].get("minReadySeconds"):
        body["spec"]["minReadySeconds"] = owner["spec"]["minReadySeconds"]
    inherit(owner, body, number)
    mark_size(owner, body)
    return body


def inherit(owner: Object, replica_set: Object, number: int) -> None:
    """What the new ReplicaSet takes over from its Deployment, in place. One that was new before keeps its old numbers."""
    found: dict[str, Any] = replica_set["metadata"].setdefault("annotations", {})
    found.update({key: value for key, value in objects.annotations(owner).items() if key not in _OWN})
    before = revision(replica_set)
    if before >= number:
        return
    if REVISION in found:
        earlier = [entry for entry in found.get(_HISTORY, "").split(",") if entry] + [str(before)]
        while len(",".join(earlier)) > _HISTORY_LIMIT:
            del earlier[0]
        found[_HISTORY] = ",".join(earlier)
    found[REVISION] = str(number)


def mark_size(owner: Object, replica_set: Object) -> None:
    """Writes down, in place, for what number of pods the ReplicaSet got its size."""
    wanted = limits(owner)
    found = replica_set["metadata"].setdefault("annotations", {})
    found[DESIRED], found[_MOST] = str(wanted.replicas), str(wanted.most)


def superfluous(owner: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond the history that the Deployment wants; those that still have pods stay."""
    alive = sorted((found for found in old if not is_deleting(found)), key=lambda found: (revision(found), age(found)))
    surplus = len(alive) - owner["spec"].get("revisionHistoryLimit", 10)
    return [
        found
        for found in alive[: max(surplus, 0)]
        if not spec(found).get("replicas")
        and not status(found).get("replicas")
        and metadata(found).get("generation", 0) <= status(found).get("observedGeneration", 0)
    ]
