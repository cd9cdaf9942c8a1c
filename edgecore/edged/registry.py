"""Which pods have a worker: the wanted ones (from the MetaManager) and what the engine still has of others.

Level-triggered: a notification only says which key to read again. Nothing is ended before the wanted pods were read
successfully once, and never because a read failed.
"""

from __future__ import annotations

import logging
import random
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.keyedqueue import KeyedQueue
from beehive.supervise import supervise
from edgecore.edged import admission, killing, pods
from edgecore.edged.room import Room
from edgecore.edged.runtime.engine import EngineError, PodInfo
from edgecore.edged.status import Verdict
from edgecore.edged.volumes import mounter
from edgecore.edged.worker import PodWorker
from edgecore.metamanager.client import ObjectKey
from kube import objects
from kube.objects import Object

log = logging.getLogger(__name__)

Name = tuple[str, str]
EVERYTHING: Final[Name] = ("", "")


class PodRegistry:
    """``notify`` and ``wake_all`` never block."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._queue: KeyedQueue[Name, None] = KeyedQueue()
        self._desired: dict[Name, Object] = {}
        self._workers: dict[str, PodWorker] = {}
        self._seen: dict[str, object] = {}
        self._refused: dict[Name, str] = {}
        self._trouble = ""
        self._undeletable: set[str] = set()
        self.synced = trio.Event()
        """The wanted pods were read at least once."""

    @property
    def workers(self) -> dict[str, PodWorker]:
        """By pod uid."""
        return self._workers

    def notify(self, key: ObjectKey) -> None:
        if key.type == "pod":
            self._queue.put((key.namespace, key.name) if key.name else EVERYTHING, None)
            return
        for worker in self._workers.values():
            if key in worker.keys:
                worker.wake(stale=True)

    def wake_all(self, *, stale: bool = False) -> None:
        for worker in self._workers.values():
            worker.wake(stale=stale)

    async def run(self) -> None:
        self._queue.put(EVERYTHING, None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, nursery)
            nursery.start_soon(self._resync)
            nursery.start_soon(self._relist, nursery)
            nursery.start_soon(self._listen)

    def judge(self, pod: Object, node: Object | None) -> Verdict | None:
        """Admission of a pod beside those that are here."""
        alive = [w for w in self._workers.values() if w.admitted and not w.ended and w.verdict is None]
        alive = [w for w in alive if w.uid != objects.uid(pod) and not pods.is_terminal(w.pod)]
        leaving = [w.pod for w in alive if w.is_ending]
        return admission.judge(pod, node, [w.pod for w in alive if not w.is_ending], leaving)

    # wanted pods

    async def _resync(self) -> None:
        while True:
            await trio.sleep(self._room.settings.sync_frequency * random.uniform(1.0, 1.5))  # noqa: S311 - jitter
            self._queue.put(EVERYTHING, None)

    async def _serve(self, nursery: trio.Nursery) -> None:
        delays = Backoff(first=0.5, limit=10.0)
        while True:
            async with self._queue.take() as (name, _):
                try:
                    await self._read(name, nursery)
                    self._say_trouble("")
                    delays.reset()
                    continue
                except Exception as error:  # whatever the store says, no pod may suffer for it
                    self._say_trouble(f"pods cannot be read from the store: {error}; running pods are left alone")
                self._queue.put(name, None)
            await trio.sleep(delays.next())

    def _say_trouble(self, text: str) -> None:
        """Once for each cause: a store that is guarded stays so for as long as there is no cloud."""
        if text and text != self._trouble:
            log.error("%s", text)
        elif self._trouble and not text:
            log.info("pods are read from the store again")
        self._trouble = text

    async def _read(self, name: Name, nursery: trio.Nursery) -> None:
        if name == EVERYTHING:
            listed = await self._room.meta.pods()
            found = {_name(pod): pod for pod in listed if self._is_ours(pod)}
            refused = {_name(pod) for pod in listed} - set(found)
            self._refused = {name: why for name, why in self._refused.items() if name in refused}
            names = set(found) | set(self._desired)
            self._desired = found
            if not self.synced.is_set():
                log.info("%d pods are wanted on this node", len(found))
                self.synced.set()
        else:
            pod = await self._room.meta.pod(*name)
            names = {name}
            if pod is not None and self._is_ours(pod):
                self._desired[name] = pod
            else:
                self._desired.pop(name, None)
                if pod is None:
                    self._refused.pop(name, None)
        for each in sorted(names):
            self._reconcile(each, nursery)

    def _is_ours(self, pod: Object) -> bool:
        if pods.node_name(pod) != self._room.settings.node_name:
            return False
        why, name = pods.unsafe(pod), _name(pod)
        if why is None:
            self._refused.pop(name, None)
            return True
        if self._refused.get(name) != why:
            log.error("%s is ignored: %s", pods.described(pod), why)
        self._refused[name] = why
        return False

    def _reconcile(self, name: Name, nursery: trio.Nursery) -> None:
        """Forgets workers of other uids with this name; a new uid starts only when the old ones have ended."""
        wanted = self._desired.get(name)
        uid = objects.uid(wanted) if wanted else ""
        others = [w for w in self._workers.values() if _name(w.pod) == name and w.uid != uid]
        for worker in others:
            self._room.statuses.forget(worker.uid)
            worker.forget()
        if wanted is None:
            return
        if uid in self._workers:
            self._workers[uid].update(wanted)
        elif not others:
            self._start(PodWorker(wanted, self._room), nursery)

    def _start(self, worker: PodWorker, nursery: trio.Nursery) -> None:
        self._workers[worker.uid] = worker
        nursery.start_soon(self._work, worker)

    async def _work(self, worker: PodWorker) -> None:
        try:
            await supervise(pods.described(worker.pod), worker.run)
        finally:  # also when this registry is started anew: a worker that nobody runs must not stand for its pod
            del self._workers[worker.uid]
            self._room.statuses.forget(worker.uid)
            self._queue.put(_name(worker.pod), None)

    # the engine

    async def _listen(self) -> None:
        delays = Backoff(first=1.0, limit=30.0)
        while True:
            try:
                async for uid in self._room.engine.events():
                    delays.reset()
                    if (worker := self._workers.get(uid)) is not None:
                        worker.wake()
            except EngineError as error:
                log.debug("engine events ended: %s", error)
            await trio.sleep(delays.next())

    async def _relist(self, nursery: trio.Nursery) -> None:
        """Finds what events did not tell, and pods that nobody wants."""
        await self.synced.wait()
        while True:
            try:
                listed = await self._room.engine.list_pods()
            except EngineError as error:
                log.debug("engine cannot be listed: %s", error)
            else:
                self._compare(listed, nursery)
                try:
                    await self._drop_directories({info.pod.uid for info in listed})
                except OSError as error:
                    log.debug("directories of unknown pods are not looked for now: %s", error)
            await trio.sleep(self._room.settings.relist_frequency)

    def _compare(self, listed: list[PodInfo], nursery: trio.Nursery) -> None:
        before, self._seen = self._seen, {info.pod.uid: _fingerprint(info) for info in listed}
        for info in listed:
            worker = self._workers.get(info.pod.uid)
            if worker is None:
                self._adopt_orphan(info, nursery)
            elif before.get(info.pod.uid) != self._seen[info.pod.uid]:
                worker.wake()
        for uid in set(before) - set(self._seen):
            if uid in self._workers:
                self._workers[uid].wake()

    def _adopt_orphan(self, info: PodInfo, nursery: trio.Nursery) -> None:
        if any(objects.uid(pod) == info.pod.uid for pod in self._desired.values()):
            return  # its worker is about to start
        pod: Object = {
            "metadata": {"namespace": info.pod.namespace, "name": info.pod.name, "uid": info.pod.uid},
            "spec": {
                "nodeName": self._room.settings.node_name,
                "terminationGracePeriodSeconds": killing.recorded_grace(info),
            },
        }
        if pods.unsafe(pod) is not None:
            return
        log.info("%s is not wanted on this node any more", pods.described(pod))
        self._start(PodWorker(pod, self._room, forgotten=True), nursery)

    async def _drop_directories(self, in_engine: set[str]) -> None:
        """Directories of pods that neither the cloud nor the engine knows."""
        known = await self._room.on_disk(mounter.known_uids, self._room.settings)
        for uid in set(known) - in_engine:
            if uid in self._workers or any(objects.uid(pod) == uid for pod in self._desired.values()):
                continue
            if uid not in self._undeletable:
                log.info("the directory of the unknown pod %s is removed", uid)
            try:
                await self._room.on_disk(mounter.remove_unknown, uid, self._room.settings)
                self._undeletable.discard(uid)
            except OSError as error:
                if uid not in self._undeletable:
                    log.warning("the directory of the unknown pod %s cannot be removed: %s", uid, error)
                self._undeletable.add(uid)
        self._undeletable &= set(known)


def _name(pod: Object) -> Name:
    return objects.namespace(pod), objects.name(pod)


def _fingerprint(info: PodInfo) -> object:
    return tuple((s.id, s.ready, s.ip) for s in info.sandboxes), tuple((c.id, c.state) for c in info.containers)
