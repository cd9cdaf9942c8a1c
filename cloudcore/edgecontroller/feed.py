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
from cloudcore.edgecontroller.location import CLUSTER, CONFIG_MAP, NODE, POD, SECRET
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


async def _no_greeting(node: str) -> None:
    """Nothing is done when a node connects."""


class Feed:
    """What one connected node has still to be told. It lives as long as the session."""

    def __init__(
        self, node: str, cluster: Cluster, records: Records, put: Put, greet: Callable[[str], Awaitable[None]] = _no_greeting
    ) -> None:
        """greet(node) is awaited beside the comparison when the feed begins to run."""
        self._greet = greet
        self.node = node
        self._cluster = cluster
        self._records = records
        self._put = put
        self._look: KeyedQueue[Path, Object | None] = KeyedQueue()
        self._sent: dict[Path, tuple[str, bytes]] = {}
        self._confirmed: dict[Path, tuple[str, bytes]] = {}
        self.again()

    def look(self, path: Path, last: Object | None = None) -> None:
        """Compare this object again."""
        self._look.put(path, last if last is not None else self._look.peek(path))

    def again(self) -> None:
        """Compare everything, trusting nothing that this session has sent."""
        self._sent.clear()
        self._confirmed.clear()
        for path in sorted(self._cluster.paths(self.node) | self._records.paths(self.node), key=_order):
            self.look(path)

    async def run(self) -> None:
        """Compares and sends until cancelled. A slow API call holds up its own object only."""
        limit = trio.CapacityLimiter(RECORDING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._greet, self.node)
            while True:
                path, last = await self._look.get()
                decision = self._decide(path, last)
                if decision is None:
                    self._look.done(path)
                elif self._records.holds(self.node, path, decision.uid):
                    self._send(path, decision)
                    self._look.done(path)
                else:
                    nursery.start_soon(self._record_and_send, limit, path)

    def _decide(self, path: Path, last: Object | None) -> Decision | None:
        wanted = self._cluster.wanted(self.node, path)
        if path.type != NODE and wanted is not None and not is_edge(self._cluster.get(Path(CLUSTER, NODE, self.node))):
            return None
        recorded = self._records.of(self.node, path)
        decision = compare.decide(path, wanted, recorded, self._sent.get(path), last)
        if decision is None and wanted is not None and path not in self._sent:
            # The node has exactly this version: from here on only what differs from it in substance is sent.
            self._sent[path] = self._confirmed[path] = (objects.uid(wanted), compare.fingerprint(path.type, wanted))
        if decision is None and wanted is not None and path.type == POD:
            self._follow(path, wanted, recorded)
        return decision

    def _follow(self, path: Path, pod: Object, recorded: dict[str, Recorded]) -> None:
        """A pod of which only the status has changed counts as known in its new version, or every reconnection would bring all
        pods again."""
        uid, version = objects.uid(pod), objects.resource_version(pod)
        known = recorded.get(uid)
        if known is None or known.version == version or self._confirmed.get(path) != self._sent.get(path):
            return
        self._records.acknowledged(self.node, path, uid, version)

    async def _record_and_send(self, limit: trio.CapacityLimiter, path: Path) -> None:
        """The record first, then the message; by then the object may have changed or gone, so it is decided again."""
        delays = Backoff(first=0.5, limit=15.0)
        try:
            while (decision := self._decide(path, None)) is not None:
                try:
                    async with limit:
                        await self._records.ensure(self.node, path, decision.uid)
                except (ApiError, trio.TooSlowError) as error:
                    delay, why = delays.next(), str(error) or f"no answer within {DEADLINE:.0f} s"
                    log.warning("node %s: %s waits %.1f s for its record: %s", self.node, path, delay, why)
                    await trio.sleep(delay)
                    continue
                # Decided again, since it was an await: with the record made, this is the newest truth.
                if (decision := self._decide(path, None)) is not None and self._records.holds(self.node, path, decision.uid):
                    self._send(path, decision)
                    return
        finally:
            self._look.done(path)

    def _send(self, path: Path, decision: Decision) -> None:
        self._sent[path] = (decision.uid, decision.fingerprint)
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
