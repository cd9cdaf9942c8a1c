"""What every node is known to have: ObjectSync and ClusterObjectSync records, kept through the Kubernetes API.

They make the deletion of an object correct although the node was away and cloudcore was restarted meanwhile, and they are the
ones of KubeEdge 1.23 (staging/src/github.com/kubeedge/api/apis/reliablesyncs/v1alpha1/type.go), so that its cloudcore can take
over. A record is made *before* its object is sent for the first time; its version follows the acknowledgements in batches. A
version that is too low costs one more transfer, never correctness.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.resource import Resource as Path
from beehive.supervise import supervise
from cloudcore.edgecontroller.compare import KINDS, UNSENT, Recorded
from cloudcore.edgecontroller.location import CLUSTER
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.reflector import Reflector
from kube.resources import CLUSTER_OBJECT_SYNCS, OBJECT_SYNCS, Resource
from kube.status import ApiError, NotFound

log = logging.getLogger(__name__)

FLUSH_EVERY: Final = 2.0
"""Seconds between two batches of version writes."""
WRITERS: Final = 8
MAKERS: Final = 32
"""Records in the making at the same time, for all nodes together: a hundred nodes that get pods at once must not ask for more
than the API server can answer in time, or all are late, and all ask again."""
DEADLINE: Final = 10.0
"""Seconds for one call."""

_WORDS: Final = {kind: word for word, (_, kind) in KINDS.items()}


@dataclass
class _Entry:
    version: str
    stored: str | None = None
    """The version in the API; None: the record is not there yet."""
    losses: int = 0
    """How often somebody else removed the record. The news of it may overtake the answer to a call of ours."""

    def written(self, version: str, losses: int) -> None:
        """A call that began when ``losses`` was as given has stored this version."""
        if self.losses == losses:
            self.stored = version


def parse_record(record: Object) -> tuple[str, Path, Recorded] | None:
    """(node, path, what it has) of one ObjectSync. None for a kind that is not ours to keep, or a broken record."""
    node, _, uid = objects.name(record).rpartition(".")
    spec = objects.spec(record)
    word = _WORDS.get(str(spec.get("objectKind")))
    name = spec.get("objectName")
    if not node or not uid or word is None or spec.get("objectAPIVersion") != "v1" or not isinstance(name, str) or not name:
        return None
    version = objects.status(record).get("objectResourceVersion")
    path = Path(objects.namespace(record) or CLUSTER, word, name)
    return node, path, Recorded(uid, version if isinstance(version, str) and version else UNSENT)


def new_record(node: str, path: Path, uid: str) -> Object:
    api_version, kind = KINDS[path.type]
    meta: Object = {"name": f"{node}.{uid}"}
    if path.namespace != CLUSTER:
        meta["namespace"] = path.namespace
    return {
        "apiVersion": _kind(path).api_version,
        "kind": _kind(path).kind,
        "metadata": meta,
        "spec": {"objectAPIVersion": api_version, "objectKind": kind, "objectName": path.name},
    }


class Records:
    """The records of all nodes. Reads are from memory; every write is a call that others do not wait for."""

    def __init__(self, client: Client, *, on_foreign_change: Callable[[str, Path], None] = lambda node, path: None) -> None:
        self._client = client
        self._nodes: dict[str, dict[Path, dict[str, _Entry]]] = defaultdict(dict)
        self._dirty: dict[tuple[str, Path, str], None] = {}
        self._writing: set[tuple[str, Path, str]] = set()
        self._removing: set[tuple[str, str]] = set()
        self._on_foreign_change = on_foreign_change
        self._durable = True
        self._failed = False
        self._in_trouble = False
        self._makers = trio.CapacityLimiter(MAKERS)
        self.synced = trio.Event()

    def of(self, node: str, path: Path) -> dict[str, Recorded]:
        """By uid: what ``node`` has under ``path``."""
        found = self._nodes.get(node, {}).get(path, {})
        return {uid: Recorded(uid, entry.version) for uid, entry in found.items()}

    def holds(self, node: str, path: Path, uid: str) -> bool:
        """Whether an object may be sent: its record is in the API (or nothing is, because the API has no such records)."""
        entry = self._nodes.get(node, {}).get(path, {}).get(uid)
        return entry is not None and (entry.stored is not None or not self._durable)

    def paths(self, node: str) -> set[Path]:
        return set(self._nodes.get(node, ()))

    def nodes(self) -> set[str]:
        return {node for node, paths in self._nodes.items() if paths}

    async def ensure(self, node: str, path: Path, uid: str) -> None:
        """Makes sure that a record exists before its object leaves. Raises ApiError, trio.TooSlowError."""
        entry = self._nodes[node].setdefault(path, {}).setdefault(uid, _Entry(UNSENT))
        self._removing.discard((node, uid))
        if entry.stored is not None or not self._durable:
            return
        async with self._makers:
            with trio.fail_after(DEADLINE):
                await self._make(node, path, uid, entry)

    async def _make(self, node: str, path: Path, uid: str, entry: _Entry) -> None:
        losses = entry.losses
        try:
            await self._client.create(_kind(path), new_record(node, path, uid), namespace=_space(path))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        # The status block of a create request is ignored (it is a subresource): "0" is written with the next batch,
        # unless the acknowledgement overtakes it.
        entry.written("", losses)
        self._dirty[node, path, uid] = None

    def acknowledged(self, node: str, path: Path, uid: str, version: str) -> None:
        """The node has this version on its disk; whatever else it had under the same path is replaced."""
        entries = self._nodes[node].setdefault(path, {})
        for other in [one for one in entries if one != uid]:
            self.removed(node, path, other)
        entry = self._nodes[node].setdefault(path, {}).setdefault(uid, _Entry(UNSENT))
        entry.version = version or UNSENT
        self._changed_here(node, path, uid)

    def _changed_here(self, node: str, path: Path, uid: str) -> None:
        """To be written with the next batch. Without records in the API there is none, and nothing may collect."""
        if self._durable:
            self._dirty[node, path, uid] = None

    def removed(self, node: str, path: Path, uid: str) -> None:
        """The node does not have the object any more."""
        paths = self._nodes.get(node, {})
        entries = paths.get(path, {})
        if entries.pop(uid, None) is not None and self._durable:
            self._removing.add((node, uid))
            self._changed_here(node, path, uid)
        if not entries:
            paths.pop(path, None)
        if not paths:
            self._nodes.pop(node, None)

    def distrust(self, node: str) -> None:
        """The node may have lost what it had: everything counts as never acknowledged. What has to be deleted stays known."""
        for path, entries in self._nodes.get(node, {}).items():
            for uid, entry in entries.items():
                entry.version = UNSENT
                self._changed_here(node, path, uid)

    def forget(self, node: str) -> None:
        """Removes every record of a node that will not come back."""
        for path, entries in list(self._nodes.get(node, {}).items()):
            for uid in list(entries):
                self.removed(node, path, uid)

    async def run(self) -> None:
        """Follows the records in the API and writes ours, until cancelled."""
        if not await self._served():
            self._durable = False
            self.synced.set()
            await trio.sleep_forever()
        reflectors = [Reflector(self._client, one, on_change=self._changed) for one in (OBJECT_SYNCS, CLUSTER_OBJECT_SYNCS)]
        async with trio.open_nursery() as nursery:
            for reflector in reflectors:
                nursery.start_soon(supervise, f"watch of {reflector.resource.plural}", reflector.run)
            for reflector in reflectors:
                await reflector.synced.wait()
            self.synced.set()
            while True:
                await trio.sleep(FLUSH_EVERY)
                await self.flush()

    async def _served(self) -> bool:
        """Whether the API has such records; asks until it gets an answer."""
        delays = Backoff(first=0.5, limit=15.0)
        while True:
            try:
                with trio.fail_after(DEADLINE):
                    await self._client.request("GET", OBJECT_SYNCS.path(), query={"limit": "1"})
                return True
            except (ApiError, trio.TooSlowError) as error:
                if isinstance(error, NotFound):
                    break
                delay = delays.next()
                why = error if str(error) else f"no answer within {DEADLINE:.0f} s"
                log.warning("what nodes have cannot be read: %s; next attempt in %.1f s", why, delay)
                await trio.sleep(delay)
        log.warning(
            "this Kubernetes API has no %s: what nodes have is remembered in memory only, so an object that is deleted "
            "while its node is offline and cloudcore restarts stays on the node; apply those of cloudcore/crds "
            "and restart cloudcore",
            OBJECT_SYNCS.qualified,
        )
        return False

    def _changed(self, old: Object | None, new: Object | None) -> None:
        record = new if new is not None else old
        parsed = parse_record(record) if record is not None else None
        if parsed is None:
            return
        node, path, recorded = parsed
        if new is None:
            self._removing.discard((node, recorded.uid))
            self._vanished(node, path, recorded.uid)
            return
        if (node, recorded.uid) in self._removing:
            return
        entries = self._nodes[node].setdefault(path, {})
        entry = entries.setdefault(recorded.uid, _Entry(recorded.version))
        entry.stored = recorded.version
        # What is on its way to the API is newer than what comes from there.
        key = (node, path, recorded.uid)
        ours = key in self._dirty or key in self._writing
        if not ours and entry.version != recorded.version:
            entry.version = recorded.version
            self._on_foreign_change(node, path)

    def _vanished(self, node: str, path: Path, uid: str) -> None:
        """Somebody else removed a record: the node still has the object, so the record is made again."""
        entry = self._nodes.get(node, {}).get(path, {}).get(uid)
        if entry is not None:
            entry.stored = None
            entry.losses += 1
            self._dirty[node, path, uid] = None

    async def flush(self) -> None:
        """Writes what has changed since the last time. A call that fails is repeated with the next batch."""
        work, self._dirty = list(self._dirty), {}
        if not self._durable:
            return
        self._failed = False
        limit = trio.CapacityLimiter(WRITERS)
        self._writing = set(work)
        async with trio.open_nursery() as nursery:
            for key in work:
                nursery.start_soon(self._write, limit, *key)
        self._in_trouble = self._failed or (self._in_trouble and not work)

    async def _write(self, limit: trio.CapacityLimiter, node: str, path: Path, uid: str) -> None:
        async with limit:
            try:
                with trio.fail_after(DEADLINE):
                    await self._write_one(node, path, uid)
            except (ApiError, trio.TooSlowError) as error:
                why = error if str(error) else f"no answer within {DEADLINE:.0f} s"
                told = self._failed or self._in_trouble
                log.log(
                    logging.DEBUG if told else logging.WARNING, "record %s.%s of %s is written later: %s", node, uid, path, why
                )
                self._failed = True
                self._dirty[node, path, uid] = None
            finally:
                self._writing.discard((node, path, uid))

    async def _write_one(self, node: str, path: Path, uid: str) -> None:
        entry = self._nodes.get(node, {}).get(path, {}).get(uid)
        name, space = f"{node}.{uid}", _space(path)
        if entry is None:
            # It stays in _removing until the watch says so: older news of it may still be on the way.
            try:
                await self._client.delete(_kind(path), name, namespace=space, grace_seconds=0)
            except ApiError as error:
                if error.code != 404:
                    raise
                self._removing.discard((node, uid))
            return
        if entry.stored is None:
            await self.ensure(node, path, uid)
        version, losses = entry.version, entry.losses
        if entry.stored == version:
            return
        patch = {"status": {"objectResourceVersion": version}}
        try:
            await self._client.patch(_kind(path), name, patch, namespace=space, kind="merge", subresource="status")
            entry.written(version, losses)
        except ApiError as error:
            if error.code != 404:
                raise
            entry.stored = None
            self._dirty[node, path, uid] = None


def _kind(path: Path) -> Resource:
    return OBJECT_SYNCS if path.namespace != CLUSTER else CLUSTER_OBJECT_SYNCS


def _space(path: Path) -> str:
    return "" if path.namespace == CLUSTER else path.namespace
