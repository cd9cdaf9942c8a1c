"""One connected node: what it has still to be told.

What is sent follows from ``compare.decide`` alone; a change only says "look again at this object". A node that connects is looked
at as a whole, at once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from beehive.backoff import Backoff
from beehive.keyedqueue import KeyedQueue
from beehive.message import Message, Operation, build
from beehive.resource import Resource as Path
from cloudcore.edgecontroller import compare
from cloudcore.edgecontroller.cluster import Cluster, is_edge
from cloudcore.edgecontroller.compare import Decision, Recorded
from cloudcore.edgecontroller.location import CLUSTER, CONFIG_MAP, NODE, SECRET
from cloudcore.edgecontroller.records import DEADLINE, Records
from kube import objects
from kube.objects import Object
from kube.status import ApiError

log = logging.getLogger(__name__)

SOURCE: Final = "edgecontroller"
GROUP: Final = "resource"
RECORDING: Final = 8
"""Records that may be in the making for one node at the same time."""


class Put(Protocol):
    """How a feed hands a message to its session: newest per key wins; ``note`` comes back with the acknowledgement."""

    def __call__(self, key: str, message: Message, note: Note) -> None: ...


class Note:
    """What a message was about."""

    __slots__ = ("decision", "path")

    def __init__(self, path: Path, decision: Decision) -> None:
        self.path = path
        self.decision = decision


async def _nothing_first(feed: Feed) -> None:
    """Nothing has to be done before a node is compared."""


async def _no_greeting(node: str) -> None:
    """Nothing is done beside the comparison."""


class Feed:
    """What one connected node has still to be told. It lives as long as the session."""

    def __init__(
        self,
        node: str,
        cluster: Cluster,
        records: Records,
        put: Put,
        *,
        certificate: str = "",
        begin: Callable[[Feed], Awaitable[None]] = _nothing_first,
        greet: Callable[[str], Awaitable[None]] = _no_greeting,
    ) -> None:
        """begin(feed) is awaited before anything is compared: until then it is not known what is true of the node. greet(node) is
        awaited beside the comparison. certificate: hex SHA-256 of the one with which the node is connected."""
        self.node = node
        self.certificate = certificate
        self.claimed = False
        """Whether this session has made the node ours; what was lost before that was an older session's."""
        self.begun = trio.Event()
        self._begin, self._greet = begin, greet
        self._cluster = cluster
        self._records = records
        self._put = put
        self._look: KeyedQueue[Path, Object | None] = KeyedQueue()
        self._sent: dict[Path, tuple[str, bytes]] = {}
        self._confirmed: dict[Path, tuple[str, bytes]] = {}
        self._over = trio.Event()
        self._reason = ""

    def look(self, path: Path, last: Object | None = None) -> None:
        """Compare this object again."""
        self._look.put(path, last if last is not None else self._look.peek(path))

    def doubt(self, path: Path) -> None:
        """Compare this object again, trusting the records more than what this session has sent."""
        self._sent.pop(path, None)
        self._confirmed.pop(path, None)
        self.look(path)

    def again(self) -> None:
        """Compare everything, trusting nothing that this session has sent."""
        self._sent.clear()
        self._confirmed.clear()
        for path in sorted(self._cluster.paths(self.node) | self._records.paths(self.node), key=_order):
            self.look(path)

    def end(self, reason: str) -> None:
        """The node is not to be fed from here any more; ``run`` returns the reason."""
        self._reason = reason
        self._over.set()

    async def run(self) -> str:
        """Compares and sends until ``end``; returns why it ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve)
            await self._over.wait()
            nursery.cancel_scope.cancel()
        return self._reason

    async def _serve(self) -> None:
        """A slow API call holds up its own object only."""
        await self._begin(self)
        self.begun.set()
        self.again()
        limit = trio.CapacityLimiter(RECORDING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._greet, self.node)
            while True:
                path, last = await self._look.get()
                decision = self._decide(path, last)
                if decision is None:
                    self._look.done(path)
                elif self._is_recorded(path, decision):
                    self._send(path, decision)
                    self._look.done(path)
                else:
                    nursery.start_soon(self._record_and_send, limit, path, last)

    def _is_recorded(self, path: Path, decision: Decision) -> bool:
        """Whether the records say what they must before it leaves."""
        if _may_return(path, decision):
            return self._records.doubted(self.node, path, decision.uid)
        return self._records.holds(self.node, path, decision.uid) and not self._is_behind(path, decision)

    def _is_behind(self, path: Path, decision: Decision) -> bool:
        """Whether the node is recorded to have a newer version than the one that would be sent."""
        known = self._records.of(self.node, path).get(decision.uid)
        sends = decision.operation != Operation.DELETE
        return sends and known is not None and objects.is_older(decision.version, known.version)

    def _decide(self, path: Path, last: Object | None) -> Decision | None:
        wanted = self._cluster.wanted(self.node, path)
        if path.type != NODE and wanted is not None and not is_edge(self._cluster.get(Path(CLUSTER, NODE, self.node))):
            return None
        recorded = self._records.of(self.node, path)
        decision = compare.decide(path, wanted, recorded, self._sent.get(path), last)
        known = recorded.get(objects.uid(wanted)) if wanted is not None else None
        has = known is not None and wanted is not None and known.version == objects.resource_version(wanted)
        if decision is None and wanted is not None and has and path not in self._sent:
            # The node has exactly this version: from here on only what differs from it in substance is sent.
            self._sent[path] = self._confirmed[path] = (objects.uid(wanted), compare.fingerprint(path.type, wanted))
        if decision is None and wanted is not None and path.type != NODE:
            self._follow(path, wanted, recorded)
        return decision

    def _follow(self, path: Path, wanted: Object, recorded: dict[str, Recorded]) -> None:
        """A pod of which only the status has changed counts as known in its new version, or every reconnection would bring all
        pods again. So does what was to be removed, and is wanted again before the node heard of that: the record says already
        that nobody knows whether the node has it."""
        uid, version = objects.uid(wanted), objects.resource_version(wanted)
        known = recorded.get(uid)
        if known is None or known.version == version or self._confirmed.get(path) != self._sent.get(path):
            return
        self._records.acknowledged(self.node, path, uid, version)

    async def _record_and_send(self, limit: trio.CapacityLimiter, path: Path, last: Object | None) -> None:
        """The record first, then the message; by then the object may have changed or gone, so it is decided again."""
        delays, level = Backoff(first=0.5, limit=15.0), logging.WARNING
        try:
            while (decision := self._decide(path, last)) is not None:
                try:
                    async with limit:
                        sure = await self._record(path, decision, last)
                except (ApiError, trio.TooSlowError) as error:
                    delay, why = delays.next(), str(error) or f"no answer within {DEADLINE:.0f} s"
                    log.log(level, "node %s: %s waits %.1f s for its record: %s", self.node, path, delay, why)
                    level = logging.DEBUG
                    await trio.sleep(delay)
                    continue
                # Decided again, since it was an await: with the record made, this is the newest truth.
                if sure and (decision := self._decide(path, last)) is not None and self._is_recorded(path, decision):
                    self._send(path, decision)
                    return
                if not sure:
                    await trio.sleep(delays.next())
        finally:
            self._look.done(path)

    async def _record(self, path: Path, decision: Decision, last: Object | None) -> bool:
        """Writes what the records must say before the message leaves. False: it is not to be sent yet, since another cloudcore
        has heard what did not come here yet."""
        behind = self._is_behind(path, decision)
        if not behind and not _may_return(path, decision):
            await self._records.ensure(self.node, path, decision.uid)
            return True
        if behind:
            found = await self._cluster.at_this_moment(path)
            if found is None or objects.resource_version(found) != decision.version:
                return False  # else versions have gone back: the cluster was restored
        elif last is None and self._cluster.location.holds(self.node, path):
            found = await self._cluster.at_this_moment(path)
            if found is not None and objects.uid(found) == decision.uid:
                return False
        await self._records.doubt(self.node, path, decision.uid)
        return True

    def _send(self, path: Path, decision: Decision) -> None:
        self._sent[path] = (decision.uid, decision.fingerprint)
        self._confirmed.pop(path, None)
        message = build(
            source=SOURCE,
            group=GROUP,
            operation=decision.operation,
            resource=str(path),
            content=decision.content,
            resource_version=decision.version,
        )
        self._put(str(path), message, Note(path, decision))

    def acknowledged(self, note: Note) -> None:
        """The node has it on its disk."""
        path, decision = note.path, note.decision
        current = self._sent.get(path) == (decision.uid, decision.fingerprint)
        self._confirmed[path] = (decision.uid, decision.fingerprint)
        if decision.operation != Operation.DELETE:
            self._records.acknowledged(self.node, path, decision.uid, decision.version)
        elif current or self._sent.get(path, ("",))[0] != decision.uid:
            self._records.removed(self.node, path, decision.uid)
            if current:
                del self._sent[path]
            self._confirmed.pop(path, None)
        # else: the same object is wanted again and already on its way: its record stays.
        self._look.put(path, self._look.peek(path))


def _order(path: Path) -> tuple[int, Path]:
    """The node first, then what pods refer to, then pods: a pod that arrives finds its ConfigMaps there."""
    return {NODE: 0, CONFIG_MAP: 1, SECRET: 1}.get(path.type, 2), path


def _may_return(path: Path, decision: Decision) -> bool:
    """Whether it is the deletion of something that may be wanted again as it is: no pod refers to it, for now."""
    return decision.operation == Operation.DELETE and path.type in (CONFIG_MAP, SECRET)
