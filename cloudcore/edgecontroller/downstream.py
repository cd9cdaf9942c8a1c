"""From the Kubernetes API down to the nodes: what changed, for whom, and what each node is to be told.

A change only says "look again at this object for this node"; what is sent follows from ``compare.decide``. A node that connects
is looked at as a whole, at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

import trio

from beehive.backoff import Backoff
from beehive.keyedqueue import KeyedQueue
from beehive.message import Message, Operation, build
from beehive.resource import Resource as Path
from cloudcore.edgecontroller import compare
from cloudcore.edgecontroller.compare import Decision
from cloudcore.edgecontroller.location import CLUSTER, CONFIG_MAP, NODE, POD, SECRET, Location, node_of
from cloudcore.edgecontroller.records import Records
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.reflector import Reflector
from kube.resources import CONFIG_MAPS, NODES, PODS, SECRETS
from kube.status import ApiError

log = logging.getLogger(__name__)

SOURCE: Final = "edgecontroller"
GROUP: Final = "resource"
EDGE_LABEL: Final = "node-role.kubernetes.io/edge"
RECORDING: Final = 8
"""Records that may be in the making for one node at the same time."""

WATCHED: Final = {POD: PODS, NODE: NODES, CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}


class Put(Protocol):
    """How a feed hands a message to its session: newest per key wins; ``note`` comes back with the acknowledgement."""

    def __call__(self, key: str, message: Message, note: Note) -> None: ...


class Note:
    """What a message was about."""

    __slots__ = ("decision", "path")

    def __init__(self, path: Path, decision: Decision) -> None:
        self.path = path
        self.decision = decision


def is_edge(node: Object | None) -> bool:
    """A node gets pods from here when it carries the label with an empty value (KubeEdge 1.23)."""
    return node is not None and objects.labels(node).get(EDGE_LABEL) == ""


class Cluster:
    """The objects of the cluster that matter to edges, in memory, and who needs which."""

    def __init__(self, client: Client, changed: Callable[[str, Path, Object | None], None]) -> None:
        """changed(node, path, last): look again; ``last`` is the newest version of an object that was just deleted."""
        self.location = Location()
        self._tell = changed
        self._reflectors = {
            type_: Reflector(client, resource, on_change=self._handler(type_)) for type_, resource in WATCHED.items()
        }

    def _handler(self, type_: str) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            some = new if new is not None else old
            if some is not None:
                self._changed(type_, compare.path_of(type_, some), old, new)

        return changed

    def _changed(self, type_: str, path: Path, old: Object | None, new: Object | None) -> None:
        last = old if new is None else None
        if type_ == POD:
            for node, touched in self.location.update(path, new):
                self._tell(node, touched, last if touched == path else None)
        elif type_ == NODE:
            self._tell(path.name, path, last)
            if is_edge(old) != is_edge(new):
                for touched in self.location.paths(path.name):
                    self._tell(path.name, touched, None)
        else:
            for node in self.location.nodes(path):
                self._tell(node, path, last)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lists and watches; reports started when everything has been listed once."""
        async with trio.open_nursery() as nursery:
            for reflector in self._reflectors.values():
                nursery.start_soon(reflector.run)
            for reflector in self._reflectors.values():
                await reflector.synced.wait()
            task_status.started()

    def get(self, path: Path) -> Object | None:
        """The object as last heard of."""
        space = "" if path.namespace == CLUSTER else path.namespace
        reflector = self._reflectors.get(path.type)
        return reflector.store.get((space, path.name)) if reflector else None

    def nodes(self) -> set[str]:
        return {name for _, name in self._reflectors[NODE].store}

    def wanted(self, node: str, path: Path) -> Object | None:
        """The object if ``node`` should have it."""
        obj = self.get(path)
        if obj is None or path.type == NODE:
            return obj if path.name == node else None
        if path.type == POD:
            return obj if node_of(obj) == node else None
        return obj if self.location.holds(node, path) else None

    def paths(self, node: str) -> set[Path]:
        """Everything that ``node`` may have to hear of."""
        return self.location.paths(node) | {Path(CLUSTER, NODE, node)}


class Feed:
    """What one connected node has still to be told. It lives as long as the session."""

    def __init__(self, node: str, cluster: Cluster, records: Records, put: Put) -> None:
        self.node = node
        self._cluster = cluster
        self._records = records
        self._put = put
        self._look: KeyedQueue[Path, Object | None] = KeyedQueue()
        self._sent: dict[Path, tuple[str, bytes]] = {}
        for path in sorted(cluster.paths(node) | records.paths(node), key=_order):
            self._look.put(path, None)

    def look(self, path: Path, last: Object | None = None) -> None:
        """Compare this object again."""
        self._look.put(path, last if last is not None else self._look.peek(path))

    async def run(self) -> None:
        """Compares and sends until cancelled. A slow API call holds up its own object only."""
        limit = trio.CapacityLimiter(RECORDING)
        async with trio.open_nursery() as nursery:
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
            self._sent[path] = (objects.uid(wanted), compare.fingerprint(path.type, wanted))
        return decision

    async def _record_and_send(self, limit: trio.CapacityLimiter, path: Path) -> None:
        """The record first, then the message; by then the object may have changed or gone, so it is decided again."""
        delays = Backoff(first=0.5, limit=15.0)
        try:
            while (decision := self._decide(path, None)) is not None:
                try:
                    async with limit:
                        await self._records.ensure(self.node, path, decision.uid)
                except (ApiError, trio.TooSlowError) as error:
                    delay = delays.next()
                    log.warning("node %s: %s waits %.1f s for its record: %s", self.node, path, delay, error or "too slow")
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
        if decision.operation != Operation.DELETE:
            self._records.acknowledged(self.node, path, decision.uid, decision.version)
        elif current or self._sent.get(path, ("",))[0] != decision.uid:
            self._records.removed(self.node, path, decision.uid)
            if current:
                del self._sent[path]
        # else: the same object is wanted again and already on its way: its record stays.
        self._look.put(path, self._look.peek(path))


class Downstream:
    """All connected nodes."""

    def __init__(self, client: Client, *, node_gone: Callable[[str], None] = lambda node: None) -> None:
        """node_gone(name) is called when a Node was deleted in the API."""
        self.cluster = Cluster(client, self._changed)
        self.records = Records(client, on_foreign_change=lambda node, path: self._changed(node, path, None))
        self._feeds: dict[str, Feed] = {}
        self._node_gone = node_gone

    def _changed(self, node: str, path: Path, last: Object | None) -> None:
        if (feed := self._feeds.get(node)) is not None:
            feed.look(path, last)
        if path.type == NODE and last is not None:
            self._node_gone(node)

    def attach(self, node: str, put: Put) -> Feed:
        """A node has connected: compares all of it. The newest feed of a node counts."""
        feed = Feed(node, self.cluster, self.records, put)
        self._feeds[node] = feed
        return feed

    def detach(self, feed: Feed) -> None:
        if self._feeds.get(feed.node) is feed:
            del self._feeds[feed.node]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watches and records; reports started when the state of the cluster and of the nodes is known."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.records.run)
            await nursery.start(self.cluster.run)
            await self.records.synced.wait()
            task_status.started()


def _order(path: Path) -> tuple[int, Path]:
    """The node first, then what pods refer to, then pods: a pod that arrives finds its ConfigMaps there."""
    return {NODE: 0, CONFIG_MAP: 1, SECRET: 1}.get(path.type, 2), path
