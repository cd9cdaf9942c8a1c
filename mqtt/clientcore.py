"""A client without I/O and clock: bytes of the server in, events out; requests in, bytes for the server out."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from mqtt.codec import Decoder, ProtocolViolation, Unencodable, encode
from mqtt.packets import (
    MAX_PACKET_ID,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason


@dataclass(slots=True)
class Session:
    """What a client remembers from one connection to the next, so that nothing of QoS 1 and 2 is lost or doubled between.

    outgoing: what was sent and is not settled, in the order of sending: the message, or the PUBREL that took its place.
    queued: what still waits for the server to have room. received: identifiers of QoS 2 messages that were taken and not
    yet released by the server. last_id: the packet identifier given last.
    """

    outgoing: dict[int, Publish | PubRel] = field(default_factory=dict)
    queued: OrderedDict[int, Publish] = field(default_factory=OrderedDict)
    received: set[int] = field(default_factory=set)
    last_id: int = 0


@dataclass(slots=True)
class Connected:
    """The server accepted or refused the connection. lost: messages of the session that were sent or queued, but that the
    server knows nothing of any more: they are forgotten here, too (MQTT-3.2.2-5), and may be published anew."""

    answer: ConnAck
    lost: list[Publish]


@dataclass(slots=True)
class Arrived:
    """A message, its topic alias resolved. One of QoS 1 or 2 waits for ``acknowledge``."""

    message: Publish


@dataclass(slots=True)
class Settled:
    """The last answer to the request with this packet identifier: one reason for a message, one for each filter otherwise
    (none from an UNSUBACK before 5.0)."""

    packet_id: int
    reasons: list[Reason]
    properties: Properties | None


@dataclass(slots=True)
class Ponged:
    """The answer to a ping."""


@dataclass(slots=True)
class Disconnected:
    """The server ends the connection and says why (5.0)."""

    reason: Reason
    properties: Properties | None


Event: TypeAlias = Connected | Arrived | Settled | Ponged | Disconnected

RECEIVE_MAXIMUM: Final = 65_535
"""What holds where a peer says nothing (MQTT 5.0, 3.1.2.11.3)."""


class ClientCore:
    """One connection of one client.

    limit: the largest packet accepted, in bytes. The CONNECT lies ready to be sent. Requests before the answer to it are
    errors of the caller. ``receive`` raises PeerError when the server breaks the protocol.
    """

    def __init__(self, connect: Connect, session: Session, limit: int) -> None:
        self.version = connect.version
        self.session = session
        self.answer: ConnAck | None = None
        self._clean = connect.clean_start
        self._decoder = Decoder(limit, connect.version)
        self._outgoing: list[bytes] = []
        self.buffered = 0
        self._quota = self._most_outgoing = RECEIVE_MAXIMUM
        self._asked: dict[int, int] = {}  # SUBSCRIBE and UNSUBSCRIBE under way: how many filters
        self._unacknowledged: dict[int, Publish] = {}
        own = connect.properties or {}
        self._most_incoming = own.get("receive_maximum", RECEIVE_MAXIMUM)
        self._most_aliases = own.get("topic_alias_maximum", 0)
        self._aliases: dict[int, str] = {}
        self._send(connect)

    @property
    def server(self) -> Properties:
        """What the server said of itself in its answer."""
        return (self.answer.properties if self.answer is not None else None) or {}

    @property
    def unacknowledged(self) -> int:
        """How many messages of QoS 1 and 2 have come and were not acknowledged."""
        return len(self._unacknowledged)

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self.buffered = 0
        return data

    def publish(self, message: Publish) -> int:
        """Sends or queues a message and returns the packet identifier under which it will be settled; 0 at QoS 0.

        Raises Unencodable, also for what the server has said it does not take.
        """
        self._check(message)
        if not message.qos:
            self._send(message)
            return 0
        message = replace(message, packet_id=self._next_id(), dup=False)
        data = self._encoded(message)
        if self._quota:
            self._quota -= 1
            self.session.outgoing[message.packet_id] = message
            self._put(data)
        else:
            self.session.queued[message.packet_id] = message
        return message.packet_id

    def subscribe(self, subscriptions: list[Subscription], properties: Properties | None = None) -> int:
        """Returns the packet identifier."""
        number = self._next_id()
        self._send(Subscribe(number, subscriptions, properties))
        self._asked[number] = len(subscriptions)
        return number

    def unsubscribe(self, filters: list[str], properties: Properties | None = None) -> int:
        """Returns the packet identifier."""
        number = self._next_id()
        self._send(Unsubscribe(number, filters, properties))
        self._asked[number] = len(filters)
        return number

    def acknowledge(self, message: Publish) -> None:
        """The application has taken a message: it must not come again. To be called in the order of arrival (MQTT-4.6.0-2),
        at QoS 0 without effect. After the end of the connection, what was taken at QoS 2 is still remembered."""
        if self._unacknowledged.get(message.packet_id) is not message:
            return
        del self._unacknowledged[message.packet_id]
        if message.qos == 1:
            self._send(PubAck(message.packet_id))
        else:
            self.session.received.add(message.packet_id)
            self._send(PubRec(message.packet_id))

    def ping(self) -> None:
        self._send(PingReq())

    def disconnect(self, reason: Reason = Reason.NORMAL_DISCONNECTION, properties: Properties | None = None) -> None:
        self._send(Disconnect(reason, properties))

    def receive(self, data: bytes) -> list[Event]:
        """Takes bytes of the server."""
        events: list[Event] = []
        self._decoder.feed(data)
        while packets := self._decoder.batch():
            for packet in packets:
                if (self.answer is None) != isinstance(packet, ConnAck):
                    raise ProtocolViolation(f"{packet.type.name} comes {'after' if self.answer else 'before'} the first CONNACK")
                event = self._receive(packet)
                if event is not None:
                    events.append(event)
        return events

    def _receive(self, packet: Packet) -> Event | None:
        event: Event | None = None
        match packet:
            case Publish():
                event = self._arrived(packet)
            case PubAck() | PubComp():
                event = self._settled(packet)
            case PubRec():
                event = self._recorded(packet)
            case PubRel():
                self._released(packet)
            case SubAck() | UnsubAck():
                event = self._granted(packet)
            case PingResp():
                event = Ponged()
            case ConnAck():
                event = self._connected(packet)
            case Disconnect():
                event = Disconnected(packet.reason, packet.properties)
            case _:
                raise ProtocolViolation(f"nobody asked for {packet.type.name}")
        return event

    def _connected(self, answer: ConnAck) -> Connected:
        self.answer = answer
        if answer.reason.failed:
            return Connected(answer, [])
        session = self.session
        if answer.session_present and self._clean:
            raise ProtocolViolation("the server has a session where a clean start was asked for")
        lost: list[Publish] = []
        # 3.1 does not say whether there is a session; there it is believed.
        if not answer.session_present and (self._clean or self.version != Version.V31):
            lost = [packet for packet in session.outgoing.values() if isinstance(packet, Publish)] + list(session.queued.values())
            session.outgoing.clear()
            session.queued.clear()
            session.received.clear()
        self._quota = self._most_outgoing = self.server.get("receive_maximum", RECEIVE_MAXIMUM)
        # Again, and in the old order (MQTT-4.4.0-1, 4.6.0-1); what does not fit into the server's window waits in front.
        again = list(session.outgoing.values())
        for number, packet in enumerate(again):
            if isinstance(packet, PubRel):
                self._send(packet)
            elif self._quota:
                self._quota -= 1
                self._send(replace(packet, dup=True))
            else:
                self._wait_again(again[number:])
                break
        self._pump()
        return Connected(answer, lost)

    def _wait_again(self, packets: list[Publish | PubRel]) -> None:
        for packet in packets:
            if isinstance(packet, PubRel):
                self._send(packet)
        for packet in reversed(packets):
            if isinstance(packet, Publish):
                del self.session.outgoing[packet.packet_id]
                self.session.queued[packet.packet_id] = replace(packet, dup=True)
                self.session.queued.move_to_end(packet.packet_id, last=False)

    def _arrived(self, message: Publish) -> Arrived | None:
        alias = (message.properties or {}).get("topic_alias")
        if alias is not None:
            self._resolve(message, alias)
        if not message.qos:
            return Arrived(message)
        number = message.packet_id
        if number in self._unacknowledged:
            return None  # again, and the first one is still with the application
        if message.qos == 2 and number in self.session.received:
            self._send(PubRec(number))
            return None
        if len(self._unacknowledged) >= self._most_incoming:
            raise ProtocolViolation(f"more than {self._most_incoming} messages at once", Reason.RECEIVE_MAXIMUM_EXCEEDED)
        self._unacknowledged[number] = message
        return Arrived(message)

    def _resolve(self, message: Publish, alias: int) -> None:
        if alias > self._most_aliases:
            raise ProtocolViolation(f"topic alias {alias} is more than {self._most_aliases}", Reason.TOPIC_ALIAS_INVALID)
        if message.topic:
            self._aliases[alias] = message.topic
        elif alias in self._aliases:
            message.topic = self._aliases[alias]
        else:
            raise ProtocolViolation(f"topic alias {alias} stands for nothing", Reason.TOPIC_ALIAS_INVALID)

    def _settled(self, packet: PubAck | PubComp) -> Settled | None:
        sent = self.session.outgoing.get(packet.packet_id)
        if sent is None:
            return None
        if isinstance(packet, PubComp) != isinstance(sent, PubRel):
            raise ProtocolViolation(f"{packet.type.name} for a message that is not there yet")
        if isinstance(sent, Publish) and sent.qos == 2:
            raise ProtocolViolation("PUBACK for a message of QoS 2")
        return self._done(packet.packet_id, packet.reason, packet.properties)

    def _recorded(self, packet: PubRec) -> Settled | None:
        number = packet.packet_id
        sent = self.session.outgoing.get(number)
        if isinstance(sent, Publish) and sent.qos == 1:
            raise ProtocolViolation("PUBREC for a message of QoS 1")
        if packet.reason.failed:
            return self._done(number, packet.reason, packet.properties) if isinstance(sent, Publish) else None
        if sent is None:
            self._send(PubRel(number, Reason.PACKET_IDENTIFIER_NOT_FOUND))
            return None
        self.session.outgoing[number] = release = PubRel(number)
        self._send(release)
        return None

    def _done(self, number: int, reason: Reason, properties: Properties | None) -> Settled:
        del self.session.outgoing[number]
        self._quota = min(self._quota + 1, self._most_outgoing)
        self._pump()
        return Settled(number, [reason], properties)

    def _released(self, packet: PubRel) -> None:
        known = packet.packet_id in self.session.received
        self.session.received.discard(packet.packet_id)
        self._send(PubComp(packet.packet_id, Reason.SUCCESS if known else Reason.PACKET_IDENTIFIER_NOT_FOUND))

    def _granted(self, packet: SubAck | UnsubAck) -> Settled | None:
        count = self._asked.pop(packet.packet_id, None)
        if count is None:
            return None
        if len(packet.reasons) != count and (isinstance(packet, SubAck) or self.version == Version.V5):
            raise ProtocolViolation(f"{packet.type.name} has {len(packet.reasons)} reasons for {count} topic filters")
        return Settled(packet.packet_id, packet.reasons, packet.properties)

    def _pump(self) -> None:
        session = self.session
        while self._quota and session.queued:
            number, message = session.queued.popitem(last=False)
            session.outgoing[number] = message
            self._quota -= 1
            self._send(message)

    def _next_id(self) -> int:
        session = self.session
        for _ in range(MAX_PACKET_ID):
            session.last_id = number = session.last_id % MAX_PACKET_ID + 1
            if number not in session.outgoing and number not in session.queued and number not in self._asked:
                return number
        raise Unencodable("all 65535 packet identifiers are in use: wait for answers")

    def _check(self, message: Publish) -> None:
        if message.qos > self.server.get("maximum_qos", 2):
            raise Unencodable(f"the server takes no messages of QoS {message.qos}")
        if message.retain and not self.server.get("retain_available", True):
            raise Unencodable("the server keeps no retained messages")
        alias = (message.properties or {}).get("topic_alias", 0)
        if alias and (message.qos or alias > self.server.get("topic_alias_maximum", 0)):
            # At QoS 1 and 2 the message may have to go out again on a connection that does not know the alias (MQTT-3.3.2-7).
            raise Unencodable(f"topic alias {alias}: the server takes fewer, or the message is not of QoS 0")

    def _encoded(self, packet: Packet) -> bytes:
        data = encode(packet, self.version)
        limit = self.server.get("maximum_packet_size", 0)
        if 0 < limit < len(data):
            raise Unencodable(f"a packet of {len(data)} bytes; the server takes {limit} bytes at most")
        return data

    def _put(self, data: bytes) -> None:
        self._outgoing.append(data)
        self.buffered += len(data)

    def _send(self, packet: Packet) -> None:
        self._put(self._encoded(packet))
