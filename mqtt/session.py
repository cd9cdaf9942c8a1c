"""The server's side of one client's session: what is on its way to it, what waits for it, what came from it at QoS 2.

A pure state machine: deliveries and acknowledgements in, bytes for the connection out. It outlives connections when it is to.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mqtt.access import Identity
from mqtt.counters import Counters
from mqtt.journal import Journal, SavedSession
from mqtt.limits import Limits
from mqtt.link import Link
from mqtt.message import NOTHING, Message
from mqtt.packets import PubComp, PubRel, Version, Will
from mqtt.reasons import Reason
from mqtt.topics import Subscription

_DUPLICATE: Final = 0x08
_LARGE: Final = 128 * 1024


class Delivery:
    """One message for one client at QoS 1 or 2. number: names it within the session, for the journal.

    released: QoS 2, PUBREC has come; the message itself is no longer needed then.
    """

    __slots__ = ("identifiers", "message", "number", "qos", "released", "retain")

    def __init__(self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], number: int) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.number = number
        self.released = False


class Session:
    """journal: None while the session ends with its connection; then nothing is recorded.

    expiry: seconds that it outlives its connection; 0: not at all. ends, will_due: when, while there is no connection.
    dropped: messages for this client, whatever the reason.
    """

    __slots__ = (
        "_counters",
        "_last_id",
        "_limits",
        "_numbers",
        "client_id",
        "dropped",
        "ends",
        "expiry",
        "identity",
        "in_flight",
        "journal",
        "levels",
        "link",
        "queue",
        "queued_bytes",
        "received",
        "resend",
        "subscriptions",
        "watched",
        "will",
        "will_due",
        "window",
    )

    def __init__(self, identity: Identity, limits: Limits, counters: Counters) -> None:
        self.client_id = identity.client_id
        self.identity = identity
        self._limits = limits
        self._counters = counters
        self.journal: Journal | None = None
        self.expiry = 0
        self.link: Link | None = None
        self.window = limits.in_flight
        self.subscriptions: dict[str, Subscription[Session]] = {}
        self.levels = 0
        self.in_flight: dict[int, Delivery] = {}
        self.queue: deque[Delivery] = deque()
        self.queued_bytes = 0
        self.dropped = 0
        self.received: set[int] = set()
        self.resend: deque[int] = deque()
        self._last_id = 0
        self._numbers = 0
        self.will: Will | None = None
        self.will_due = self.ends = float("inf")
        self.watched = 0

    def restore(self, saved: SavedSession) -> None:
        """Takes over what a journal has kept of the session."""
        for each in sorted(saved.deliveries, key=lambda delivery: delivery.number):
            delivery = Delivery(each.message, each.qos, each.retain, each.identifiers, each.number)
            if each.packet_id:
                delivery.released = each.released
                self.in_flight[each.packet_id] = delivery
                self._last_id = each.packet_id
            else:
                self._wait(delivery)
            self._numbers = each.number
        self.received = set(saved.received)

    @property
    def connected(self) -> bool:
        return self.link is not None

    # Towards the client.

    def deliver(self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], now: float) -> None:
        """Sends the message, or keeps it for later. At QoS 0 it is now or never."""
        link = self.link
        if qos == 0:
            if link is not None:
                self._deliver_now(link, message, retain, identifiers, now)
            return
        waits = link is None or self.queue or len(self.in_flight) >= self.window or link.buffered > self._limits.output
        if message.size > _LARGE and not waits:
            waits = self._heavy(message)
        if waits and not self._room(message):
            return
        self._numbers += 1
        delivery = Delivery(message, qos, retain, identifiers, self._numbers)
        if self.journal is not None:
            self.journal.queued(self.client_id, delivery)
        if waits or link is None:
            self._wait(delivery)
        else:
            self._start(link, delivery, now)

    def _deliver_now(self, link: Link, message: Message, retain: bool, identifiers: tuple[int, ...], now: float) -> None:
        if link.buffered > self._limits.output:
            self._count("slow client")
            return
        if link.version >= 5 and (identifiers or message.expires is not None):
            data = b"".join(message.own_parts(0, retain, identifiers, now))
        else:
            data = message.parts(link.version, 0, retain)[0]
        if link.largest is not None and len(data) > link.largest:
            self._count("too large")
            return
        self._counters.sent += 1
        link.send(data)

    def _wait(self, delivery: Delivery) -> None:
        self.queue.append(delivery)
        self.queued_bytes += delivery.message.size
        self._counters.waiting.add(delivery.message)

    def forget(self) -> None:
        """The session has ended: nothing waits for its client any more."""
        for each in self.queue:
            self._counters.waiting.remove(each.message)
        self.queue.clear()
        self.queued_bytes = 0

    def _room(self, message: Message) -> bool:
        """Whether the message may wait; if not, that is counted."""
        if not self.has_room(message.size):
            self._count("queue full")
            return False
        if self._counters.waiting.would_be(message) > self._limits.waiting_bytes:
            self._count("all queues full")
            return False
        return True

    def has_room(self, size: int) -> bool:
        """Whether another message of this size may wait."""
        limits = self._limits
        return len(self.queue) < limits.queued_messages and self.queued_bytes + size <= limits.queued_bytes

    def _heavy(self, message: Message) -> bool:
        """Whether too many bytes are in flight for a large message. Small ones are bounded by their number."""
        weight = sum(each.message.size for each in self.in_flight.values())
        return weight > 0 and weight + message.size > self._limits.queued_bytes

    def _start(self, link: Link, delivery: Delivery, now: float) -> None:
        """The first transmission of a delivery."""
        in_flight = self.in_flight
        packet_id = self._last_id % 65535 + 1
        while packet_id in in_flight:
            packet_id = packet_id % 65535 + 1
        self._last_id = packet_id
        in_flight[packet_id] = delivery
        try:
            sent = self._transmit(link, packet_id, delivery, now)
        except Exception:
            self._not_sent(packet_id, delivery, "internal error")
            raise
        if not sent:
            self._not_sent(packet_id, delivery, "too large")
            return
        self._counters.sent += 1
        if self.journal is not None:
            self.journal.sent(self.client_id, delivery.number, packet_id)
            if delivery.qos == 2:
                # Were it sent again under another identifier after a crash, the client would take it for another message.
                link.hold = self.journal.newest

    def _not_sent(self, packet_id: int, delivery: Delivery, why: str) -> None:
        """What cannot be sent is not tried again, as if it had been delivered (MQTT-3.1.2-25); a mistake of ours in it would
        end every connection of this client."""
        del self.in_flight[packet_id]
        self._drop(delivery, why)

    def _transmit(self, link: Link, packet_id: int, delivery: Delivery, now: float, again: int = 0) -> bool:
        message = delivery.message
        if link.version >= 5 and (delivery.identifiers or message.expires is not None):
            head, tail = message.own_parts(delivery.qos, delivery.retain, delivery.identifiers, now)
        else:
            head, tail = message.parts(link.version, delivery.qos, delivery.retain)
        if link.largest is not None and len(head) + 2 + len(tail) > link.largest:
            return False
        if again:
            head = bytes((head[0] | again,)) + head[1:]
        link.send(head + packet_id.to_bytes(2, "big") + tail)
        return True

    @property
    def behind(self) -> bool:
        """Whether something waits for the window or the network."""
        return bool(self.queue or self.resend)

    def pump(self, now: float) -> None:
        """Sends what waits, as far as window and network allow."""
        link = self.link
        if link is None:
            return
        output = self._limits.output
        resend = self.resend
        while resend and len(self.in_flight) - len(resend) < self.window and link.buffered <= output:
            self._again(link, resend.popleft(), now)
        queue = self.queue
        while queue and not resend and len(self.in_flight) < self.window and link.buffered <= output:
            message = queue[0].message
            if message.size > _LARGE and self._heavy(message):
                break
            delivery = queue.popleft()
            self.queued_bytes -= message.size
            self._counters.waiting.remove(message)
            if message.expires is not None and message.expires <= now:
                self._drop(delivery, "expired")
            else:
                self._start(link, delivery, now)

    def _count(self, why: str) -> None:
        self._counters.dropped[why] += 1
        self.dropped += 1

    def _drop(self, delivery: Delivery, why: str) -> None:
        self._count(why)
        if self.journal is not None:
            self.journal.done(self.client_id, delivery.number)

    def _again(self, link: Link, packet_id: int, now: float) -> None:
        delivery = self.in_flight.get(packet_id)
        if delivery is None:
            return
        # Nothing of it may pass what is not on disk yet; the CONNACK of this connection already waits for that.
        if delivery.released:
            link.send_packet(PubRel(packet_id))
            return
        try:
            sent = self._transmit(link, packet_id, delivery, now, _DUPLICATE)
        except Exception:
            self._not_sent(packet_id, delivery, "internal error")
            raise
        if not sent:
            self._not_sent(packet_id, delivery, "too large")

    def resume(self, link: Link, now: float) -> None:
        """A new connection: first what was in flight, in the order in which it was sent first (MQTT-4.4.0-1, 4.6.0-1)."""
        self.link = link
        self.resend = deque(self.in_flight)
        self.pump(now)

    # Acknowledgements from the client.

    def acknowledged(self, packet_id: int, now: float) -> None:
        """PUBACK."""
        delivery = self.in_flight.get(packet_id)
        if delivery is not None and delivery.qos == 1:
            self._finish(packet_id, delivery, now)

    def _finish(self, packet_id: int, delivery: Delivery, now: float) -> None:
        del self.in_flight[packet_id]
        if self.journal is not None:
            self.journal.done(self.client_id, delivery.number)
        if self.queue or self.resend:
            self.pump(now)

    def arrived(self, packet_id: int, reason: Reason, now: float) -> None:
        """PUBREC."""
        link = self.link
        delivery = self.in_flight.get(packet_id)
        known = delivery is not None and delivery.qos == 2
        if delivery is not None and known and reason >= 0x80:
            self._finish(packet_id, delivery, now)
            return
        if delivery is not None and known and not delivery.released:
            delivery.released = True
            delivery.message = NOTHING
            if self.journal is not None:
                self.journal.released(self.client_id, delivery.number)
        if link is None or reason >= 0x80:
            return
        if self.journal is not None:
            link.hold = self.journal.newest
        if known or link.version < 5:
            link.send(b"\x62\x02" + packet_id.to_bytes(2, "big"))
        else:
            link.send_packet(PubRel(packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND))

    def completed(self, packet_id: int, now: float) -> None:
        """PUBCOMP."""
        delivery = self.in_flight.get(packet_id)
        if delivery is not None and delivery.released:
            self._finish(packet_id, delivery, now)

    # From the client at QoS 2.

    def receive(self, packet_id: int) -> None:
        """The message with this identifier was passed on: the next one with it, before PUBREL, is the same."""
        self.received.add(packet_id)
        if self.journal is not None:
            self.journal.received(self.client_id, packet_id)

    def release(self, link: Link, packet_id: int) -> None:
        """PUBREL."""
        known = packet_id in self.received
        if known:
            self.received.remove(packet_id)
            if self.journal is not None:
                self.journal.forgotten(self.client_id, packet_id)
        if self.journal is not None:
            # A PUBCOMP lets the client use the identifier for another message, which must not be taken for this one.
            link.hold = self.journal.newest
        if known or link.version < Version.V5:
            link.send(b"\x70\x02" + packet_id.to_bytes(2, "big"))
        else:
            link.send_packet(PubComp(packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND))
