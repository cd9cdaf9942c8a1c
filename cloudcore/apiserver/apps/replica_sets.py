"""ReplicaSets: as many pods as they say. Kubernetes 1.32: pkg/controller/replicaset."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps import conditions, template, victims
from cloudcore.apiserver.apps.adoption import claim, concerned
from cloudcore.apiserver.apps.keyed import Interest, Keyed, Place, itself, place_of
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.apps.steps import BURST, all_of, in_growing_batches
from cloudcore.apiserver.events import Recorder
from cloudcore.apiserver.history import Change
from kube import pods
from kube.objects import Object, is_deleting, labels, name, namespace, uid
from kube.ownership import controller_uid
from kube.resources import PODS, REPLICA_SETS
from kube.status import ApiError, NotFound

log = logging.getLogger(__name__)

FAILURE: Final = "ReplicaFailure"


class ReplicaSets:
    def __init__(self, api: Api, index: Ownership) -> None:
        self._api = api
        self._index = index
        self._kind = api.registry.of(REPLICA_SETS)
        self._pods = api.registry.of(PODS)
        self._recorder = Recorder(api, "replicaset-controller")
        interests: dict[str, Interest[Place]] = {REPLICA_SETS.qualified: itself, PODS.qualified: self._of_pod}
        self.loop = Keyed[Place](api.store, lambda: interests, self._all, self.reconcile)

    async def run(self) -> None:
        await self.loop.run()

    def _all(self) -> Iterable[Place]:
        return [place_of(entry.obj) for entry in self._api.store.entries(self._kind.key)]

    def _of_pod(self, change: Change) -> Iterable[Place]:
        return concerned(self._api.store, REPLICA_SETS, change)

    async def reconcile(self, place: Place) -> float | None:
        """One look at one ReplicaSet."""
        entry = self._api.store.get(self._kind.key, *place)
        if entry is None:
            return None
        owner = entry.obj
        found = [entry.obj for entry in await claim(self._api, self._index, self._pods, owner)]
        active = [pod for pod in found if pods.is_active(pod)]
        failure: ApiError | None = None
        surplus = len(active) - owner["spec"]["replicas"]
        if not is_deleting(owner):
            try:
                if surplus < 0:
                    await in_growing_batches([partial(self._create_one, owner)] * min(-surplus, BURST))
                elif surplus > 0:
                    await self._delete(owner, active, min(surplus, BURST))
            except ApiError as error:
                failure = error
        # The store has what was just written already: the status counts it.
        active = [entry.obj for entry in self._index.managed(self._pods.key, uid(owner)) if pods.is_active(entry.obj)]
        await self._tell(owner, active, failure, surplus)
        if failure is not None:
            raise failure
        return _next_look(owner, active)

    async def _create_one(self, owner: Object) -> None:
        try:
            made = await self._api.create(self._pods, namespace(owner), template.pod(owner))
        except ApiError as error:
            message = f"Error creating: {error.message}"
            await self._recorder.record(owner, kind="ReplicaSet", type_="Warning", reason="FailedCreate", message=message)
            raise
        message = f"Created pod: {name(made.obj)}"
        await self._recorder.record(owner, kind="ReplicaSet", type_="Normal", reason="SuccessfulCreate", message=message)

    async def _delete(self, owner: Object, active: list[Object], number: int) -> None:
        chosen = victims.to_delete(active, number, self._related(owner), time.time())
        await all_of([partial(self._delete_one, owner, pod) for pod in chosen])

    async def _delete_one(self, owner: Object, pod: Object) -> None:
        try:
            await self._api.delete(self._pods, namespace(pod), name(pod), uid=uid(pod))
        except NotFound:
            return
        message = f"Deleted pod: {name(pod)}"
        await self._recorder.record(owner, kind="ReplicaSet", type_="Normal", reason="SuccessfulDelete", message=message)

    def _related(self, owner: Object) -> list[Object]:
        """The pods of all ReplicaSets that have the same manager."""
        manager = controller_uid(owner)
        sets = self._index.managed(self._kind.key, manager) if manager else []
        uids = {uid(entry.obj) for entry in sets} | {uid(owner)}
        return [entry.obj for found in uids for entry in self._index.managed(self._pods.key, found)]

    async def _tell(self, owner: Object, active: list[Object], failure: ApiError | None, surplus: int) -> None:
        status = _status(owner, active, failure, surplus)
        if status == owner.get("status"):
            return

        def change(present: Object) -> Object:
            present["status"] = status
            return present

        try:
            await self._api.update(self._kind, namespace(owner), name(owner), change, subresource="status")
        except NotFound:
            return


def _status(owner: Object, active: list[Object], failure: ApiError | None, surplus: int) -> dict[str, Any]:
    now, min_ready = time.time(), owner["spec"].get("minReadySeconds", 0)
    wanted = labels(owner["spec"]["template"])
    counts = {
        "fullyLabeledReplicas": sum(1 for pod in active if wanted.items() <= labels(pod).items()),
        "readyReplicas": sum(1 for pod in active if pods.is_ready(pod)),
        "availableReplicas": sum(1 for pod in active if pods.is_available(pod, min_ready, now)),
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    status: dict[str, Any] = {"replicas": len(active), **{key: count for key, count in counts.items() if count}}
    known = list(owner.get("status", {}).get("conditions", []))
    if failure is None:
        known = conditions.without(known, FAILURE)
    elif not any(condition["type"] == FAILURE for condition in known):
        reason = "FailedCreate" if surplus < 0 else "FailedDelete"
        known = conditions.put(known, conditions.make(FAILURE, "True", reason, failure.message, updates=False))
    if known:
        status["conditions"] = known
    return status


def _next_look(owner: Object, active: list[Object]) -> float | None:
    """When a pod that is ready will have been so for long enough."""
    now, min_ready = time.time(), owner["spec"].get("minReadySeconds", 0)
    times = [pods.until_available(pod, min_ready, now) for pod in active]
    return min((left for left in times if left is not None and left > 0), default=None)
