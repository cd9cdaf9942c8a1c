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
from kube.status import AlreadyExists, ApiError, Conflict, NotFound

log = logging.getLogger(__name__)

FLUSH_EVERY: Final = 2.0
"""Seconds between two batches of version writes."""
WRITERS: Final = 8
MAKERS: Final = 32
"""Records in the making at the same time, for all nodes together: a hundred nodes that get pods at once must not ask for more
than the API server can answer in time, or all are late, and all ask again."""
DEADLINE: Final = 10.0
"""Seconds for one call."""

_Key = tuple[str, Path, str]
"""Node, path of the object, uid of the object."""
_WORDS: Final = {kind: word for word, (_, kind) in KINDS.items()}


@dataclass
class _Entry:
    version: str
    stored: str | None = None
    """The version in the API, "" when none is written there; None: the record is not there yet."""
    revision: str = ""
    """The resourceVersion of the record when we last heard of it: what we write must follow it, nothing else."""
    losses: int = 0
    """How often somebody else removed the record. The news of it may overtake the answer to a call of ours."""
    gone: bool = False
    """The node does not have the object any more; the record is to be removed, or its removal is to be heard of."""
    homeless: bool = False
    """Its namespace is being removed, or gone: no record can be made there."""

    def written(self, record: Object, losses: int) -> None:
        """A call that began when ``losses`` was as given has stored this."""
        if self.losses == losses:
            self.seen(record)

    def seen(self, record: Object) -> None:
        if objects.is_older(objects.resource_version(record), self.revision):
            return
        found = objects.status(record).get("objectResourceVersion")
        self.stored = found if isinstance(found, str) else ""
        self.revision = objects.resource_version(record)


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
    """The records of all nodes. Reads are from memory; every write is a call that others do not wait for.

    Several cloudcores may follow the same records. Only the one that holds a node's connection (``hold``) writes those of that
    node, each time on top of the version that it has seen; the others have what the API says.
    """

    def __init__(self, client: Client, *, on_foreign_change: Callable[[str, Path], None] = lambda node, path: None) -> None:
        """on_foreign_change(node, path): what is recorded of a node that is held here is not what this process wrote."""
        self._client = client
        self._nodes: dict[str, dict[Path, dict[str, _Entry]]] = defaultdict(dict)
        self._dirty: dict[_Key, None] = {}
        self._held: set[str] = set()
        self._writing: dict[_Key, trio.Event] = {}
        self._on_foreign_change = on_foreign_change
        self._durable = True
        self._failed = False
        self._in_trouble = False
        self._makers = trio.CapacityLimiter(MAKERS)
        self.synced = trio.Event()

    def of(self, node: str, path: Path) -> dict[str, Recorded]:
        """By uid: what ``node`` has under ``path``."""
        found = self._nodes.get(node, {}).get(path, {})
        return {uid: Recorded(uid, entry.version) for uid, entry in found.items() if not entry.gone}

    def holds(self, node: str, path: Path, uid: str) -> bool:
        """Whether an object may be sent: its record is in the API (or nothing is, because the API has no such records)."""
        entry = self._entry(node, path, uid)
        return entry is not None and not entry.gone and (entry.stored is not None or self._unwritten(entry))

    def doubted(self, node: str, path: Path, uid: str) -> bool:
        """Whether the record says in the API that it is not known whether the node has the object."""
        entry = self._entry(node, path, uid)
        return entry is not None and entry.version == UNSENT and (entry.stored in ("", UNSENT) or self._unwritten(entry))

    def _unwritten(self, entry: _Entry) -> bool:
        return entry.homeless or not self._durable

    def _entry(self, node: str, path: Path, uid: str) -> _Entry | None:
        return self._nodes.get(node, {}).get(path, {}).get(uid)

    def _make(self, node: str, path: Path, uid: str) -> _Entry:
        return self._nodes[node].setdefault(path, {}).setdefault(uid, _Entry(UNSENT))

    def paths(self, node: str) -> set[Path]:
        found = self._nodes.get(node, {})
        return {path for path, entries in found.items() if any(not entry.gone for entry in entries.values())}

    def nodes(self) -> set[str]:
        return {node for node in self._nodes if self.paths(node)}

    def hold(self, node: str) -> None:
        """The records of this node are ours to write from now on."""
        self._held.add(node)

    def release(self, node: str) -> None:
        """They are another one's: what it and the API say counts, what was to be written is not."""
        self._held.discard(node)
        self._dirty = {key: None for key in self._dirty if key[0] != node}
        if not self._durable:
            return
        for path, entries in list(self._nodes.get(node, {}).items()):
            for uid, entry in list(entries.items()):
                if entry.stored is None:
                    self._drop(node, path, uid)
                else:
                    entry.gone, entry.version = False, entry.stored or UNSENT

    def _writes(self, node: str) -> bool:
        return node in self._held or not self._durable

    async def ensure(self, node: str, path: Path, uid: str) -> None:
        """Makes sure that a record exists before its object leaves. Raises ApiError, trio.TooSlowError."""
        entry = self._make(node, path, uid)
        if entry.gone:
            # It may be removed at this moment: should that come after our call, it is heard of and the record made again.
            entry.gone, entry.stored, entry.version = False, None, UNSENT
        if entry.stored is not None or self._unwritten(entry):
            return
        async with self._makers:
            with trio.fail_after(DEADLINE):
                await self._record(node, path, uid, entry)

    async def _record(self, node: str, path: Path, uid: str, entry: _Entry) -> None:
        losses = entry.losses
        try:
            record = await self._client.create(_kind(path), new_record(node, path, uid), namespace=_space(path))
        except AlreadyExists:
            record = await self._client.get(_kind(path), f"{node}.{uid}", namespace=_space(path))
        except ApiError as error:
            if not _without_namespace(error):
                raise
            entry.homeless = True
            return
        # The status block of a create request is ignored (it is a subresource): "0" is written with the next batch,
        # unless the acknowledgement overtakes it.
        entry.written(record, losses)
        self._dirty[node, path, uid] = None

    async def doubt(self, node: str, path: Path, uid: str) -> None:
        """The node is about to be told to forget the object. Should its answer be lost, nobody may believe that it still has it:
        the object may be wanted again. Raises ApiError, trio.TooSlowError."""
        await self.ensure(node, path, uid)
        self._make(node, path, uid).version = UNSENT
        self._changed_here(node, path, uid)
        await self.settle(node, path)

    def acknowledged(self, node: str, path: Path, uid: str, version: str) -> None:
        """The node has this version on its disk; whatever else it had under the same path is replaced."""
        if not self._writes(node):
            return
        for other in [one for one in self._nodes[node].setdefault(path, {}) if one != uid]:
            self.removed(node, path, other)
        entry = self._make(node, path, uid)
        entry.version, entry.gone = version or UNSENT, False
        self._changed_here(node, path, uid)

    def _changed_here(self, node: str, path: Path, uid: str) -> None:
        """To be written with the next batch. Without records in the API there is none, and nothing may collect."""
        if self._durable:
            self._dirty[node, path, uid] = None

    def removed(self, node: str, path: Path, uid: str) -> None:
        """The node does not have the object any more."""
        entry = self._entry(node, path, uid)
        if entry is None or not self._writes(node):
            return
        if self._unwritten(entry):
            self._drop(node, path, uid)
        elif not entry.gone:
            entry.gone = True
            self._changed_here(node, path, uid)

    def _drop(self, node: str, path: Path, uid: str) -> None:
        self._dirty.pop((node, path, uid), None)
        paths = self._nodes.get(node, {})
        entries = paths.get(path, {})
        entries.pop(uid, None)
        if not entries:
            paths.pop(path, None)
        if not paths:
            self._nodes.pop(node, None)

    def distrust(self, node: str) -> None:
        """The node may have lost what it had: everything counts as never acknowledged. What has to be deleted stays known."""
        for path, entries in self._nodes.get(node, {}).items():
            for uid, entry in entries.items():
                if not entry.gone:
                    entry.version = UNSENT
                    self._changed_here(node, path, uid)

    async def forget(self, node: str) -> None:
        """Removes every record of a node that will not come back. Raises ApiError, trio.TooSlowError."""
        self.release(node)
        for path, entries in list(self._nodes.get(node, {}).items()):
            for uid, entry in list(entries.items()):
                if not self._durable:
                    self._drop(node, path, uid)
                    continue
                with trio.fail_after(DEADLINE):
                    await self._delete(node, path, uid, entry.revision)

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
                    await self._client.request("GET", OBJECT_SYNCS.path(), query={"limit": "1"})  # a list would turn all pages
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
        if parsed is None or record is None:
            return
        node, path, recorded = parsed
        if new is None:
            self._vanished(node, path, recorded.uid)
            return
        key = node, path, recorded.uid
        known = self._entry(*key)
        entry = self._make(*key)
        entry.seen(record)
        if known is not None and node in self._held and (entry.gone or key in self._dirty):
            return
        said = entry.stored or UNSENT
        if known is None or entry.version != said:
            entry.version = said
            if node in self._held:
                self._on_foreign_change(node, path)

    def _vanished(self, node: str, path: Path, uid: str) -> None:
        """A record is not there any more. If the node is ours and we did not remove it, nobody knows whether the node still has
        the object: the record is made again, as of an object that was never acknowledged."""
        entry = self._entry(node, path, uid)
        if entry is None:
            return
        if entry.gone or node not in self._held:
            self._drop(node, path, uid)
            return
        entry.stored, entry.revision, entry.version = None, "", UNSENT
        entry.losses += 1
        self._dirty[node, path, uid] = None
        self._on_foreign_change(node, path)

    async def settle(self, node: str, path: Path | None = None) -> None:
        """Returns when what is to be written of this node (under this path) is in the API.

        Raises ApiError, trio.TooSlowError: some of it is not, and will be tried again.
        """
        for key in [key for key in self._dirty if key[0] == node and path in (None, key[1])]:
            with trio.fail_after(DEADLINE):
                await self._write_one(*key)

    async def flush(self) -> None:
        """Writes what has changed since the last time. A call that fails is repeated with the next batch."""
        if not self._durable:
            return
        work = list(self._dirty)
        self._failed = False
        limit = trio.CapacityLimiter(WRITERS)
        async with trio.open_nursery() as nursery:
            for key in work:
                nursery.start_soon(self._write, limit, *key)
        self._in_trouble = self._failed or (self._in_trouble and not work)

    async def _write(self, limit: trio.CapacityLimiter, node: str, path: Path, uid: str) -> None:
        async with limit:
            try:
                with trio.fail_after(DEADLINE):
                    await self._write_one(node, path, uid)
            except (Conflict, NotFound) as error:
                log.debug("record %s.%s of %s is written when its newest state is known: %s", node, uid, path, error)
            except (ApiError, trio.TooSlowError) as error:
                why = error if str(error) else f"no answer within {DEADLINE:.0f} s"
                told = self._failed or self._in_trouble
                log.log(
                    logging.DEBUG if told else logging.WARNING, "record %s.%s of %s is written later: %s", node, uid, path, why
                )
                self._failed = True

    async def _write_one(self, node: str, path: Path, uid: str) -> None:
        """One writer of one record at a time: two would be in each other's way."""
        key = node, path, uid
        while (busy := self._writing.get(key)) is not None:
            await busy.wait()
        done = self._writing[key] = trio.Event()
        try:
            await self._bring(node, path, uid)
        finally:
            del self._writing[key]
            done.set()

    async def _bring(self, node: str, path: Path, uid: str) -> None:
        """Brings one record into the state that it should have. It counts as dirty until that is done."""
        key = node, path, uid
        entry = self._entry(*key)
        if entry is None or not self._writes(node):
            self._dirty.pop(key, None)
            return
        if entry.gone:
            # The entry stays until the watch says so: older news of it may still be on the way.
            if await self._delete(node, path, uid, entry.revision):
                self._dirty.pop(key, None)
            return
        if entry.stored is None:
            await self.ensure(node, path, uid)
        version, losses = entry.version, entry.losses
        if entry.stored != version and not self._unwritten(entry):
            patch = {"metadata": {"resourceVersion": entry.revision}, "status": {"objectResourceVersion": version}}
            space = _space(path)
            try:
                record = await self._client.patch(
                    _kind(path), f"{node}.{uid}", patch, namespace=space, kind="merge", subresource="status"
                )
            except NotFound:
                entry.stored, entry.revision = None, ""
                raise
            entry.written(record, losses)
        if entry.version == version and not entry.gone and (entry.stored == version or self._unwritten(entry)):
            self._dirty.pop(key, None)

    async def _delete(self, node: str, path: Path, uid: str, revision: str) -> bool:
        """False: it has changed since we saw it. Raises ApiError."""
        try:
            await self._client.delete(
                _kind(path), f"{node}.{uid}", namespace=_space(path), grace_seconds=0, resource_version=revision
            )
        except NotFound:
            self._drop(node, path, uid)
        except Conflict:
            return False
        return True


def _kind(path: Path) -> Resource:
    return OBJECT_SYNCS if path.namespace != CLUSTER else CLUSTER_OBJECT_SYNCS


def _space(path: Path) -> str:
    return "" if path.namespace == CLUSTER else path.namespace


def _without_namespace(error: ApiError) -> bool:
    """Whether a record cannot be made because its namespace goes or is gone.

    Kubernetes: plugin/pkg/admission/namespace/lifecycle.
    """
    return isinstance(error, NotFound) or (error.code == 403 and "because it is being terminated" in error.message)
