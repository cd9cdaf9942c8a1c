"""Gives pods without a node to a node that fits: what a scheduler does, as far as edges need it."""

from __future__ import annotations

from cloudcore.apiserver import controller, subresources
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.events import Recorder
from cloudcore.apiserver.history import Expired
from kube import scheduling
from kube.objects import Object, is_deleting, name, namespace, spec, status, timestamp, uid
from kube.resources import NODES, PODS
from kube.status import ApiError

_EVERY = 30.0


class Binder:
    """Among the nodes that are ready and fit, the one with the fewest pods gets the pod."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._recorder = Recorder(api, "default-scheduler")
        self._seen = -1
        self._idle = False

    async def run(self) -> None:
        await controller.run(self._api.store, (PODS.qualified, NODES.qualified), self.reconcile, every=_EVERY)

    async def reconcile(self) -> None:
        """One look at every pod that waits."""
        if self._nobody_waits():
            return
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

    def _nobody_waits(self) -> bool:
        """Told by what has changed since the last look: with thousands of pods a look at all after every change is dear."""
        history = self._api.store.history(PODS.qualified)
        place, self._seen = self._seen, history.end
        try:
            while changes := history.read(place):
                place += len(changes)
                if any(change.type != "DELETED" and _waits(change.entry.obj) for change in changes):
                    self._idle = False
        except Expired:
            self._idle = False
        return self._idle

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
