"""Events that our own controllers write, and the end of old ones."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.history import Entry
from kube.objects import Object, name, namespace, parse_timestamp, resource_version, timestamp, uid
from kube.resources import EVENTS
from kube.status import AlreadyExists, ApiError, NotFound

LIFETIME: Final = 3600.0
"""Seconds; as kube-apiserver's --event-ttl."""
MOST: Final = 10_000
"""Events that are kept at most."""


class Recorder:
    """Writes events; the same one again only counts up. A failure is no reason to stop what is reported on."""

    def __init__(self, api: Api, component: str) -> None:
        self._api = api
        self._component = component

    async def record(self, about: Object, *, kind: str, type_: str, reason: str, message: str) -> None:
        """Tells something about an object of that ``kind``."""
        where = namespace(about) or "default"
        digest = hashlib.sha256(f"{uid(about)}/{type_}/{reason}/{message}".encode()).hexdigest()[:16]
        event_kind, now = self._api.registry.of(EVENTS), timestamp()
        key = f"{name(about)}.{digest}"

        def again(present: Object) -> Object:
            present["count"] = present.get("count", 1) + 1
            present["lastTimestamp"] = now
            return present

        reference = {"kind": kind, "apiVersion": about.get("apiVersion", "v1"), "name": name(about), "uid": uid(about)}
        if namespace(about):
            reference["namespace"] = where
        event: Object = {
            "metadata": {"name": key},
            "involvedObject": {**reference, "resourceVersion": resource_version(about)},
            "reason": reason,
            "message": message,
            "type": type_,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.create(event_kind, where, event)
        except AlreadyExists:
            await self._count(key, where, again)
        except ApiError:
            return

    async def _count(self, key: str, where: str, change: Callable[[Object], Object]) -> None:
        try:
            await self._api.update(self._api.registry.of(EVENTS), where, key, change)
        except ApiError:
            return


async def expire(api: Api) -> None:
    """Removes events that are too old or too many."""
    kind = api.registry.of(EVENTS)
    entries = sorted(api.store.entries(kind.key), key=_last)
    limit = time.time() - LIFETIME
    surplus = len(entries) - MOST
    for place, entry in enumerate(entries):
        if _last(entry) >= limit and place >= surplus:
            return
        try:
            await api.delete(kind, namespace(entry.obj), name(entry.obj))
        except NotFound:
            continue


def _last(entry: Entry) -> float:
    obj = entry.obj
    for text in (obj.get("lastTimestamp"), obj.get("eventTime"), obj["metadata"].get("creationTimestamp")):
        try:
            return parse_timestamp(text or "")
        except ValueError:
            continue
    return 0.0
