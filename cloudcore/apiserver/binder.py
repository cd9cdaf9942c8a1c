"""Gives pods without a node to a node that fits: what a scheduler does, as far as edges need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trio

from cloudcore.apiserver import controller, subresources
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.events import Recorder
from cloudcore.apiserver.history import Change, Expired
from kube import scheduling
from kube.objects import Object, is_deleting, labels, name, namespace, spec, status, timestamp, uid
from kube.resources import NODES, PODS
from kube.status import ApiError

_EVERY = 30.0


class Binder:
    """Among the nodes that are ready and fit, the one with the fewest pods gets the pod."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._recorder = Recorder(api, "default-scheduler")
        self._seen = {PODS.qualified: -1, NODES.qualified: -1}
        self._idle = False
        self._due = True
        self._looked = 0.0

    async def run(self) -> None:
        await controller.run(self._api.store, (PODS.qualified, NODES.qualified), self.reconcile, every=_EVERY)

    async def reconcile(self) -> None:
        """One look at every pod that waits, if anything may have come of it since the last one."""
        if not self._worth_a_look():
            return
        await self._look()
        self._due, self._looked = False, trio.current_time()

    async def _look(self) -> None:
        pods = [entry.obj for entry in self._api.store.entries(PODS.qualified)]
        waiting = [pod for pod in pods if _waits(pod)]
        self._idle = not waiting
        if not waiting:
            return
        nodes = [entry.obj for entry in self._api.store.entries(NODES.qualified)]
        placed: dict[str, list[Object]] = {name(node): [] for node in nodes}
        for pod in pods:
            if (node_name := spec(pod).get("nodeName")) in placed:
                placed[node_name].append(pod)
        for pod in sorted(waiting, key=lambda pod: pod["metadata"].get("creationTimestamp", "")):
            await self._place(pod, nodes, placed)

    def _worth_a_look(self) -> bool:
        """Told by what has changed: with thousands of pods a look at all after every heartbeat is dear."""
        for change in self._changes(PODS.qualified):
            if change.type != "DELETED" and _waits(change.entry.obj):
                self._idle = False
            self._due = self._due or _frees_or_waits(change)
        for change in self._changes(NODES.qualified):
            self._due = self._due or _may_fit_now(change)
        return not self._idle and (self._due or trio.current_time() - self._looked >= _EVERY)

    def _changes(self, resource: str) -> Iterator[Change]:
        history = self._api.store.history(resource)
        place, self._seen[resource] = self._seen[resource], history.end
        try:
            while changes := history.read(place):
                place += len(changes)
                yield from changes
        except Expired:
            self._idle, self._due = False, True

    async def _place(self, pod: Object, nodes: list[Object], placed: dict[str, list[Object]]) -> None:
        reasons, fitting = [], []
        for node in nodes:
            why = scheduling.fit(pod, node, placed[name(node)]) or (None if _ready(node) else "node(s) were not ready")
            if why is None:
                fitting.append(name(node))
            else:
                reasons.append(why)
        try:
            if not fitting:
                await self._refuse(pod, scheduling.explain(reasons))
                return
            chosen = min(fitting, key=lambda node: (len(placed[node]), node))
            binding = {"metadata": {"uid": uid(pod)}, "target": {"kind": "Node", "name": chosen}}
            await subresources.bind(self._api, self._api.registry.of(PODS), namespace(pod), name(pod), binding)
            placed[chosen].append(pod)
            message = f"Successfully assigned {namespace(pod)}/{name(pod)} to {chosen}"
            await self._recorder.record(pod, kind="Pod", type_="Normal", reason="Scheduled", message=message)
        except ApiError:
            return  # it changed meanwhile; its change brings us back

    async def _refuse(self, pod: Object, message: str) -> None:
        present: Object = next((c for c in status(pod).get("conditions", []) if c.get("type") == "PodScheduled"), {})
        if present.get("status") == "False" and present.get("message") == message:
            return
        condition = {"type": "PodScheduled", "status": "False", "lastProbeTime": None, "lastTransitionTime": timestamp()}
        condition |= {"reason": "Unschedulable", "message": message}

        def tell(found: Object) -> Object:
            conditions = found.setdefault("status", {}).setdefault("conditions", [])
            conditions[:] = [c for c in conditions if c.get("type") != "PodScheduled"] + [condition]
            return found

        await self._api.update(self._api.registry.of(PODS), namespace(pod), name(pod), tell, subresource="status")
        await self._recorder.record(pod, kind="Pod", type_="Warning", reason="FailedScheduling", message=message)


def _frees_or_waits(change: Change) -> bool:
    """Whether a change of a pod is about one that waits, or about what pods take away from a node."""
    if change.before is None or change.type == "DELETED" or _waits(change.entry.obj):
        return True
    now, before = change.entry.obj, change.before.obj
    return bool(spec(now) != spec(before) or status(now).get("phase") != status(before).get("phase"))


def _may_fit_now(change: Change) -> bool:
    """Whether a change of a node is more than a heartbeat."""
    if change.before is None or change.type == "DELETED":
        return True
    return _offers(change.entry.obj) != _offers(change.before.obj)


def _offers(node: Object) -> tuple[Any, ...]:
    return labels(node), spec(node), _ready(node), status(node).get("allocatable"), status(node).get("capacity")


def _waits(pod: Object) -> bool:
    wanted = spec(pod)
    return (
        not wanted.get("nodeName")
        and not is_deleting(pod)
        and not wanted.get("schedulingGates")
        and wanted.get("schedulerName") == "default-scheduler"
        and status(pod).get("phase") == "Pending"
    )


def _ready(node: Object) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status(node).get("conditions", []))
