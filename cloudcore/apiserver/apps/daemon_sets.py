"""DaemonSets: one pod on every node that should have one. Kubernetes 1.32: pkg/controller/daemon."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import trio

from beehive.backoff import Backoff
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps import daemon_steps, rolling, template
from cloudcore.apiserver.apps.adoption import claim, concerned
from cloudcore.apiserver.apps.daemon_history import DaemonHistory
from cloudcore.apiserver.apps.daemon_steps import GENERATION, REVISION_HASH, Present, Spot
from cloudcore.apiserver.apps.keyed import Interest, Keyed, Place, itself, place_of
from cloudcore.apiserver.apps.kind_rules import TEMPLATE_GENERATION
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.apps.steps import all_of, in_growing_batches
from cloudcore.apiserver.events import Recorder
from cloudcore.apiserver.history import Change
from kube import daemons, objects, pods
from kube.objects import Object, is_deleting, labels, name, namespace, spec, status, uid
from kube.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from kube.status import AlreadyExists, ApiError, NotFound

LONGEST: Final = 900.0
"""Seconds that the next pod waits at most when those before it have failed."""


class DaemonSets:
    def __init__(self, api: Api, index: Ownership) -> None:
        self._api = api
        self._index = index
        self._kind = api.registry.of(DAEMON_SETS)
        self._pods = api.registry.of(PODS)
        self._history = DaemonHistory(api, index)
        self._recorder = Recorder(api, "daemonset-controller")
        self._patience: dict[tuple[str, str], tuple[Backoff, float]] = {}
        interests: dict[str, Interest[Place]] = {
            DAEMON_SETS.qualified: itself,
            PODS.qualified: self._of_dependent,
            CONTROLLER_REVISIONS.qualified: self._of_dependent,
            NODES.qualified: self._of_node,
        }
        self.loop = Keyed[Place](api.store, lambda: interests, self._all, self.reconcile)

    async def run(self) -> None:
        await self.loop.run()

    def _all(self) -> Iterable[Place]:
        return [place_of(entry.obj) for entry in self._api.store.entries(self._kind.key)]

    def _of_dependent(self, change: Change) -> Iterable[Place]:
        return concerned(self._api.store, DAEMON_SETS, change)

    def _of_node(self, change: Change) -> Iterable[Place]:
        """Only what a pod's place depends on counts: a node's status changes all the time."""
        before = change.before.obj if change.before else None
        if before is None or change.type == "DELETED" or _place_facts(before) != _place_facts(change.entry.obj):
            return self._all()
        return ()

    async def reconcile(self, place: Place) -> float | None:
        """One look at one DaemonSet."""
        entry = self._api.store.get(self._kind.key, *place)
        if entry is None or is_deleting(entry.obj):
            return None
        owner = entry.obj
        await claim(self._api, self._index, self._pods, owner)
        try:
            short, old = await self._history.current(owner)
        except AlreadyExists:
            await self._collide(owner)
            raise
        generation = objects.annotations(owner).get(TEMPLATE_GENERATION, "")
        present = Present(short, generation, owner["spec"].get("minReadySeconds", 0), time.time())
        try:
            await self._one_each(owner, present)
            await self._update(owner, present)
            await self._history.clean_up(owner, old, self._own(owner))
        finally:
            await self._tell(owner, present)
        return self._next_look(owner, present)

    def _own(self, owner: Object) -> list[Object]:
        return [entry.obj for entry in self._index.managed(self._pods.key, uid(owner))]

    def _spots(self, owner: Object) -> list[Spot]:
        by_node: dict[str, list[Object]] = {}
        for pod in self._own(owner):
            if not (is_deleting(pod) and pods.is_finished(pod)):
                by_node.setdefault(daemons.target(pod), []).append(pod)
        found = []
        for entry in self._api.store.entries(NODES.qualified):
            verdict = daemons.judge(owner["spec"]["template"], entry.obj)
            there = by_node.pop(name(entry.obj), [])
            if verdict.runs or there:
                found.append(Spot(name(entry.obj), *verdict, daemons.is_away(entry.obj), there))
        # Pods that wait for a node that is gone wait for ever; those that ran there go with the node.
        waiting = {node: [pod for pod in there if not spec(pod).get("nodeName")] for node, there in by_node.items()}
        return found + [Spot(node, runs=False, stays=False, pods=there) for node, there in waiting.items() if there]

    async def _one_each(self, owner: Object, present: Present) -> None:
        steps = daemon_steps.one_each(self._spots(owner), present, surging=_most(owner, 100)[1] > 0)
        for node, pod in steps.failed:
            if self._patient(owner, node):
                text = f"Found failed daemon pod {namespace(pod)}/{name(pod)} on node {node}, will try to kill it"
                await self._event(owner, "Warning", "FailedDaemonPod", text)
                steps.delete.append(pod)
        await self._apply(owner, present, steps.create, steps.delete)

    def _patient(self, owner: Object, node: str) -> bool:
        """Whether a failed pod may be replaced by now; each time the next one waits longer."""
        now = trio.current_time()
        # What has not failed for so long begins anew; nothing is kept of nodes and DaemonSets that are gone.
        self._patience = {key: known for key, known in self._patience.items() if now < known[1] + 2 * LONGEST}
        backoff, until = self._patience.get((uid(owner), node), (Backoff(first=1.0, limit=LONGEST, jitter=0.1), 0.0))
        if now < until:
            return False
        self._patience[(uid(owner), node)] = (backoff, now + backoff.next())
        return True

    async def _update(self, owner: Object, present: Present) -> None:
        if owner["spec"]["updateStrategy"]["type"] != "RollingUpdate":
            return
        spots = self._spots(owner)
        unavailable, surge = _most(owner, sum(spot.runs for spot in spots))
        if surge:
            steps = daemon_steps.surge(spots, present, surge)
            await self._apply(owner, present, steps.create, steps.delete)
        else:
            await self._apply(owner, present, [], daemon_steps.roll(spots, present, unavailable))

    async def _apply(self, owner: Object, present: Present, create: list[str], delete: list[Object]) -> None:
        await all_of([partial(self._delete, owner, pod) for pod in delete])
        await in_growing_batches([partial(self._create, owner, present, node) for node in create])

    async def _create(self, owner: Object, present: Present, node: str) -> None:
        pod = template.pod(owner)
        pod["metadata"].setdefault("labels", {}).update({REVISION_HASH: present.hash, GENERATION: present.generation})
        pod["spec"]["tolerations"] = daemons.tolerations(pod["spec"])
        pod["spec"]["affinity"] = daemons.pinned(pod["spec"].get("affinity"), node)
        try:
            made = await self._api.create(self._pods, namespace(owner), pod)
        except ApiError as error:
            await self._event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        await self._event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name(made.obj)}")

    async def _delete(self, owner: Object, pod: Object) -> None:
        try:
            await self._api.delete(self._pods, namespace(pod), name(pod), uid=uid(pod))
        except NotFound:
            return
        await self._event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name(pod)}")

    async def _tell(self, owner: Object, present: Present) -> None:
        kept = {key: value for key, value in status(owner).items() if key in ("collisionCount", "conditions")}
        told: dict[str, Any] = {**kept, **daemon_steps.counts(self._spots(owner), present)}
        told["observedGeneration"] = owner["metadata"].get("generation", 0)
        if told != status(owner):
            await self._set_status(owner, told)

    async def _collide(self, owner: Object) -> None:
        """Another template has the name that the present one would get: the next look makes another name."""
        await self._set_status(owner, {**status(owner), "collisionCount": status(owner).get("collisionCount", 0) + 1})

    async def _set_status(self, owner: Object, told: dict[str, Any]) -> None:
        def change(present: Object) -> Object:
            present["status"] = told
            return present

        try:
            await self._api.update(self._kind, namespace(owner), name(owner), change, subresource="status")
        except NotFound:
            return

    def _next_look(self, owner: Object, present: Present) -> float | None:
        """When a pod will have been ready for long enough, or a failed one may be replaced."""
        own = self._own(owner)
        times = [pods.until_available(pod, present.min_ready, present.now) for pod in own]
        waits = [left for left in times if left is not None and left > 0]
        failed = {daemons.target(pod) for pod in own if status(pod).get("phase") == "Failed" and not is_deleting(pod)}
        for (holder, node), (_, until) in self._patience.items():
            if holder == uid(owner) and node in failed:
                waits.append(max(until - trio.current_time(), 0.0))
        return min(waits, default=None)

    async def _event(self, owner: Object, type_: str, reason: str, message: str) -> None:
        await self._recorder.record(owner, kind="DaemonSet", type_=type_, reason=reason, message=message)


def _place_facts(node: Object) -> tuple[Any, ...]:
    return labels(node), spec(node).get("taints"), spec(node).get("unschedulable")


def _most(owner: Object, nodes: int) -> tuple[int, int]:
    """How many pods may be unavailable, and how many may be there twice, during an update."""
    amounts = owner["spec"]["updateStrategy"].get("rollingUpdate")
    if amounts is None:
        return 0, 0
    surge = rolling.resolve(amounts["maxSurge"], nodes, up=True)
    unavailable = rolling.resolve(amounts["maxUnavailable"], nodes, up=True)
    return (1 if nodes and not surge and not unavailable else unavailable), surge
