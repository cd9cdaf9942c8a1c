"""The bodies of all packets but PUBLISH and CONNECT, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mqtt.allowed import reason_of
from mqtt.errors import MalformedPacket, ProtocolViolation
from mqtt.packets import (
    Ack,
    Auth,
    ConnAck,
    Disconnect,
    Packet,
    PacketType,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
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
from mqtt.propertycodec import read_properties
from mqtt.reasons import Reason, from_return_code
from mqtt.wire import Reader, check_count


def packet_id(reader: Reader) -> int:
    """A packet identifier, which is never 0 (MQTT-2.2.1-3; 3.1.1: MQTT-2.3.1-1)."""
    number = reader.two("packet identifier")
    if not number:
        raise ProtocolViolation("the packet identifier is 0")
    return number


def _properties(reader: Reader, kind: PacketType, version: Version) -> Properties | None:
    return read_properties(reader, kind) if version == Version.V5 else None


def _ack(kind: PacketType, make: Callable[[int, Reason, Properties | None], Ack]) -> Callable[[Reader, Version], Ack]:
    def read(reader: Reader, version: Version) -> Ack:
        number = packet_id(reader)
        if not reader.more or version != Version.V5:
            reader.finish()
            return make(number, Reason.SUCCESS, None)
        reason = reason_of(kind, reader.byte("reason code"))
        return make(number, reason, read_properties(reader, kind) if reader.more else None)

    return read


def _connack(reader: Reader, version: Version) -> ConnAck:
    flags = reader.byte("flags")
    code = reader.byte("reason code")
    if version == Version.V31:
        flags = 0  # not used there
    if flags > 1:
        raise MalformedPacket(f"the flags of a CONNACK are 0x{flags:02x}: reserved bits are set")
    reason = reason_of(PacketType.CONNACK, code) if version == Version.V5 else from_return_code(code)
    if reason is None:
        raise MalformedPacket(f"{code} is not a return code of CONNACK")
    if flags and reason.failed:
        raise ProtocolViolation("a refused connection has no session")
    return ConnAck(flags == 1, reason, _properties(reader, PacketType.CONNACK, version))


def _subscribe(reader: Reader, version: Version) -> Subscribe:
    number = packet_id(reader)
    properties = _properties(reader, PacketType.SUBSCRIBE, version)
    subscriptions: list[Subscription] = []
    while reader.more:
        check_count(len(subscriptions), "topic filters")
        topic_filter = _filter(reader)
        options = reader.byte("subscription options")
        if version == Version.V5:
            subscriptions.append(_subscription(topic_filter, options))
        elif options < 3:
            subscriptions.append(Subscription(topic_filter, options))
        elif version == Version.V31 and options & 3 < 3:
            subscriptions.append(Subscription(topic_filter, options & 3))  # the other bits are not used there
        else:
            raise MalformedPacket(f"0x{options:02x} is not a requested QoS")
    if not subscriptions:
        raise ProtocolViolation("a SUBSCRIBE without a topic filter")
    return Subscribe(number, subscriptions, properties)


def _filter(reader: Reader) -> str:
    topic_filter = reader.text("topic filter")
    if not topic_filter:
        raise MalformedPacket("the topic filter is empty")
    return topic_filter


def _subscription(topic_filter: str, options: int) -> Subscription:
    qos, handling = options & 3, options >> 4 & 3
    if options & 0xC0:
        raise MalformedPacket(f"the subscription options are 0x{options:02x}: reserved bits are set")
    if qos == 3 or handling == 3:
        raise ProtocolViolation(f"the subscription options 0x{options:02x} ask for a QoS or retain handling of 3")
    no_local = bool(options & 4)
    if no_local and topic_filter.startswith("$share/"):
        raise ProtocolViolation(f"no local with the shared subscription {topic_filter!r}")
    return Subscription(topic_filter, qos, no_local, bool(options & 8), handling)


def _suback(reader: Reader, version: Version) -> SubAck:
    number = packet_id(reader)
    properties = _properties(reader, PacketType.SUBACK, version)
    reasons = []
    while reader.more:
        code = reader.byte("reason code")
        if version == Version.V31:
            code &= 3  # the other bits are not used there
        reason = reason_of(PacketType.SUBACK, code)
        if version != Version.V5 and reason > Reason.UNSPECIFIED_ERROR:
            raise MalformedPacket(f"0x{code:02x} is not a return code of SUBACK")
        reasons.append(reason)
    if not reasons:
        raise ProtocolViolation("a SUBACK without a reason code")
    return SubAck(number, reasons, properties)


def _unsubscribe(reader: Reader, version: Version) -> Unsubscribe:
    number = packet_id(reader)
    properties = _properties(reader, PacketType.UNSUBSCRIBE, version)
    filters: list[str] = []
    while reader.more:
        check_count(len(filters), "topic filters")
        filters.append(_filter(reader))
    if not filters:
        raise ProtocolViolation("an UNSUBSCRIBE without a topic filter")
    return Unsubscribe(number, filters, properties)


def _unsuback(reader: Reader, version: Version) -> UnsubAck:
    number = packet_id(reader)
    if version != Version.V5:
        return UnsubAck(number)
    properties = read_properties(reader, PacketType.UNSUBACK)
    reasons = []
    while reader.more:
        reasons.append(reason_of(PacketType.UNSUBACK, reader.byte("reason code")))
    if not reasons:
        raise ProtocolViolation("an UNSUBACK without a reason code")
    return UnsubAck(number, reasons, properties)


def _disconnect(reader: Reader, version: Version) -> Disconnect:
    if version != Version.V5 or not reader.more:
        return Disconnect()
    reason = reason_of(PacketType.DISCONNECT, reader.byte("reason code"))
    return Disconnect(reason, read_properties(reader, PacketType.DISCONNECT) if reader.more else None)


def _auth(reader: Reader, version: Version) -> Auth:
    if version != Version.V5:
        raise ProtocolViolation("there is no AUTH before MQTT 5.0")
    if not reader.more:
        return Auth()
    reason = reason_of(PacketType.AUTH, reader.byte("reason code"))
    return Auth(reason, read_properties(reader, PacketType.AUTH))


BODIES: Final[dict[int, Callable[[Reader, Version], Packet]]] = {
    PacketType.CONNACK: _connack,
    PacketType.PUBACK: _ack(PacketType.PUBACK, PubAck),
    PacketType.PUBREC: _ack(PacketType.PUBREC, PubRec),
    PacketType.PUBREL: _ack(PacketType.PUBREL, PubRel),
    PacketType.PUBCOMP: _ack(PacketType.PUBCOMP, PubComp),
    PacketType.SUBSCRIBE: _subscribe,
    PacketType.SUBACK: _suback,
    PacketType.UNSUBSCRIBE: _unsubscribe,
    PacketType.UNSUBACK: _unsuback,
    PacketType.PINGREQ: lambda reader, version: PingReq(),
    PacketType.PINGRESP: lambda reader, version: PingResp(),
    PacketType.DISCONNECT: _disconnect,
    PacketType.AUTH: _auth,
}
