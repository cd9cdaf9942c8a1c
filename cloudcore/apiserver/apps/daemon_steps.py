"""What a DaemonSet does next on its nodes: which pods come, which go. Plain decisions.

Source: Kubernetes 1.32: pkg/controller/daemon (podsShouldBeOnNode, rollingUpdate). One difference: a node that does not answer
does not hold up an update. Its old pod is told to go at once, which happens when the node is back, and neither that pod nor
its absence counts as unavailable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kube import pods
from kube.objects import Object, is_deleting, labels, metadata, name, status

REVISION_HASH = "controller-revision-hash"
GENERATION = "pod-template-generation"


@dataclass(frozen=True)
class Spot:
    """One node as a DaemonSet sees it, with its pods there. away: the node does not answer."""

    node: str
    runs: bool
    stays: bool
    away: bool = False
    pods: Sequence[Object] = ()


@dataclass(frozen=True)
class Present:
    """By what pods are judged. hash, generation: those of the present template; a pod that has either is new."""

    hash: str
    generation: str
    min_ready: int
    now: float

    def is_new(self, pod: Object) -> bool:
        found = labels(pod)
        return found.get(REVISION_HASH) == self.hash or found.get(GENERATION) == self.generation

    def is_available(self, pod: Object) -> bool:
        return pods.is_available(pod, self.min_ready, self.now)


@dataclass
class Steps:
    """create: names of nodes. delete: pods. failed: those of them that have failed, to be removed with patience."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    failed: list[tuple[str, Object]] = field(default_factory=list)


def age(pod: Object) -> tuple[bool, str, str]:
    """By it the one to keep comes first: one that has a node, then the oldest."""
    return not pod.get("spec", {}).get("nodeName"), str(metadata(pod).get("creationTimestamp") or ""), name(pod)


def one_each(spots: Iterable[Spot], present: Present, *, surging: bool) -> Steps:
    """One pod on every node that should have one, and none elsewhere."""
    steps = Steps()
    for spot in spots:
        if spot.runs and not spot.pods:
            steps.create.append(spot.node)
        elif not spot.stays:
            steps.delete += [pod for pod in spot.pods if not is_deleting(pod)]
        else:
            _tidy(spot, present, steps, surging=surging)
    return steps


def _tidy(spot: Spot, present: Present, steps: Steps, *, surging: bool) -> None:
    alive = [pod for pod in spot.pods if not is_deleting(pod)]
    steps.failed += [(spot.node, pod) for pod in alive if status(pod).get("phase") == "Failed"]
    steps.delete += [pod for pod in alive if status(pod).get("phase") == "Succeeded"]
    running = sorted((pod for pod in alive if not pods.is_finished(pod)), key=age)
    if not surging:
        steps.delete += running[1:]
        return
    if not running and spot.runs:
        steps.create.append(spot.node)
    new = [pod for pod in running if present.is_new(pod)]
    old = [pod for pod in running if not present.is_new(pod)]
    steps.delete += new[1:] + old[1:]
    if new and old and (not pods.is_ready(old[0]) or present.is_available(new[0])):
        steps.delete.append(old[0])


def roll(spots: Iterable[Spot], present: Present, unavailable: int) -> list[Object]:
    """Old pods that may go now; their nodes get new ones afterwards."""
    down, broken, candidates = 0, [], []
    for spot in spots:
        alive = [pod for pod in spot.pods if not is_deleting(pod)]
        old = [pod for pod in alive if not present.is_new(pod)]
        if spot.away:
            broken += old
        elif len(alive) != 1:
            down += 1  # a pod comes or goes already
        elif not present.is_available(alive[0]):
            down += 1
            broken += old
        else:
            candidates += old
    return broken + candidates[: max(unavailable - down, 0)]


def surge(spots: Iterable[Spot], present: Present, most: int) -> Steps:
    """New pods beside old ones, at most so many at once; the old one goes when the new one is available."""
    steps, underway, candidates = Steps(), 0, []
    leaving: list[Object] = []
    available, wanted = 0, 0
    for spot in spots:
        wanted += spot.runs
        alive = [pod for pod in spot.pods if not is_deleting(pod)]
        new = [pod for pod in alive if present.is_new(pod)]
        old = [pod for pod in alive if not present.is_new(pod)]
        if len(new) > 1 or len(old) > 1:
            underway += 1
            continue
        available += any(present.is_available(pod) for pod in (old or new))
        if not old:
            continue
        if new:
            if present.is_available(new[0]):
                steps.delete.append(old[0])
            else:
                underway += not spot.away
        elif not spot.runs:
            (leaving if present.is_available(old[0]) else steps.delete).append(old[0])
        elif not present.is_available(old[0]):
            steps.create.append(spot.node)
        else:
            candidates.append(spot.node)
    steps.create += candidates[: max(most - underway, 0)]
    steps.delete += leaving[: max(available - wanted, 0)]
    return steps


def counts(spots: Iterable[Spot], present: Present) -> dict[str, int]:
    """The numbers of the status."""
    found = dict.fromkeys(("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0)
    more = {"updatedNumberScheduled": 0, "numberAvailable": 0}
    for spot in spots:
        if not spot.runs:
            found["numberMisscheduled"] += bool(spot.pods)
            continue
        found["desiredNumberScheduled"] += 1
        if not spot.pods:
            continue
        pod = min(spot.pods, key=age)
        found["currentNumberScheduled"] += 1
        found["numberReady"] += pods.is_ready(pod)
        more["numberAvailable"] += present.is_available(pod)
        more["updatedNumberScheduled"] += present.is_new(pod)
    more["numberUnavailable"] = found["desiredNumberScheduled"] - more["numberAvailable"]
    return found | {key: count for key, count in more.items() if count}
