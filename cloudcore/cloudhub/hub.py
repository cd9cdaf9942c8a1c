"""Who may connect, and which session belongs to which node."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import trio

from beehive.metrics import Family, counter, gauge
from cloudcore.cloudhub.session import Downlink, Session, Uplink
from cloudcore.cloudhub.traffic import Traffic
from viaduct.link import Link

log = logging.getLogger(__name__)

NODE_PREFIX: Final = "system:node:"
HANDOVER: Final = 10.0
"""Seconds that a new connection waits for the old one of the same node to end."""


class CloudHub:
    """All connected nodes. Pass ``handle`` to ``viaduct.websocket.serve``."""

    def __init__(self, downlink: Downlink, uplink: Uplink, *, node_limit: int, keepalive: float) -> None:
        self._downlink = downlink
        self._uplink = uplink
        self._limit = node_limit
        self._keepalive = keepalive
        self._sessions: dict[str, Session] = {}
        self._traffic = Traffic()

    @property
    def connected(self) -> set[str]:
        """Names of the nodes that have a session."""
        return set(self._sessions)

    def families(self) -> Iterator[Family]:
        """For the metrics. The first name is KubeEdge's."""
        sessions = self._sessions.values()
        yield gauge("KubeEdge_CloudHub_connected_nodes", "Nodes that have a session.", len(sessions))
        yield counter("cloudcore_cloudhub_connections_refused_total", "Connections not admitted.", self._traffic.refused)
        yield counter("cloudcore_cloudhub_messages_sent_total", "Messages written to nodes.", self._traffic.sent)
        yield counter("cloudcore_cloudhub_messages_received_total", "Messages read from nodes.", self._traffic.received)
        pending = sum(session.pending for session in sessions)
        yield gauge("cloudcore_cloudhub_objects_unacknowledged", "Objects that nodes have not confirmed yet.", pending)

    def disconnect(self, node: str, reason: str) -> None:
        """Ends the session of ``node`` if there is one."""
        if (session := self._sessions.get(node)) is not None:
            session.stop(reason)

    def refusal(self, link: Link) -> str | None:
        """Why a connection is not admitted; None when it is. KubeEdge 1.23 leaves refused sockets open, unread and unheard."""
        peer = link.peer
        if not peer.node:
            return "it sent no Node_id header"
        if peer.common_name != NODE_PREFIX + peer.node:
            return f"its certificate is for {peer.common_name!r}, not for {NODE_PREFIX + peer.node!r}"
        if peer.use not in ("msg", ""):
            return f"it asked for Connectionuse {peer.use!r}; only msg is served here"
        if peer.node not in self._sessions and len(self._sessions) >= self._limit:
            return f"{self._limit} nodes are connected, which is the limit (modules.cloudHub.nodeLimit)"
        return None

    async def handle(self, link: Link) -> None:
        """One connection from admission to its end."""
        peer = link.peer
        if (why := self.refusal(link)) is not None:
            self._traffic.refused += 1
            log.warning("connection of node %r from %s refused: %s", peer.node, peer.address, why)
            await link.aclose(why)
            return
        session = Session(link, self._uplink, keepalive=self._keepalive, traffic=self._traffic)
        previous = self._sessions.get(peer.node)
        self._sessions[peer.node] = session
        try:
            if previous is not None:
                previous.stop("the node connected again")
                with trio.move_on_after(HANDOVER):
                    await previous.ended.wait()
            log.info("node %s connected from %s (%d connected)", peer.node, peer.address, len(self._sessions))
            reason = await session.run(self._downlink)
            log.info("node %s disconnected: %s", peer.node, reason)
        finally:
            session.ended.set()
            if self._sessions.get(peer.node) is session:
                del self._sessions[peer.node]
