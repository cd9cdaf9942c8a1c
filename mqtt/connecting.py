"""The body of CONNECT, read: the packet in which the version is learnt."""

from __future__ import annotations

from mqtt.errors import MalformedPacket, ProtocolViolation
from mqtt.packets import Connect, PacketType, Version, Will
from mqtt.properties import WILL, Properties
from mqtt.propertycodec import read_properties
from mqtt.reasons import Reason
from mqtt.wire import Reader, topic_of

_RESERVED, _CLEAN, _WILL, _WILL_RETAIN, _PASSWORD, _USERNAME = 0x01, 0x02, 0x04, 0x20, 0x40, 0x80
_WILL_BITS = 0x38


def read_connect(reader: Reader) -> Connect:
    """Raises ProtocolViolation with ``UNSUPPORTED_PROTOCOL_VERSION`` for a protocol that is none of ours."""
    version = _version(reader)
    flags = reader.byte("connect flags")
    _check_flags(flags, version)
    keep_alive = reader.two("keep alive")
    properties = read_properties(reader, PacketType.CONNECT) if version == Version.V5 else None
    client_id = reader.text("client identifier")
    will = _will(reader, flags, version) if flags & _WILL else None
    username = password = None
    # 3.1 lets the length of the packet say that a user name or password is absent, whatever the flags are.
    if flags & _USERNAME and (reader.more or version != Version.V31):
        username = reader.text("user name")
    if flags & _PASSWORD and (reader.more or version != Version.V31):
        password = reader.binary("password")
    return Connect(version, client_id, bool(flags & _CLEAN), keep_alive, username, password, will, properties)


def _version(reader: Reader) -> Version:
    name = reader.binary("protocol name")
    level = reader.byte("protocol level")
    if name == b"MQTT" and level in (4, 5):
        return Version(level)
    if name == b"MQIsdp" and level == 3:
        return Version.V31
    shown = name[:16].decode("ascii", "replace")
    raise ProtocolViolation(
        f"the protocol {shown!r} of level {level} is neither MQTT 3.1, 3.1.1 nor 5.0", Reason.UNSUPPORTED_PROTOCOL_VERSION
    )


def _check_flags(flags: int, version: Version) -> None:
    if flags & _RESERVED and version != Version.V31:
        raise MalformedPacket("the reserved bit of the connect flags is set")
    if not flags & _WILL and flags & _WILL_BITS:
        raise MalformedPacket("the connect flags have a QoS or retain flag for a will, but no will")
    if flags >> 3 & 3 == 3:
        raise MalformedPacket("the QoS of the will is 3")
    if flags & _PASSWORD and not flags & _USERNAME and version != Version.V5:
        raise MalformedPacket("the connect flags have a password without a user name")


def _will(reader: Reader, flags: int, version: Version) -> Will:
    properties: Properties | None = read_properties(reader, WILL) if version == Version.V5 else None
    topic = topic_of(reader.binary("topic of the will"), "topic of the will")
    if not topic:
        raise MalformedPacket("the topic of the will is empty")
    payload = reader.binary("payload of the will")
    return Will(topic, payload, flags >> 3 & 3, bool(flags & _WILL_RETAIN), properties)
