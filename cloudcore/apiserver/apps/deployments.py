"""Deployments: ReplicaSets that take over from each other. Kubernetes 1.32: pkg/controller/deployment."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Sequence

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps import progress, revisions, rolling
from cloudcore.apiserver.apps.adoption import claim, concerned
from cloudcore.apiserver.apps.keyed import Interest, Keyed, Place, itself, place_of
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.events import Recorder
from cloudcore.apiserver.history import Change
from kube import objects, pods
from kube.objects import Object, is_deleting, name, namespace, spec, status, uid
from kube.ownership import controller_of
from kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from kube.status import AlreadyExists, ApiError, NotFound


class Deployments:
    def __init__(self, api: Api, index: Ownership) -> None:
        self._api = api
        self._index = index
        self._kind = api.registry.of(DEPLOYMENTS)
        self._sets = api.registry.of(REPLICA_SETS)
        self._recorder = Recorder(api, "deployment-controller")
        interests: dict[str, Interest[Place]] = {
            DEPLOYMENTS.qualified: itself,
            REPLICA_SETS.qualified: self._of_replica_set,
            PODS.qualified: self._of_pod,
        }
        self.loop = Keyed[Place](api.store, lambda: interests, self._all, self.reconcile)

    async def run(self) -> None:
        await self.loop.run()

    def _all(self) -> Iterable[Place]:
        return [place_of(entry.obj) for entry in self._api.store.entries(self._kind.key)]

    def _of_replica_set(self, change: Change) -> Iterable[Place]:
        return concerned(self._api.store, DEPLOYMENTS, change)

    def _of_pod(self, change: Change) -> Iterable[Place]:
        """A pod that is over may be what a Recreate waits for."""
        owner = controller_of(change.entry.obj)
        over = change.type == "DELETED" or pods.is_finished(change.entry.obj)
        if over and owner is not None and owner.get("kind") == "ReplicaSet":
            found = self._api.store.get(self._sets.key, namespace(change.entry.obj), owner.get("name", ""))
            manager = controller_of(found.obj) if found else None
            if manager is not None:
                yield namespace(change.entry.obj), manager.get("name", "")

    async def reconcile(self, place: Place) -> float | None:
        """One look at one Deployment."""
        entry = self._api.store.get(self._kind.key, *place)
        if entry is None:
            return None
        owner = copy.deepcopy(entry.obj)
        sets = [found.obj for found in await claim(self._api, self._index, self._sets, owner)]
        rollout = False
        try:
            if not is_deleting(owner):
                progress.note_pause(owner)
                if spec(owner).get("paused") or revisions.is_scaling(owner, sets):
                    await self._scale(owner, sets)
                else:
                    rollout = True
                    await self._roll_out(owner, sets)
        except ApiError:
            await self._tell(entry.obj, owner, rollout=False)
            raise
        return await self._tell(entry.obj, owner, rollout=rollout)

    async def _roll_out(self, owner: Object, sets: Sequence[Object]) -> None:
        if spec(owner)["strategy"]["type"] == "Recreate":
            await self._recreate(owner, sets)
        else:
            await self._roll(owner, sets)
        if progress.is_complete(owner, status(owner)):
            await self._clean_up(owner)

    async def _roll(self, owner: Object, sets: Sequence[Object]) -> None:
        new, old = revisions.split(owner, sets)
        new = await self._current(owner, new, old) or await self._new(owner, old)
        limits = revisions.limits(owner)
        members = [revisions.member(found) for found in old]
        size = rolling.size_of_new(limits, spec(new)["replicas"], spec(new)["replicas"] + sum(m.size for m in members))
        if size != spec(new)["replicas"]:
            await self._resize(owner, new, size)
            return
        await self._resize_all(owner, old, rolling.shrink_old(limits, revisions.member(new), members))

    async def _recreate(self, owner: Object, sets: Sequence[Object]) -> None:
        """First all old pods go, then the new ones come."""
        new, old = revisions.split(owner, sets)
        new = await self._current(owner, new, old)
        active = [found for found in old if spec(found)["replicas"] > 0]
        if active:
            await self._resize_all(owner, active, {name(found): 0 for found in active})
        elif not self._still_running(old):
            new = new or await self._new(owner, old)
            await self._resize(owner, new, spec(owner)["replicas"])

    def _still_running(self, old: Sequence[Object]) -> bool:
        return any(
            status(found).get("replicas", 0) > 0
            or any(not pods.is_finished(entry.obj) for entry in self._index.managed(PODS.qualified, uid(found)))
            for found in old
        )

    async def _scale(self, owner: Object, sets: Sequence[Object]) -> None:
        """Paused, or another number of pods is wanted: no new template goes out."""
        new, old = revisions.split(owner, sets)
        new = await self._current(owner, new, old)
        every = [*old, *([new] if new else [])]
        active = [found for found in every if spec(found)["replicas"] > 0]
        wanted = spec(owner)["replicas"]
        if len(active) <= 1:
            for found in active or ([new] if new else old[-1:]):
                await self._resize(owner, found, wanted)
        elif revisions.is_saturated(owner, new):
            await self._resize_all(owner, active, {name(found): 0 for found in active if found is not new})
        elif spec(owner)["strategy"]["type"] == "RollingUpdate":
            members = [revisions.member(found) for found in active]
            sizes = rolling.spread(revisions.limits(owner), members, status(owner).get("replicas", 0))
            await self._resize_all(owner, active, {m.name: sizes.get(m.name, m.size) for m in members})
        if spec(owner).get("paused"):
            await self._clean_up(owner)

    async def _current(self, owner: Object, new: Object | None, old: Sequence[Object]) -> Object | None:
        """The new ReplicaSet, if it is there already, with all that it should take over; the Deployment gets its number."""
        if new is None:
            return None
        number = max((revisions.revision(found) for found in old), default=0) + 1
        seconds = spec(owner).get("minReadySeconds", 0)

        def change(present: Object) -> Object:
            revisions.inherit(owner, present, number)
            if present["spec"].get("minReadySeconds", 0) != seconds:
                present["spec"]["minReadySeconds"] = seconds
            return present

        new = (await self._api.update(self._sets, namespace(new), name(new), change)).obj
        owner["metadata"].setdefault("annotations", {})[revisions.REVISION] = objects.annotations(new)[revisions.REVISION]
        if progress.condition(owner, progress.PROGRESSING) is None:
            progress.note(owner, "True", "FoundNewReplicaSet", f'Found new replica set "{name(new)}"')
        return new

    async def _new(self, owner: Object, old: Sequence[Object]) -> Object:
        number = max((revisions.revision(found) for found in old), default=0) + 1
        size = rolling.size_of_new(revisions.limits(owner), 0, sum(spec(found)["replicas"] for found in old))
        body = revisions.new_replica_set(owner, size, number)
        label = body["metadata"]["name"]
        try:
            made = (await self._api.create(self._sets, namespace(owner), body)).obj
        except AlreadyExists:
            owner.setdefault("status", {})["collisionCount"] = status(owner).get("collisionCount", 0) + 1
            raise
        except ApiError as error:
            message = f'Failed to create new replica set "{label}": {error.message}'
            progress.note(owner, "False", "ReplicaSetCreateError", message)
            await self._event(owner, "ReplicaSetCreateError", message, type_="Warning")
            raise
        if size:
            await self._event(owner, "ScalingReplicaSet", f"Scaled up replica set {label} from 0 to {size}")
        owner["metadata"].setdefault("annotations", {})[revisions.REVISION] = str(number)
        progress.note(owner, "True", "NewReplicaSetCreated", f'Created new replica set "{label}"')
        return made

    async def _resize_all(self, owner: Object, sets: Sequence[Object], sizes: dict[str, int]) -> None:
        for found in sets:
            if name(found) in sizes:
                await self._resize(owner, found, sizes[name(found)])

    async def _resize(self, owner: Object, replica_set: Object, size: int) -> None:
        before = spec(replica_set)["replicas"]

        def change(present: Object) -> Object:
            present["spec"]["replicas"] = size
            revisions.mark_size(owner, present)
            return present

        await self._api.update(self._sets, namespace(replica_set), name(replica_set), change)
        if size != before:
            way = "up" if size > before else "down"
            message = f"Scaled {way} replica set {name(replica_set)} from {before} to {size}"
            await self._event(owner, "ScalingReplicaSet", message)

    async def _clean_up(self, owner: Object) -> None:
        _, old = revisions.split(owner, [entry.obj for entry in self._index.managed(self._sets.key, uid(owner))])
        for found in revisions.superfluous(owner, old):
            try:
                await self._api.delete(self._sets, namespace(found), name(found), uid=uid(found))
            except NotFound:
                continue

    async def _tell(self, stored: Object, owner: Object, *, rollout: bool) -> float | None:
        """Writes the status and the revision if they have changed. Returns when to look at the deadline."""
        sets = [entry.obj for entry in self._index.managed(self._sets.key, uid(owner))]
        new, _ = revisions.split(owner, sets)
        now = time.time()
        told = progress.estimated(owner, status(stored), new, sets, now) if rollout else progress.counted(owner, new, sets)
        number = objects.annotations(owner).get(revisions.REVISION)
        if told == status(stored) and number == objects.annotations(stored).get(revisions.REVISION):
            return progress.next_look(owner, told, now)

        def change(present: Object) -> Object:
            present["status"] = told
            if number is not None:
                present["metadata"].setdefault("annotations", {})[revisions.REVISION] = number
            return present

        try:
            await self._api.update(self._kind, namespace(owner), name(owner), change, subresource="status")
        except NotFound:
            return None
        return progress.next_look(owner, told, now)

    async def _event(self, owner: Object, reason: str, message: str, *, type_: str = "Normal") -> None:
        await self._recorder.record(owner, kind="Deployment", type_=type_, reason=reason, message=message)
