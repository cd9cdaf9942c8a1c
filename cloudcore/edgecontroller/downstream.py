"""From the Kubernetes API down to the nodes: which feed has to look at what, and what happens around the feeds."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

import trio

from beehive.resource import Resource as Path
from cloudcore.edgecontroller.cluster import Cluster
from cloudcore.edgecontroller.feed import Feed, Put
from cloudcore.edgecontroller.location import CLUSTER, NODE
from cloudcore.edgecontroller.records import Records
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import NODES
from kube.status import ApiError

log = logging.getLogger(__name__)

CLOUDCORE: Final = "cloudcore"
"""Annotation of a Node: the address of the cloudcore that holds its connection (KubeEdge 1.23 writes and reads it)."""
SIGNING: Final = 10.0
"""Seconds for writing it."""
SWEEP: Final = 600.0
"""Seconds between two looks for nodes that are gone."""
NEW: Final = 600.0
"""Seconds after a join in which a connection of that name may be of the new machine or of the old one."""
REMEMBER_REMOVED: Final = 24 * 3600.0
"""Seconds for which the records of a removed node are kept."""


class Downstream:
    """All connected nodes."""

    def __init__(self, client: Client, *, address: str = "", node_gone: Callable[[str], None] = lambda node: None) -> None:
        """node_gone(name) is called when a Node was deleted in the API. address: of this cloudcore, noted on each Node."""
        self._client = client
        self._address = address
        self._absent: dict[str, float] = {}
        self._newcomers: dict[str, float] = {}
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
        if trio.current_time() - self._newcomers.get(node, -math.inf) < NEW:
            self.records.distrust(node)
        feed = Feed(node, self.cluster, self.records, put, self.sign)
        self._feeds[node] = feed
        return feed

    def refill(self, node: str) -> None:
        """The node has lost its store, or is a new machine of the same name: everything is sent again."""
        self.records.distrust(node)
        if (feed := self._feeds.get(node)) is not None:
            feed.again()

    def newcomer(self, node: str) -> None:
        """A machine has joined under this name. If the one that had it before is still connected, it will confirm what is
        sent again: so whoever connects in the next minutes gets everything."""
        if node in self._feeds:
            self._newcomers[node] = trio.current_time()
        self.refill(node)

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
            while True:
                self._forget_removed_nodes()
                begin = trio.current_time() - NEW
                self._newcomers = {node: since for node, since in self._newcomers.items() if since > begin}
                await trio.sleep(SWEEP)

    def _forget_removed_nodes(self) -> None:
        """KubeEdge drops the records when a Node is deleted, and what its edge still runs then runs for ever. Here they stay for
        a day, so that an edge which comes back is told what to remove."""
        now = trio.current_time()
        absent = self.records.nodes() - self.cluster.nodes() - self._feeds.keys()
        self._absent = {node: self._absent.get(node, now) for node in absent}
        for node, since in self._absent.items():
            if now - since > REMEMBER_REMOVED:
                log.info("node %s is gone for good: its records are removed", node)
                self.records.forget(node)

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
