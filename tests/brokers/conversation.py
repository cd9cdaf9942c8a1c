"""A broker core without sockets and without a clock: packets in, packets out."""

from __future__ import annotations

from typing import Any

import pytest

from mqtt.access import Authorizer, Identity, Peer
from mqtt.codec import Decoder, encode
from mqtt.core import Core
from mqtt.journal import Journal
from mqtt.limits import Limits
from mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
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
from mqtt.properties import Properties
from mqtt.reasons import Reason


class Broker:
    """``now`` is the clock; everybody who is not refused by ``answers`` is let in, in ``realm``."""

    def __init__(
        self, limits: Limits | None = None, journal: Journal | None = None, authorizer: Authorizer | None = None
    ) -> None:
        self.core = Core(limits or Limits(), journal, authorizer)
        self.now = 1000.0
        self.answers: dict[str, Reason] = {}
        self.realm = ""

    def client(self, name: str, version: Version = Version.V311, **connect: Any) -> Client:
        """A client that was accepted."""
        client = self.stranger(version)
        ack = client.connect(name, **connect)
        assert ack.reason is Reason.SUCCESS, ack
        client.present = ack.session_present
        client.terms = ack.properties or {}
        return client

    def stranger(self, version: Version = Version.V311) -> Client:
        return Client(self, version)

    def answer(self) -> None:
        for link in self.core.asking:
            connect = link.asking
            if connect is not None:
                name = connect.client_id
                self.core.admit(link, self.answers.get(name) or Identity(name, connect.username, self.realm), self.now)
        self.core.asking.clear()

    def go_on(self) -> None:
        """What was left of packets gets another turn."""
        for link in self.core.rest():
            self.core.feed(link, b"", self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.core.tick(self.now)


class Client:
    def __init__(self, broker: Broker, version: Version) -> None:
        self.broker = broker
        self.version = version
        self.link = broker.core.open(Peer("test"), broker.now)
        self.decoder = Decoder(1 << 28, version)
        self.present = False
        self.terms: Properties = {}
        self._waiting: list[Packet] = []

    def connect(self, name: str, **connect: Any) -> ConnAck:
        self.send(Connect(self.version, name, **connect))
        self.broker.answer()
        ack, *self._waiting = self.got()
        assert isinstance(ack, ConnAck)
        return ack

    def send(self, *packets: Packet) -> None:
        self.raw(b"".join(encode(each, self.version) for each in packets))

    def raw(self, data: bytes) -> None:
        self.broker.core.feed(self.link, data, self.broker.now)

    def got(self) -> list[Packet]:
        """What has come since the last look; the network has taken it then."""
        data = b"".join(self.link.out)
        self.link.out.clear()
        self.link.buffered = 0
        self.decoder.feed(data)
        packets, self._waiting = self._waiting, []
        while (packet := self.decoder.next()) is not None:
            packets.append(packet)
        self.broker.core.drained(self.link, self.broker.now)
        return packets

    def one(self) -> Packet:
        [packet] = self.got()
        return packet

    @property
    def closed(self) -> bool:
        return self.link.closing

    def leave(self) -> None:
        """With a DISCONNECT."""
        self.send(Disconnect())
        self.lose()

    def lose(self) -> None:
        """The connection breaks."""
        self.broker.core.lost(self.link, self.broker.now)

    def subscribe(self, name: str, qos: int = 0, **options: Any) -> list[Packet]:
        """What came behind the SUBACK: retained messages."""
        identifier = options.pop("identifier", None)
        properties = Properties(subscription_identifiers=[identifier]) if identifier else None
        self.send(Subscribe(7, [Subscription(name, qos, **options)], properties))
        ack, *rest = self.got()
        assert ack == SubAck(7, [Reason(qos)]), ack
        return rest

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, packet_id: int = 0, **more: Any) -> None:
        """Complete: with all acknowledgements."""
        packet_id = packet_id or (1 if qos else 0)
        self.send(Publish(topic, payload, qos, packet_id=packet_id, **more))
        if qos == 1:
            assert isinstance(self.one(), PubAck)
        elif qos == 2:
            assert isinstance(self.one(), PubRec)
            self.send(PubRel(packet_id))
            assert self.one() == PubComp(packet_id)

    def messages(self) -> list[tuple[str, bytes, int]]:
        """Topic, payload and QoS of what came; everything is acknowledged."""
        found = []
        while packets := self.got():
            for packet in packets:
                if isinstance(packet, Publish):
                    found.append((packet.topic, packet.payload, packet.qos))
                    if packet.qos:
                        self.send(PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id))
                elif isinstance(packet, PubRel):
                    self.send(PubComp(packet.packet_id))
                else:
                    pytest.fail(f"not expected: {packet}")
        return found
