"""Packets in, bytes out: in as few bytes as the standard allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mqtt import wire
from mqtt.allowed import ALLOWED
from mqtt.errors import Unencodable
from mqtt.packets import (
    Ack,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PacketType,
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
from mqtt.properties import WILL, Properties
from mqtt.propertycodec import write_properties
from mqtt.reasons import Reason, return_code

_TOPICS: dict[str, bytes] = {}
"""Topics with their lengths in front, for all connections: what is published once is published again."""
_TOPICS_KEPT: Final = 4096
_TOPIC_LENGTH_KEPT: Final = 256


def encode(packet: Packet, version: Version) -> bytes:
    """The bytes of a packet for a peer of that version. What the version has no place for (properties and most reasons
    before 5.0) is left out.

    Raises Unencodable for values that the wire cannot carry, or that a receiver would have to refuse.
    """
    if type(packet) is Publish:
        if packet.qos:
            head, tail = split_publish(packet, version)
            return b"".join((head, _packet_id(packet.packet_id), tail))
        return b"".join(split_publish(packet, version))
    return _ENCODERS[type(packet)](packet, version)


def split_publish(packet: Publish, version: Version) -> tuple[bytes, bytes]:
    """A PUBLISH in the two parts between which its packet identifier stands (``id.to_bytes(2, "big")``; nothing at QoS 0).

    For fan-out: made once per version, QoS and retain flag, for any number of receivers. ``packet.packet_id`` is not used.
    The header already counts the identifier; to mark a duplicate, set bit 0x08 of the first byte.
    """
    qos = packet.qos
    topic = _TOPICS.get(packet.topic)
    if topic is None:
        topic = _topic(packet.topic)
    payload = packet.payload
    length = len(topic) + len(payload)
    if version >= 5:
        properties = packet.properties
        if properties:
            written = write_properties(properties, PacketType.PUBLISH)
            payload = written + payload
            length += len(written)
        else:
            payload = b"\0" + payload
            length += 1
    if len(topic) == 2 and (version < 5 or "topic_alias" not in (packet.properties or ())):
        raise Unencodable("a PUBLISH without topic name and topic alias")
    if qos:
        if qos > 2:
            raise Unencodable(f"there is no QoS {qos}")
        length += 2
        first = 0x30 | qos << 1 | packet.retain | packet.dup << 3
    else:
        first = 0x31 if packet.retain else 0x30
    if length < 128:
        return bytes((first, length)) + topic, payload
    if length < 16_384:
        return bytes((first, length & 127 | 128, length >> 7)) + topic, payload
    return bytes((first,)) + wire.variable(length) + topic, payload


def _topic(topic: str) -> bytes:
    written = wire.topic(topic, "topic name")
    if len(topic) <= _TOPIC_LENGTH_KEPT:
        if len(_TOPICS) >= _TOPICS_KEPT:
            _TOPICS.clear()
        _TOPICS[topic] = written
    return written


def _framed(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((first,)) + wire.variable(len(body)) + body


def _packet_id(number: int) -> bytes:
    if not 0 < number < 65_536:
        raise Unencodable(f"the packet identifier is {number}; it must be within 1 and 65535")
    return number.to_bytes(2, "big")


def _code(kind: PacketType, reason: Reason) -> bytes:
    if reason not in ALLOWED[kind]:
        raise Unencodable(f"{reason.text} (0x{reason:02x}) is not a reason code of {kind.name}")
    return bytes((reason,))


def _properties(properties: Properties | None, kind: PacketType, version: Version) -> bytes:
    return write_properties(properties, kind) if version == Version.V5 else b""


def _connect(packet: Connect, version: Version) -> bytes:
    version = packet.version  # the packet itself says it
    will = packet.will
    flags = 0x02 if packet.clean_start else 0
    parts = [wire.text(packet.client_id, "client identifier")]
    if will is not None:
        if not will.topic:
            raise Unencodable("the topic of the will is empty")
        flags |= 0x04 | _qos(will.qos) << 3 | (0x20 if will.retain else 0)
        if version == Version.V5:
            parts.append(write_properties(will.properties, WILL))
        parts += [wire.topic(will.topic, "topic of the will"), wire.binary(will.payload, "payload of the will")]
    if packet.username is not None:
        flags |= 0x80
        parts.append(wire.text(packet.username, "user name"))
    if packet.password is not None:
        if packet.username is None and version != Version.V5:
            raise Unencodable(f"MQTT {version.text} has no password without a user name")
        flags |= 0x40
        parts.append(wire.binary(packet.password, "password"))
    name = b"\0\6MQIsdp" if version == Version.V31 else b"\0\4MQTT"
    return _framed(
        0x10,
        name,
        bytes((version, flags)),
        wire.two(packet.keep_alive, "keep alive"),
        _properties(packet.properties, PacketType.CONNECT, version),
        *parts,
    )


def _connack(packet: ConnAck, version: Version) -> bytes:
    if packet.session_present and packet.reason.failed:
        raise Unencodable("a refused connection has no session")
    # 3.1 has no place for it.
    present = b"\1" if packet.session_present and version != Version.V31 else b"\0"
    if version != Version.V5:
        return b"\x20\x02" + present + bytes((return_code(packet.reason),))
    code = _code(PacketType.CONNACK, packet.reason)
    return _framed(0x20, present, code, write_properties(packet.properties, PacketType.CONNACK))


def _qos(qos: int) -> int:
    if not 0 <= qos <= 2:
        raise Unencodable(f"there is no QoS {qos}")
    return qos


def _ack(packet: Ack, version: Version) -> bytes:
    first = _ACKS[packet.type]
    number = packet.packet_id
    if not 0 < number < 65_536:
        raise Unencodable(f"the packet identifier is {number}; it must be within 1 and 65535")
    if version != Version.V5 or (packet.reason is Reason.SUCCESS and not packet.properties):
        return bytes((first, 2, number >> 8, number & 255))
    code = _code(packet.type, packet.reason)
    if not packet.properties:
        return bytes((first, 3, number >> 8, number & 255, code[0]))
    return _framed(first, number.to_bytes(2, "big"), code, write_properties(packet.properties, packet.type))


def _subscribe(packet: Subscribe, version: Version) -> bytes:
    if not packet.subscriptions:
        raise Unencodable("a SUBSCRIBE needs a topic filter")
    parts = [_packet_id(packet.packet_id), _properties(packet.properties, PacketType.SUBSCRIBE, version)]
    for subscription in packet.subscriptions:
        parts += [_filter(subscription.filter), bytes((_options(subscription, version),))]
    return _framed(0x82, *parts)


def _filter(topic_filter: str) -> bytes:
    if not topic_filter:
        raise Unencodable("a topic filter is empty")
    return wire.text(topic_filter, "topic filter")


def _options(subscription: Subscription, version: Version) -> int:
    options = _qos(subscription.qos)
    if version != Version.V5:
        return options
    if not 0 <= subscription.retain_handling <= 2:
        raise Unencodable(f"there is no retain handling {subscription.retain_handling}")
    if subscription.no_local and subscription.filter.startswith("$share/"):
        raise Unencodable(f"no local with the shared subscription {subscription.filter!r}")
    return options | subscription.no_local << 2 | subscription.retain_as_published << 3 | subscription.retain_handling << 4


def _suback(packet: SubAck, version: Version) -> bytes:
    if not packet.reasons:
        raise Unencodable("a SUBACK needs a reason for each topic filter")
    if version == Version.V5:
        codes = b"".join(_code(PacketType.SUBACK, reason) for reason in packet.reasons)
    else:
        # 3.1 cannot say that a subscription failed: QoS 0 is granted, and nothing comes.
        failed = 0 if version == Version.V31 else 0x80
        codes = bytes(failed if reason.failed else _qos(reason) for reason in packet.reasons)
    return _framed(0x90, _packet_id(packet.packet_id), _properties(packet.properties, PacketType.SUBACK, version), codes)


def _unsubscribe(packet: Unsubscribe, version: Version) -> bytes:
    if not packet.filters:
        raise Unencodable("an UNSUBSCRIBE needs a topic filter")
    properties = _properties(packet.properties, PacketType.UNSUBSCRIBE, version)
    return _framed(0xA2, _packet_id(packet.packet_id), properties, *map(_filter, packet.filters))


def _unsuback(packet: UnsubAck, version: Version) -> bytes:
    if version != Version.V5:
        return b"\xb0\x02" + _packet_id(packet.packet_id)
    if not packet.reasons:
        raise Unencodable("an UNSUBACK needs a reason for each topic filter")
    codes = [_code(PacketType.UNSUBACK, reason) for reason in packet.reasons]
    return _framed(0xB0, _packet_id(packet.packet_id), write_properties(packet.properties, PacketType.UNSUBACK), *codes)


def _disconnect(packet: Disconnect, version: Version) -> bytes:
    if version != Version.V5 or (packet.reason is Reason.SUCCESS and not packet.properties):
        return b"\xe0\x00"
    code = _code(PacketType.DISCONNECT, packet.reason)
    if not packet.properties:
        return b"\xe0\x01" + code
    return _framed(0xE0, code, write_properties(packet.properties, PacketType.DISCONNECT))


def _auth(packet: Auth, version: Version) -> bytes:
    if version != Version.V5:
        raise Unencodable("there is no AUTH before MQTT 5.0")
    code = _code(PacketType.AUTH, packet.reason)
    if packet.reason is Reason.SUCCESS and not packet.properties:
        return b"\xf0\x00"
    return _framed(0xF0, code, write_properties(packet.properties, PacketType.AUTH))


_ACKS: Final = {PacketType.PUBACK: 0x40, PacketType.PUBREC: 0x50, PacketType.PUBREL: 0x62, PacketType.PUBCOMP: 0x70}
_ENCODERS: Final[dict[type[Any], Callable[[Any, Version], bytes]]] = {
    Connect: _connect,
    ConnAck: _connack,
    PubAck: _ack,
    PubRec: _ack,
    PubRel: _ack,
    PubComp: _ack,
    Subscribe: _subscribe,
    SubAck: _suback,
    Unsubscribe: _unsubscribe,
    UnsubAck: _unsuback,
    PingReq: lambda packet, version: b"\xc0\x00",
    PingResp: lambda packet, version: b"\xd0\x00",
    Disconnect: _disconnect,
    Auth: _auth,
}
