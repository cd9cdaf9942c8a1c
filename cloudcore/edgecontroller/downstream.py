"""From the Kubernetes API down to the nodes: which feed has to look at what, and what happens around the feeds."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from beehive.backoff import Backoff
from beehive.resource import Resource as Path
from cloudcore.edgecontroller.cluster import Cluster
from cloudcore.edgecontroller.feed import Feed, Put
from cloudcore.edgecontroller.holders import Holders
from cloudcore.edgecontroller.location import CLUSTER, NODE
from cloudcore.edgecontroller.records import Records
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import NODES
from kube.status import ApiError

log = logging.getLogger(__name__)
T = TypeVar("T")

CLOUDCORE: Final = "cloudcore"
"""Annotation of a Node: the address of the cloudcore that holds its connection (KubeEdge 1.23 writes and reads it)."""
SIGNING: Final = 10.0
"""Seconds for writing it."""
SWEEP: Final = 600.0
"""Seconds between two looks for nodes that are gone."""
REMEMBER_REMOVED: Final = 24 * 3600.0
"""Seconds for which the records of a removed node are kept."""


class Downstream:
    """All connected nodes."""

    def __init__(
        self,
        client: Client,
        *,
        identity: str,
        alone: bool = False,
        address: str = "",
        node_gone: Callable[[str], None] = lambda node: None,
    ) -> None:
        """node_gone(name) is called when a Node was deleted in the API. address: of this cloudcore, noted on each Node.
        identity: of this process, like no other's. alone: no other cloudcore can serve this API."""
        self._client = client
        self._address = address
        self._absent: dict[str, float] = {}
        self.cluster = Cluster(client, self._changed)
        self.records = Records(client, on_foreign_change=self._doubted)
        self.holders = Holders(client, identity, lost=self._lost, alone=alone)
        self._feeds: dict[str, Feed] = {}
        self._node_gone = node_gone

    def _changed(self, node: str, path: Path, last: Object | None) -> None:
        if (feed := self._feeds.get(node)) is not None:
            feed.look(path, last)
        if path.type == NODE and last is not None:
            self._node_gone(node)

    def _doubted(self, node: str, path: Path) -> None:
        if (feed := self._feeds.get(node)) is not None:
            feed.doubt(path)

    def _lost(self, node: str) -> None:
        """Another cloudcore holds the connection of the node."""
        self.records.release(node)
        if (feed := self._feeds.get(node)) is not None and feed.claimed:
            feed.end("it has connected to another cloudcore")

    def attach(self, node: str, put: Put, certificate: str) -> Feed:
        """A node has connected: compares all of it. The newest feed of a node counts."""
        feed = Feed(node, self.cluster, self.records, put, certificate=certificate, begin=self._begin, greet=self.sign)
        self._feeds[node] = feed
        return feed

    async def _begin(self, feed: Feed) -> None:
        """The node becomes ours, and what is remembered of it true: returns then, however long the API is away."""
        node = feed.node
        claimed = await _insist(node, partial(self.holders.claim, node, feed.certificate))
        feed.claimed = True
        if not self.holders.holds(node):
            self._lost(node)
            return
        self.records.hold(node)
        if not claimed.known:
            await _insist(node, partial(self._new_machine, feed))
        if claimed.moved:
            await _insist(node, partial(self.cluster.caught_up, node))

    async def _new_machine(self, feed: Feed) -> None:
        """Another one than the records are about, or it may be. Should it end here, the next cloudcore does the same."""
        await self._distrust(feed.node)
        await self.holders.know(feed.node, feed.certificate)

    async def _distrust(self, node: str) -> None:
        """Nothing that is recorded of the node counts, here and for every cloudcore. Raises ApiError, trio.TooSlowError."""
        self.records.distrust(node)
        await self.records.settle(node)

    async def refill(self, node: str) -> None:
        """The node has lost its store, or is new: everything is sent again, by whichever cloudcore it comes to.

        Raises ApiError, trio.TooSlowError: the node has to ask again.
        """
        if (feed := self._feeds.get(node)) is not None:
            await feed.begun.wait()
            await self._distrust(node)
            feed.again()

    async def stray(self, node: str, path: Path, uid: str) -> None:
        """The node runs a pod that the API does not have: makes a record of it, so that the node is told to remove it.

        Raises ApiError, trio.TooSlowError.
        """
        feed = self._feeds.get(node)
        if feed is None or not feed.begun.is_set() or uid in self.records.of(node, path):
            return
        log.info("node %s has pod %s with uid %s, which is gone: it is told so", node, path, uid)
        try:
            await self.records.ensure(node, path, uid)
        finally:
            # Also when the record is not there yet: the feed makes it then, or nobody would.
            feed.look(path)

    def detach(self, feed: Feed) -> None:
        if self._feeds.get(feed.node) is feed:
            del self._feeds[feed.node]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watches and records; reports started when the state of the cluster and of the nodes is known."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.records.run)
            await nursery.start(self.holders.run)
            await nursery.start(self.cluster.run)
            await self.records.synced.wait()
            task_status.started()
            while True:
                self._note_absent()
                await trio.sleep(SWEEP)

    def _note_absent(self) -> None:
        """Since when which node has records, or a Lease, but no Node. Each cloudcore notes it; the one that leads acts."""
        now = trio.current_time()
        absent = (self.records.nodes() | self.holders.nodes()) - self.cluster.nodes() - self._feeds.keys()
        self._absent = {node: self._absent.get(node, now) for node in absent}

    async def forget_removed_nodes(self) -> None:
        """A duty of the one that leads, until cancelled. KubeEdge drops the records when a Node is deleted, and what its edge
        still runs then runs for ever. Here they stay for a day, so that an edge which comes back is told what to remove."""
        while True:
            self._note_absent()
            begin = trio.current_time() - REMEMBER_REMOVED
            for node in [node for node, since in self._absent.items() if since < begin]:
                if node not in self._feeds:  # it may have come while others were removed
                    await self._forget(node)
            await trio.sleep(SWEEP)

    async def _forget(self, node: str) -> None:
        try:
            log.info("node %s is gone for good: its records are removed", node)
            await self.records.forget(node)
            await self.holders.forget(node)
        except (ApiError, trio.TooSlowError) as error:
            log.warning("the records of node %s, which is gone, are removed later: %s", node, error or "too slow")
        else:
            # Should it live on without a Node, connected to another cloudcore, then it is left alone for another day.
            self._absent.pop(node, None)

    async def sign(self, node: str) -> None:
        """Notes on the Node which cloudcore holds its connection, as KubeEdge does; best effort."""
        found = self.cluster.get(Path(CLUSTER, NODE, node))
        if not self._address or found is None or objects.annotations(found).get(CLOUDCORE) == self._address:
            return
        patch = {"metadata": {"annotations": {CLOUDCORE: self._address}}}
        try:
            with trio.fail_after(SIGNING):
                await self._client.patch(NODES, node, patch, kind="merge")
        except (ApiError, trio.TooSlowError) as error:
            log.debug("node %s: the annotation %s is not written: %s", node, CLOUDCORE, error)


async def _insist(node: str, call: Callable[[], Awaitable[T]]) -> T:
    """The result of a call to the API, which is tried until it succeeds."""
    delays, level = Backoff(first=0.5, limit=15.0), logging.WARNING
    while True:
        try:
            return await call()
        except (ApiError, trio.TooSlowError) as error:
            delay, why = delays.next(), str(error) or "too slow"
            log.log(level, "node %s is told nothing until the API answers (%s); next attempt in %.1f s", node, why, delay)
            level = logging.DEBUG  # a thousand nodes may come while it is away: each is told of once
            await trio.sleep(delay)
