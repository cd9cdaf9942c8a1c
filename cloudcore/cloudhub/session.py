"""One connected node: reads, writes, and ends when the node falls silent."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import trio

from beehive.message import Message, Operation
from cloudcore.cloudhub.lanes import Lanes
from cloudcore.cloudhub.traffic import Traffic
from cloudcore.cloudhub.window import Window, is_acknowledgement
from viaduct.link import Link, LinkClosed, MessageTooBig

log = logging.getLogger(__name__)


class Feed(Protocol):
    """What the controllers have to tell the node."""

    async def run(self) -> str:
        """Until cancelled, or until the node is not to be served here any more; returns why."""

    def acknowledged(self, note: Any) -> None: ...


class Downlink(Protocol):
    """Gives every session its feed."""

    def attach(self, node: str, put: Any, certificate: str) -> Any:
        """certificate: hex SHA-256 of the node's."""

    def detach(self, feed: Any) -> None: ...


class Uplink(Protocol):
    """Answers what the node asks."""

    async def handle(self, node: str, message: Message) -> Message | None: ...

    def overloaded(self, message: Message) -> Message | None: ...


class Ended(Exception):
    """The session is over; the text says why, for the log."""


class Session:
    """keepalive: seconds without a word of the node after which it counts as gone."""

    def __init__(self, link: Link, uplink: Uplink, *, keepalive: float, traffic: Traffic | None = None) -> None:
        self.node = link.peer.node
        self._link = link
        self._uplink = uplink
        self._keepalive = keepalive
        self._traffic = traffic or Traffic()
        self._window: Window[Any] = Window()
        self._wake = trio.Event()
        self._heard = trio.current_time()
        self._lanes: Lanes[Message] = Lanes(self._serve)
        self._feed: Feed | None = None
        self._scope = trio.CancelScope()
        self._reason = "cloudcore stops"
        self.ended = trio.Event()

    @property
    def pending(self) -> int:
        """Objects that the node has not acknowledged."""
        return len(self._window)

    def put(self, key: str, message: Message, note: Any) -> None:
        """State for the node: delivered until acknowledged, newest per key."""
        self._window.put(key, message, note)
        self._wake.set()

    def _answer(self, message: Message | None) -> None:
        if message is not None:
            self._window.answer(message)
            self._wake.set()

    def stop(self, reason: str) -> None:
        """Ends the session soon; ``run`` then returns ``reason``."""
        self._reason = reason
        self._scope.cancel()

    async def run(self, downlink: Downlink) -> str:
        """Serves the node until its link ends; returns why it ended. Closes the link."""
        self._feed = feed = downlink.attach(self.node, self.put, self._link.peer.certificate)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._follow, feed)
                    await self._read(nursery)
        except* Ended as group:
            self._reason = str(group.exceptions[0])
        except* LinkClosed as group:
            self._reason = str(group.exceptions[0]) or "the link closed"
        finally:
            downlink.detach(feed)
            self.ended.set()
            if self._window.dropped_answers:
                log.warning("node %s took its answers too slowly: %d were dropped", self.node, self._window.dropped_answers)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                await self._link.aclose(self._reason)
        return self._reason

    async def _follow(self, feed: Feed) -> None:
        raise Ended(await feed.run())

    async def _read(self, nursery: trio.Nursery) -> None:
        while True:
            message = await self._link.receive()
            self._traffic.received += 1
            self._heard = trio.current_time()
            self._sort(nursery, message)

    def _sort(self, nursery: trio.Nursery, message: Message) -> None:
        """The order of KubeEdge 1.23: cloud/pkg/cloudhub/dispatcher/message_dispatcher.go, DispatchUpstream."""
        if message.operation == Operation.KEEPALIVE:
            return
        if message.operation == Operation.RESPONSE:
            if is_acknowledgement(message) and (parcel := self._window.acknowledge(message.parent_id)) is not None:
                self._wake.set()
                if self._feed is not None:
                    self._feed.acknowledged(parcel.note)
            return
        if message.operation == Operation.ERROR:
            log.warning("node %s could not store %s: %s", self.node, message.resource, _short(message))
            return
        if message.operation == Operation.UPLOAD:
            log.debug("node %s uploads to %s: no rule takes it", self.node, message.resource)
            return
        if not self._lanes.submit(nursery, _lane(message), message):
            log.warning("node %s sends faster than the Kubernetes API takes it; %s is refused", self.node, message.resource)
            self._answer(self._uplink.overloaded(message))

    async def _serve(self, message: Message) -> None:
        self._answer(await self._uplink.handle(self.node, message))

    async def _write(self) -> None:
        while True:
            self._wake = trio.Event()
            for message in self._window.take(trio.current_time()):
                await self._send(message)
            if self._wake.is_set():
                continue
            due = self._window.next_due()
            with trio.move_on_at(due if due is not None else float("inf")):
                await self._wake.wait()

    async def _send(self, message: Message) -> None:
        try:
            await self._link.send(message)
            self._traffic.sent += 1
        except MessageTooBig as error:
            log.error("node %s does not get it: %s; make the object smaller", self.node, error)
            self._window.acknowledge(message.id)

    async def _watch(self) -> None:
        """KubeEdge counts keepalives only; here any message is a sign of life."""
        while True:
            left = self._heard + self._keepalive - trio.current_time()
            if left <= 0:
                raise Ended(f"nothing heard from it for {self._keepalive:.0f} s")
            await trio.sleep(left)


def _lane(message: Message) -> str:
    """What must stay in order: everything about one object, whatever the word (``pod`` and ``podpatch`` are one)."""
    parts = message.resource.split("/")
    if len(parts) == 3 and parts[1] in ("podpatch", "podstatus"):
        parts[1] = "pod"
    elif len(parts) == 3 and parts[1] in ("nodepatch", "nodestatus"):
        parts = ["null", "node", parts[2]]
    return "/".join(parts)


def _short(message: Message) -> str:
    """The content for a log line."""
    return bytes(message.content)[:200].decode(errors="replace")
