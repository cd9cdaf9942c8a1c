"""One session through any history of publishes, acknowledgements, lost connections and take-overs, against a model of lists.

The model says after each step exactly what the client must have been sent. Windows and queues are tiny, to be full often.
``STATEFUL=1000`` is how many histories; 30 in an ordinary run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from brokers.conversation import Broker, Client
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mqtt.limits import Limits
from mqtt.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel, SubAck, Subscribe, Subscription, Version
from mqtt.properties import Properties
from mqtt.reasons import Reason

QUEUE = 4
WINDOW = 3
SENT = tuple[str, bytes, int, bool]


@dataclass
class Waiting:
    """packet_id: 0 until it has gone out. known: to the client of this connection."""

    payload: bytes
    qos: int
    expires: float
    packet_id: int = 0
    released: bool = False
    known: bool = False


class OneSession(RuleBasedStateMachine):
    """flight: in the order of the first transmission. due: what the client must see next."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker(Limits(queued_messages=QUEUE, in_flight=WINDOW))
        self.writer = self.broker.client("writer", Version.V5)
        self.watcher = self.broker.client("watcher")
        self.watcher.subscribe("from/reader", 0)
        self.reader: Client | None = None
        self.window = WINDOW
        self.flight: list[Waiting] = []
        self.queue: list[Waiting] = []
        self.received: set[int] = set()
        self.dropped = 0
        self.number = 0

    @initialize(version=st.sampled_from([Version.V311, Version.V5]))
    def first(self, version: Version) -> None:
        self.version = version
        self.reader = self._connected(clean=False, most=None)
        self._subscribe(self.reader)

    def _connected(self, *, clean: bool, most: int | None) -> Client:
        properties = None
        if self.version == Version.V5:
            properties = Properties(session_expiry=10_000_000)
            if most is not None:
                properties["receive_maximum"] = most
        self.window = WINDOW if properties is None else min(properties.get("receive_maximum", WINDOW), WINDOW)
        return self.broker.client("reader", self.version, clean_start=clean, properties=properties)

    def _subscribe(self, client: Client) -> None:
        client.send(Subscribe(7, [Subscription("to/reader", 2)]))
        assert client.one() == SubAck(7, [Reason(2)])

    # What the model expects to be sent, given how it is.

    def _may_go(self) -> list[Packet | Waiting]:
        """What goes out now: first what the last connection has left, then the queue."""
        out: list[Packet | Waiting] = []
        while (again := next((each for each in self.flight if not each.known), None)) is not None:
            if sum(each.known for each in self.flight) >= self.window:
                return out
            again.known = True
            out.append(PubRel(again.packet_id) if again.released else again)
        while self.queue and len(self.flight) < self.window:
            first = self.queue.pop(0)
            if first.expires <= self.broker.now:
                self.dropped += 1
                continue
            first.known = True
            self.flight.append(first)
            out.append(first)
        return out

    def _see(self, expected: list[Packet | Waiting]) -> None:
        assert self.reader is not None
        got = self.reader.got()
        assert len(got) == len(expected), (got, expected)
        for packet, wanted in zip(got, expected, strict=True):
            if not isinstance(wanted, Waiting):
                assert packet == wanted
                continue
            assert isinstance(packet, Publish)
            assert (packet.payload, packet.qos, packet.dup) == (wanted.payload, wanted.qos, wanted.packet_id != 0)
            if wanted.packet_id:
                assert packet.packet_id == wanted.packet_id
            else:
                assert packet.packet_id not in [each.packet_id for each in self.flight]
                wanted.packet_id = packet.packet_id

    # Towards the client.

    @rule(qos=st.integers(0, 2), expiry=st.none() | st.integers(1, 5))
    def publish(self, qos: int, expiry: int | None) -> None:
        self.number += 1
        payload = b"%d" % self.number
        properties = None if expiry is None else Properties(message_expiry=expiry)
        self.writer.publish("to/reader", payload, qos, properties=properties)
        if qos == 0:
            if self.reader is not None:
                message = self.reader.one()
                assert isinstance(message, Publish)
                assert (message.payload, message.qos) == (payload, 0)
            return
        waiting = Waiting(payload, qos, self.broker.now + (expiry or 10_000_000))
        straight = self.reader is not None and not self.queue and len(self.flight) < self.window
        if straight:
            waiting.known = True
            self.flight.append(waiting)
            self._see([waiting])
        elif len(self.queue) < QUEUE:
            self.queue.append(waiting)
        else:
            self.dropped += 1

    def _of(self, data: st.DataObject, qos: int, *, released: bool = False) -> Waiting | None:
        several = [each for each in self.flight if each.known and each.qos == qos and each.released == released]
        return data.draw(st.sampled_from(several)) if several else None

    @precondition(lambda self: self.reader is not None)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        found = self._of(data, 1)
        if found is not None and self.reader is not None:
            self.reader.send(PubAck(found.packet_id))
            self.flight.remove(found)
            self._see(self._may_go())

    @precondition(lambda self: self.reader is not None)
    @rule(data=st.data(), refused=st.booleans())
    def has_arrived(self, data: st.DataObject, refused: bool) -> None:
        found = self._of(data, 2)
        if found is None or self.reader is None:
            return
        if refused and self.version == Version.V5:
            self.reader.send(PubRec(found.packet_id, Reason.QUOTA_EXCEEDED))
            self.flight.remove(found)
            self._see(self._may_go())
        else:
            self.reader.send(PubRec(found.packet_id))
            found.released = True
            self._see([PubRel(found.packet_id)])

    @precondition(lambda self: self.reader is not None)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        found = self._of(data, 2, released=True)
        if found is not None and self.reader is not None:
            self.reader.send(PubComp(found.packet_id))
            self.flight.remove(found)
            self._see(self._may_go())

    @precondition(lambda self: self.reader is not None)
    @rule(data=st.data(), packet_id=st.integers(1, 30))
    def acknowledge_what_is_not_so(self, data: st.DataObject, packet_id: int) -> None:
        """A PUBACK for QoS 2, a PUBCOMP before its PUBREC, identifiers that nobody uses: nothing comes of it."""
        assert self.reader is not None
        if self.flight and data.draw(st.booleans()):
            packet_id = data.draw(st.sampled_from(self.flight)).packet_id
        found = next((each for each in self.flight if each.packet_id == packet_id), None)
        wrong = [PubAck(packet_id), PubComp(packet_id)]
        if found is not None:
            wrong = [] if found.released else [PubComp(packet_id)] if found.qos == 1 else wrong
        if wrong:
            self.reader.send(data.draw(st.sampled_from(wrong)))
            self._see([])

    # Connections.

    @precondition(lambda self: self.reader is not None)
    @rule(politely=st.booleans())
    def leave(self, politely: bool) -> None:
        assert self.reader is not None
        if politely:
            self.reader.leave()
        else:
            self.reader.lose()
        self.reader = None

    @rule(most=st.none() | st.integers(1, 5))
    def come_again(self, most: int | None) -> None:
        """Also while the old connection still stands."""
        old = self.reader
        self.reader = self._connected(clean=False, most=most)
        assert self.reader.present
        assert old is None or old.closed
        for each in self.flight:
            each.known = False
        self._see(self._may_go())

    @rule()
    def begin_anew(self) -> None:
        self.reader = self._connected(clean=True, most=None)
        assert not self.reader.present
        if self.version != Version.V5:
            # Before 5.0 a session that begins clean ends with its connection.
            self.reader.lose()
            self.reader = self._connected(clean=False, most=None)
            assert not self.reader.present
        self.flight, self.queue, self.received = [], [], set()
        self._see([])
        self._subscribe(self.reader)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        self.broker.pass_time(seconds)

    # From the client at QoS 2.

    @precondition(lambda self: self.reader is not None)
    @rule(packet_id=st.integers(1, 3), dup=st.booleans())
    def send(self, packet_id: int, dup: bool) -> None:
        assert self.reader is not None
        self.reader.send(Publish("from/reader", b"up", 2, packet_id=packet_id, dup=dup))
        self._see([PubRec(packet_id)])
        assert len(self.watcher.messages()) == (packet_id not in self.received), "passed on once"
        self.received.add(packet_id)

    @precondition(lambda self: self.reader is not None)
    @rule(packet_id=st.integers(1, 3))
    def release(self, packet_id: int) -> None:
        assert self.reader is not None
        self.reader.send(PubRel(packet_id))
        known = packet_id in self.received or self.version != Version.V5
        self._see([PubComp(packet_id) if known else PubComp(packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND)])
        self.received.discard(packet_id)

    @invariant()
    def is_as_the_model_says(self) -> None:
        session = self.broker.core.clients.sessions.get("reader")
        if session is None:
            return
        assert list(session.in_flight) == [each.packet_id for each in self.flight]
        assert [each.message.packet.payload for each in session.queue] == [each.payload for each in self.queue]
        assert session.queued_bytes == sum(each.message.size for each in session.queue)
        assert self.broker.core.counters.waiting.bytes == session.queued_bytes + 150 * len(session.queue)
        assert self.broker.core.counters.dropped.total() == self.dropped


TestOneSession = OneSession.TestCase
TestOneSession.settings = settings(max_examples=int(os.environ.get("STATEFUL", "30")), stateful_step_count=40, deadline=None)
