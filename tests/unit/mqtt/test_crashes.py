"""Any history of publishes, lost connections, late commits and crashes of the broker, against what MQTT promises: what was
acknowledged at QoS 1 arrives at least once, at QoS 2 exactly once, and nothing at QoS 2 arrives twice."""

from __future__ import annotations

from collections import Counter, deque

from brokers.ledger import Disk, Ledger
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mqtt.access import Identity, Peer
from mqtt.codec import Decoder, encode
from mqtt.core import Core
from mqtt.limits import Limits
from mqtt.link import Link
from mqtt.packets import (
    ConnAck,
    Connect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    Version,
)

LIMITS = Limits(in_flight=3, queued_messages=10_000)


class Party:
    """A client that keeps its session, and does what the standard says. ``coming``: sent by the broker, not yet heard."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.link: Link | None = None
        self.decoder = Decoder(1 << 20, Version.V311)
        self.coming: deque[bytes] = deque()
        self.sealed: deque[tuple[int, bytes]] = deque()
        self.unanswered: dict[int, Packet] = {}
        self.acknowledged: list[bytes] = []
        self.payloads: dict[int, bytes] = {}
        self.known: set[int] = set()
        self.fresh: set[int] = set()
        self.got: Counter[bytes] = Counter()
        self.next_id = 1

    def publish(self, payload: bytes, qos: int) -> Packet:
        packet = Publish("a", payload, qos, packet_id=self.next_id)
        # Few identifiers, so that they are used again soon; one in use is not taken.
        self.payloads[self.next_id] = payload
        self.unanswered[self.next_id] = packet
        self.fresh.add(self.next_id)
        return packet

    def free_id(self) -> bool:
        self.next_id = next((each for each in range(1, 6) if each not in self.unanswered), 0)
        return self.next_id > 0

    def _again(self) -> list[Packet]:
        """What was not answered on connections before this one."""
        old = [packet for number, packet in self.unanswered.items() if number not in self.fresh]
        for packet in old:
            if isinstance(packet, Publish):
                packet.dup = True
        return old

    def _take(self, packet: Publish) -> list[Packet]:
        if packet.qos != 2 or packet.packet_id not in self.known:
            self.got[packet.payload] += 1
        if packet.qos == 1:
            return [PubAck(packet.packet_id)]
        self.known.add(packet.packet_id)
        return [PubRec(packet.packet_id)]

    def _acknowledged(self, number: int) -> list[Packet]:
        if self.unanswered.pop(number, None) is not None:
            self.acknowledged.append(self.payloads.pop(number))
        return []

    def answer(self, packet: Packet) -> list[Packet]:
        match packet:
            case ConnAck():
                return self._again()
            case Publish():
                return self._take(packet)
            case PubRel():
                self.known.discard(packet.packet_id)
                return [PubComp(packet.packet_id)]
            case PubRec() if packet.packet_id in self.unanswered:
                self.unanswered[packet.packet_id] = PubRel(packet.packet_id)
                return [PubRel(packet.packet_id)]
            case PubAck() | PubComp():
                return self._acknowledged(packet.packet_id)
            case SubAck() | PubRec():
                return []
        raise AssertionError(packet)


class Crashes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ledger = Ledger(Disk())
        self.core = Core(LIMITS, self.ledger)
        self.writer, self.reader = Party("writer"), Party("reader")
        self.count = 0
        self.qos: dict[bytes, int] = {}
        for party in (self.writer, self.reader):
            self._connect(party)
        self._say(self.reader, [Subscribe(1, [Subscription("a", 2)])])
        self.commit()
        self.hear(True, False)
        self.hear(False, False)

    def _party(self, first: bool) -> Party:
        return self.writer if first else self.reader

    def _connect(self, party: Party) -> None:
        party.link = self.core.open(Peer("test"), self.now)
        party.link.shell = party
        party.decoder = Decoder(1 << 20, Version.V311)
        party.coming.clear()
        party.sealed.clear()
        party.fresh.clear()
        self._say(party, [Connect(client_id=party.name, clean_start=False)])

    def _say(self, party: Party, packets: list[Packet]) -> None:
        assert party.link is not None
        self.core.feed(party.link, b"".join(encode(each, Version.V311) for each in packets), self.now)
        for link in self.core.asking:
            self.core.admit(link, Identity(party.name), self.now)
        self.core.asking.clear()
        self._flush()

    def _flush(self) -> None:
        """As the shell does it."""
        for link in self.core.dirty:
            link.marked = False
            party, data = link.shell, b"".join(link.out)
            link.out.clear()
            link.buffered = 0
            if not isinstance(party, Party) or party.link is not link:
                continue
            if link.hold > self.ledger.written or party.sealed:
                party.sealed.append((link.hold, data))
            else:
                party.coming.append(data)
        self.core.dirty.clear()

    @rule(qos=st.integers(1, 2), commit=st.booleans(), heard=st.lists(st.booleans(), max_size=5))
    def exchange(self, qos: int, commit: bool, heard: list[bool]) -> None:
        """A publish and part of what follows from it. commit: before, so that no output of earlier steps waits."""
        if commit:
            self.commit()
        self._publish(qos)
        for first in heard:
            self.hear(first, False)

    def _publish(self, qos: int) -> None:
        if self.writer.free_id():
            self.count += 1
            payload = b"%d" % self.count
            self.qos[payload] = qos
            self._say(self.writer, [self.writer.publish(payload, qos)])

    @rule()
    def commit(self) -> None:
        self.ledger.commit_now()
        for party in (self.writer, self.reader):
            while party.sealed and party.sealed[0][0] <= self.ledger.written:
                party.coming.append(party.sealed.popleft()[1])

    @rule(first=st.booleans(), lose_answers=st.booleans())
    def hear(self, first: bool, lose_answers: bool) -> None:
        """The party takes what came, and answers; perhaps its connection breaks before the answers arrive."""
        party = self._party(first)
        party.decoder.feed(b"".join(party.coming))
        party.coming.clear()
        answers: list[Packet] = []
        while packet := party.decoder.next():
            answers += party.answer(packet)
        if lose_answers:
            self.reset(first)
        elif answers:
            self._say(party, answers)

    @rule(first=st.booleans())
    def reset(self, first: bool) -> None:
        party = self._party(first)
        assert party.link is not None
        self.core.lost(party.link, self.now)
        self._flush()
        self._connect(party)

    @rule()
    def crash(self) -> None:
        """The broker is killed: what is not committed is gone, and what it had not sent."""
        self.ledger = Ledger(self.ledger.disk)
        self.core = Core(LIMITS, self.ledger)
        self.core.restore(self.ledger.saved(), self.ledger.disk.retained.values(), self.now)
        for party in (self.writer, self.reader):
            self._connect(party)

    def teardown(self) -> None:
        for _ in range(200):
            self.commit()
            self.hear(True, False)
            self.hear(False, False)
        assert not self.writer.unanswered
        assert self.count == len(self.writer.acknowledged)
        for payload in self.writer.acknowledged:
            times = self.reader.got[payload]
            assert times == 1 if self.qos[payload] == 2 else times >= 1, (payload, self.qos[payload], times)
        assert not self.core.clients.sessions["reader"].in_flight
        assert not self.ledger.disk.sessions["reader"].deliveries
        assert not self.ledger.disk.sessions["writer"].received


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
