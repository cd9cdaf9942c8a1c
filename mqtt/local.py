"""Clients within the program: trio tasks that publish and subscribe without sockets.

async with Inside(broker).open("recorder", keep=True) as client:
    await client.subscribe("plant/#")
    while True:
        message = await client.receive()
        ...
        client.acknowledge(message)

Such a client has a session like any other, in the same tables: what waits for it is bounded by the same limits, dropped and
counted by the same rules, and with ``keep`` recorded in the journal, so that it is there after a crash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import trio

from mqtt.access import INSIDE, Identity, Peer
from mqtt.decoder import Decoder
from mqtt.limits import UNLIMITED
from mqtt.link import Link
from mqtt.message import Message, passed_on
from mqtt.packets import Connect, Packet, Publish, SubAck, Subscribe, Subscription, Unsubscribe, Version
from mqtt.properties import Properties
from mqtt.reasons import Reason
from mqtt.session import Session
from mqtt.topics import TopicError

if TYPE_CHECKING:
    from mqtt.broker import Broker

_OVERHEAD: Final = 400
"""What a message of QoS 0 takes in the inbox beside its bytes, about."""


class Closed(Exception):
    """The client was closed, or replaced by another one of its name, or its broker has ended."""


class LocalClient(Protocol):
    """What a part of the program may do with a broker, whichever it is."""

    async def publish(
        self, topic: str, payload: bytes = b"", qos: int = 0, *, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """Returns when the broker has taken the message over. At QoS 1 that means: it is kept for those who are away as safely
        as this broker keeps anything. Messages of one task stay in order. Raises TopicError (a ValueError), Closed.
        """

    async def subscribe(self, *filters: str, qos: int = 1, own: bool = False) -> None:
        """own: whether messages published through this very client are meant, too. A filter that is there already stays as it
        is and brings no retained messages again. Raises TopicError, Closed.
        """

    async def unsubscribe(self, *filters: str) -> None: ...

    async def receive(self) -> Publish:
        """The next message. One of QoS 1 counts as delivered only when it is acknowledged; until then it takes a place in the
        inbox, and a client with ``keep`` gets it again when it is opened anew. Raises Closed.
        """

    def acknowledge(self, message: Publish) -> None:
        """The message is safe here or not wanted; in any order. Without effect at QoS 0."""


class LocalBroker(Protocol):
    """Where such clients come from."""

    def open(self, name: str, *, keep: bool = False, inbox: int = 100) -> AbstractAsyncContextManager[LocalClient]:
        """name: no other client of the program has it at the same time (the older one is closed); clients of the network cannot
        take it. keep: subscriptions and messages of QoS 1 stay when the client is closed. inbox: how many messages of QoS 1 are
        handed out and not acknowledged; more wait in the broker within its limits, then are dropped and counted, as are messages
        of QoS 0 that nobody takes.
        """


class _LocalLink(Link):
    """The end of a connection that is no connection. inbox: what has come and was not taken."""

    __slots__ = ("_reader", "arrived", "granted", "inbox")

    def __init__(self, dirty: list[Link], now: float) -> None:
        super().__init__(Peer("inside", local=True, listener="inside"), 1, dirty, now)
        self.version = Version.V5
        self.inbox: deque[Publish] = deque()
        self.arrived = trio.Event()
        self.granted: list[Reason] = []
        self._reader = Decoder(1 << 28, Version.V5)

    def send(self, data: bytes) -> None:
        # What is for others encoded once anyway is cheaper to decode than to carry on another way past the session.
        self._reader.feed(data)
        for packet in self._reader.batch():
            if isinstance(packet, Publish):
                self.inbox.append(packet)
                self.buffered += cost(packet)
                self.arrived.set()

    def send_packet(self, packet: Packet) -> None:
        if isinstance(packet, SubAck):
            self.granted = packet.reasons

    def close(self) -> None:
        self.closing = True
        self.arrived.set()


def cost(message: Publish) -> int:
    """Bytes that a message takes while it waits in an inbox, about."""
    return len(message.payload) + len(message.topic) + _OVERHEAD


class InsideClient:
    """The client of this package's broker; a :class:`LocalClient` that can also be handed messages past all subscriptions."""

    def __init__(self, broker: Broker, link: _LocalLink, session: Session) -> None:
        self._broker = broker
        self._core = broker.core
        self._link = link
        self._session = session
        self._acknowledged = trio.Event()

    async def publish(
        self, topic: str, payload: bytes = b"", qos: int = 0, *, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """See :class:`LocalClient`."""
        self._check()
        core = self._core
        core.router.check_topic(topic)
        now = trio.current_time()
        message = self._message(Publish(topic, payload, qos, retain, properties=properties), now)
        before = core.journal.records
        core.counters.received += 1
        core.router.publish(message, self._session, now)
        await self.kept(self._passed_on(before, now))

    def put(self, topic: str, payload: bytes = b"", qos: int = 1) -> int:
        """Puts a message into this client's own inbox, whatever it has subscribed to. Returns what ``kept`` wants to know.

        What there is no room for is dropped and counted.
        """
        self._check()
        now = trio.current_time()
        before = self._core.journal.records
        message = self._message(Publish(topic, payload, qos), now)
        self._session.deliver(message, qos, False, (), now)
        return self._passed_on(before, now)

    async def room(self, topic: str, payload: bytes) -> None:
        """Waits until this message can be ``put`` without being dropped; not for ever, if it is larger than all that may wait."""
        size = cost(Publish(topic, payload))
        core = self._core
        while self._session.queue and not (
            self._session.has_room(size) and core.counters.waiting.bytes + size <= core.limits.waiting_bytes
        ):
            self._check()
            await self._acknowledged.wait()

    async def kept(self, batch: int) -> None:
        """Waits until what ``put`` has put is on disk, where the broker has one. Raises Closed: it is not."""
        if not await self._broker.recorded(batch):
            raise Closed("the broker has ended before it was recorded")

    def rewind(self) -> None:
        """Gives out again, in order, all that was not acknowledged; behind what waits at QoS 0."""
        self._check()
        link = self._link
        link.inbox = deque(each for each in link.inbox if not each.qos)
        link.buffered = sum(map(cost, link.inbox))
        self._session.resume(link, trio.current_time())

    def _message(self, packet: Publish, now: float) -> Message:
        expiry = (packet.properties or {}).get("message_expiry")
        packet.properties = passed_on(packet.properties)
        return Message(packet, self._session.client_id, None if expiry is None else now + expiry)

    def _passed_on(self, before: int, now: float) -> int:
        """Sends on what the core has to say. Returns the batch in which something was recorded since ``before``, or 0."""
        journal = self._core.journal
        batch = journal.newest if journal.records != before else 0
        self._broker.flush(now)
        return batch

    async def subscribe(self, *filters: str, qos: int = 1, own: bool = False) -> None:
        """See :class:`LocalClient`."""
        self._check()
        now = trio.current_time()
        before = self._core.journal.records
        # Retain handling 1: retained messages only with a subscription that was not there.
        wanted = [Subscription(each, min(qos, 1), no_local=not own, retain_handling=1) for each in filters]
        self._core.subscribing.subscribe(self._link, self._session, Subscribe(1, wanted), now)
        refused = [name for name, reason in zip(filters, self._link.granted, strict=True) if reason.failed]
        await self.kept(self._passed_on(before, now))
        if refused:
            raise TopicError(f"cannot be subscribed to: {', '.join(refused)}")

    async def unsubscribe(self, *filters: str) -> None:
        """See :class:`LocalClient`."""
        self._check()
        before = self._core.journal.records
        self._core.subscribing.unsubscribe(self._link, self._session, Unsubscribe(1, list(filters)))
        await self.kept(self._passed_on(before, trio.current_time()))

    @property
    def filters(self) -> list[str]:
        """What the client has subscribed to, also in an earlier life."""
        return list(self._session.subscriptions)

    async def receive(self) -> Publish:
        """See :class:`LocalClient`."""
        await trio.lowlevel.checkpoint()
        link = self._link
        while not link.inbox:
            self._check()
            link.arrived = trio.Event()
            await link.arrived.wait()
        self._check()
        message = link.inbox.popleft()
        link.buffered -= cost(message)
        if self._session.behind:
            self._core.drained(link, trio.current_time())
        return message

    def acknowledge(self, message: Publish) -> None:
        """See :class:`LocalClient`."""
        if message.qos and not self._link.closing:
            now = trio.current_time()
            self._session.acknowledged(message.packet_id, now)
            self._broker.flush(now)
            self._acknowledged.set()
            self._acknowledged = trio.Event()

    def _check(self) -> None:
        if self._link.closing:
            raise Closed(f"the local client {self._session.client_id[1:]!r} is closed")


class Inside:
    """The :class:`LocalBroker` that a running broker of this package is."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @asynccontextmanager
    async def open(self, name: str, *, keep: bool = False, inbox: int = 100) -> AsyncIterator[InsideClient]:
        """See :class:`LocalBroker`. Raises Closed when the broker has no room for another session."""
        core = self._broker.core
        now = trio.current_time()
        link = _LocalLink(core.dirty, now)
        core.links.add(link)
        terms = Properties(receive_maximum=inbox, session_expiry=UNLIMITED if keep else 0)
        link.asking = Connect(Version.V5, INSIDE + name, clean_start=not keep, properties=terms)
        core.admit(link, Identity(INSIDE + name), now)
        session = link.session
        if session is None:
            raise Closed(f"no room for the local client {name!r}")
        try:
            self._broker.flush(now)
            yield InsideClient(self._broker, link, session)
        finally:
            link.close()
            now = trio.current_time()
            core.lost(link, now)
            if not self._broker.ended:
                self._broker.flush(now)
