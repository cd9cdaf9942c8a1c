"""Brings pod statuses to the cloud, and asks it to delete a pod that has ended here.

The newest status of a pod is kept until the cloud has it; what was between is never sent. Without a link everything waits and
nothing is lost: after a restart of edgecore the statuses are computed anew from the engine.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

import trio

from beehive.keyedqueue import KeyedQueue
from beehive.sqlite import StoreError
from edgecore.edged import pods
from edgecore.edged.status_patch import bare, status_diff
from edgecore.metamanager.client import MetaClient, MetaError, NotFound, Offline, Refused
from kube import objects
from kube.objects import Object

log = logging.getLogger(__name__)

TICK: Final = 10.0
SENDERS: Final = 8
_NEVER_TAKEN: Final = (400, 422)
"""A status that will be refused again."""
_OF_ANOTHER: Final = (409, 422)
"""The uid is that of another pod: some API servers call it a conflict, Kubernetes 1.34 an invalid change of ``metadata.uid``."""
REPEAT_AFTER: Final = 300.0
"""A patch that was accepted but did not last is sent again after so many seconds."""


@dataclass
class _Record:
    pod: Object
    wanted: Object | None = None
    sent: bool = False
    ended: bool = False
    deleted: bool = False
    last_patch: Object = field(default_factory=dict)
    last_time: float = float("-inf")
    complaint: str = ""


class StatusManager:
    """Versions by pod uid. ``set`` and ``end`` never block."""

    def __init__(self, meta: MetaClient) -> None:
        self._meta = meta
        self._records: dict[str, _Record] = {}
        self._queue: KeyedQueue[str, None] = KeyedQueue()

    def set(self, pod: Object, status: Object) -> None:
        """This is the status of the pod now."""
        uid = objects.uid(pod)
        record = self._records.setdefault(uid, _Record(pod))
        record.pod = pod
        if record.wanted is None or bare(record.wanted) != bare(status):
            record.wanted, record.sent = status, False
            self._queue.put(uid, None)

    def status(self, uid: str) -> Object | None:
        """What was last set, sent or not."""
        record = self._records.get(uid)
        return record.wanted if record else None

    def end(self, pod: Object) -> None:
        """Nothing of this pod runs or stands here any more: after its last status the cloud may delete it."""
        record = self._records.setdefault(objects.uid(pod), _Record(pod))
        record.pod, record.ended = pod, True
        self._queue.put(objects.uid(pod), None)

    def forget(self, uid: str) -> None:
        """The cloud does not know the pod any more."""
        self._records.pop(uid, None)
        self._queue.discard(uid)

    def look_again(self) -> None:
        """Everything that is not known to be in the cloud is tried at once (a link came up)."""
        for uid, record in self._records.items():
            if self._is_open(record):
                self._queue.put(uid, None)

    def _is_open(self, record: _Record) -> bool:
        if record.ended and not record.deleted:
            return True
        if record.wanted is None:
            return False
        return not record.sent or bool(status_diff(objects.status(record.pod), record.wanted))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(SENDERS):
                nursery.start_soon(self._send_all)
            while True:
                await trio.sleep(TICK)
                if self._meta.connected:
                    self.look_again()

    async def _send_all(self) -> None:
        while True:
            async with self._queue.take() as (uid, _):
                record = self._records.get(uid)
                if record is not None and self._meta.connected:
                    await self._send(record)

    async def _send(self, record: _Record) -> None:
        try:
            await self._push(record)
            record.complaint = ""
        except NotFound as error:
            self._drop(record, f"the cloud has no such pod ({error})")
        except Refused as error:
            if error.code == 404 or error.reason == "NotFound":
                self._drop(record, "the cloud has no such pod")
            elif error.code in _OF_ANOTHER and await self._was_replaced(record):
                self._drop(record, "another pod has its name now")
            else:
                self._complain(record, f"the cloud refused it: {error}")
        except Offline:
            return  # sent again when the link is back
        except (MetaError, StoreError) as error:
            self._complain(record, str(error))

    async def _was_replaced(self, record: _Record) -> bool:
        base = await self._meta.pod(objects.namespace(record.pod), objects.name(record.pod))
        return base is None or objects.uid(base) != objects.uid(record.pod)

    async def _push(self, record: _Record) -> None:
        namespace, name, uid = pods.identity(record.pod).namespace, objects.name(record.pod), objects.uid(record.pod)
        base = await self._meta.pod(namespace, name)
        if base is None or objects.uid(base) != uid:
            record.sent = record.deleted = True
            return
        wanted, ended = record.wanted, record.ended
        if wanted is not None:
            try:
                base = await self._patch(record, base, wanted)
            except Refused as error:
                if not ended or error.code not in _NEVER_TAKEN:
                    raise
                self._complain(record, f"the cloud refused its last one: {error}")  # but the pod must not stay for ever
        record.sent = record.wanted is wanted
        if ended and record.sent and not record.deleted and objects.is_deleting(base):
            await self._meta.delete_pod(namespace, name, uid)
            record.deleted = True
            log.info("%s has ended and was deleted in the cloud", pods.described(record.pod))

    async def _patch(self, record: _Record, base: Object, wanted: Object) -> Object:
        """Sends the difference, if any; returns the pod as it then is."""
        patch = status_diff(objects.status(base), wanted)
        now = trio.current_time()
        if not patch or (patch == record.last_patch and now - record.last_time < REPEAT_AFTER):
            return base
        namespace, name, uid = objects.namespace(base), objects.name(base), objects.uid(base)
        result = await self._meta.patch_pod_status(namespace, name, {"metadata": {"uid": uid}, "status": patch})
        record.last_patch, record.last_time = patch, now
        return result if objects.uid(result) == uid else base

    def _drop(self, record: _Record, why: str) -> None:
        if not record.deleted:
            log.info("status of %s is dropped: %s", pods.described(record.pod), why)
        record.sent = record.deleted = True

    def _complain(self, record: _Record, text: str) -> None:
        if text != record.complaint:
            log.warning(
                "status of %s could not be sent: %s; it is tried again every %.0f s", pods.described(record.pod), text, TICK
            )
        record.complaint = text
