"""PUBLISH from a client: checked, passed on once, acknowledged."""

from __future__ import annotations

from mqtt.counters import Counters
from mqtt.errors import ProtocolViolation
from mqtt.journal import Journal
from mqtt.limits import Limits
from mqtt.link import Link
from mqtt.message import Message, passed_on
from mqtt.packets import PubAck, Publish, PubRec
from mqtt.reasons import Reason
from mqtt.router import Router
from mqtt.session import Session
from mqtt.topics import TopicError


class Intake:
    def __init__(self, limits: Limits, journal: Journal, router: Router, counters: Counters) -> None:
        self._limits = limits
        self._journal = journal
        self._router = router
        self._counters = counters

    def publish(self, link: Link, session: Session, packet: Publish, now: float) -> None:
        """Raises ProtocolViolation. What is acknowledged is in the hands of all who get it, or counted as dropped."""
        expires = None
        if packet.properties is not None:
            expires = self._unpack(link, packet, now)
        self._counters.received += 1
        qos = packet.qos
        if qos == 2 and self._is_known(link, session, packet.packet_id):
            return
        router = self._router
        topic = packet.topic
        if topic not in router.trie.cache:
            self._check(topic)
        before = self._journal.records
        if router.may_publish(session.identity, topic):
            found = router.publish(Message(packet, session.client_id, expires), session, now)
            reason = Reason.SUCCESS if found else Reason.NO_MATCHING_SUBSCRIBERS
        else:
            self._counters.dropped["not authorized"] += 1
            reason = Reason.NOT_AUTHORIZED
        if qos and self._journal.records != before:
            link.hold = self._journal.newest
        if qos == 1:
            if link.version < 5 or reason is Reason.SUCCESS:
                link.send(b"\x40\x02" + packet.packet_id.to_bytes(2, "big"))
            else:
                link.send_packet(PubAck(packet.packet_id, reason))
        elif qos:
            self._received(link, session, packet.packet_id, reason)

    def _received(self, link: Link, session: Session, packet_id: int, reason: Reason) -> None:
        if link.version < 5 or reason is not Reason.NOT_AUTHORIZED:
            session.receive(packet_id)
            if session.journal is not None:
                link.hold = self._journal.newest
        if link.version < 5 or reason is Reason.SUCCESS:
            link.send(b"\x50\x02" + packet_id.to_bytes(2, "big"))
        else:
            link.send_packet(PubRec(packet_id, reason))

    def _is_known(self, link: Link, session: Session, packet_id: int) -> bool:
        """Answers a QoS 2 message that was passed on before (MQTT-4.3.3-10)."""
        if packet_id in session.received:
            if session.journal is not None:
                link.hold = self._journal.newest
            link.send(b"\x50\x02" + packet_id.to_bytes(2, "big"))
            return True
        if link.version == 5 and len(session.received) >= self._limits.receive_maximum:
            raise ProtocolViolation("more QoS 2 messages than the receive maximum", Reason.RECEIVE_MAXIMUM_EXCEEDED)
        return False

    def _check(self, topic: str) -> None:
        try:
            self._router.check_topic(topic)
        except TopicError as error:
            raise ProtocolViolation(f"the topic is {error}", Reason.TOPIC_NAME_INVALID) from None

    def _unpack(self, link: Link, packet: Publish, now: float) -> float | None:
        """Resolves the topic alias, keeps only the properties that are passed on; returns when the message expires."""
        properties = packet.properties or {}
        alias = properties.get("topic_alias")
        if alias is not None:
            if not 0 < alias <= self._limits.topic_aliases:
                raise ProtocolViolation(f"the topic alias {alias} is not within the maximum", Reason.TOPIC_ALIAS_INVALID)
            if link.aliases is None:
                link.aliases = {}
            if packet.topic:
                link.aliases[alias] = packet.topic
            elif alias in link.aliases:
                packet.topic = link.aliases[alias]
            else:
                raise ProtocolViolation(f"the topic alias {alias} stands for nothing", Reason.TOPIC_ALIAS_INVALID)
        expiry = properties.get("message_expiry")
        packet.properties = passed_on(packet.properties)
        return None if expiry is None else now + expiry
