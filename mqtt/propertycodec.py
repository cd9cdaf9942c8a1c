"""The properties of a packet, read and written by the table in ``mqtt.properties``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from mqtt import wire
from mqtt.errors import MalformedPacket, ProtocolViolation, Unencodable
from mqtt.packets import PacketType
from mqtt.properties import TABLE, WILL, Kind, Properties, Property
from mqtt.reasons import Reason
from mqtt.wire import Reader


def read_properties(reader: Reader, place: int) -> Properties | None:
    """The properties that follow in a packet of type ``place`` (or WILL); None when their length is 0.

    Raises MalformedPacket, and ProtocolViolation for a property that comes twice or with a value that is not allowed.
    """
    length = reader.variable("length of the properties")
    if not length:
        return None
    end = reader.pos + length
    if end > reader.end:
        raise MalformedPacket("the properties are longer than the packet")
    inner = Reader(reader.data, reader.pos, end)
    found: dict[str, Any] = {}
    while inner.pos < end:
        _read_property(inner, place, found)
    reader.pos = end
    if "authentication_data" in found and "authentication_method" not in found:
        raise ProtocolViolation("authentication data without an authentication method")
    return cast(Properties, found)


def _read_property(reader: Reader, place: int, found: dict[str, Any]) -> None:
    # The identifier is a variable byte integer by type; all that exist take one byte.
    identifier = reader.byte("property identifier")
    known = _BY_ID.get(identifier)
    if known is None:
        raise MalformedPacket(f"there is no property 0x{identifier:02x}")
    line, label, read = known
    if place not in line.places:
        raise MalformedPacket(f"{line.label} is not a property of {_named(place)}")
    value = read(reader, label)
    if line.positive and value == 0:
        reason = Reason.TOPIC_ALIAS_INVALID if line.name == "topic_alias" else Reason.PROTOCOL_ERROR
        raise ProtocolViolation(f"{line.label} is 0", reason)
    if line.many:
        values = found.setdefault(line.name, [])
        if values and _once(line, place):
            raise ProtocolViolation(f"{line.label} comes twice")
        wire.check_count(len(values), line.label)
        values.append(value)
    elif line.name in found:
        raise ProtocolViolation(f"{line.label} comes twice")
    else:
        found[line.name] = value


def write_properties(properties: Properties | None, place: int) -> bytes:
    """Length and properties for a packet of type ``place`` (or WILL).

    Raises Unencodable for what is not a property of such a packet, or has a value that it cannot have.
    """
    if not properties:
        return b"\0"
    parts = []
    for name, value in properties.items():
        known = _BY_NAME.get(name)
        if known is None or place not in known[0].places:
            raise Unencodable(f"{name} is not a property of {_named(place)}")
        line, label, start, write = known
        values = cast(list[Any], value) if line.many else [value]
        if len(values) > 1 and _once(line, place):
            raise Unencodable(f"a {_named(place)} has one {line.label} at most")
        for item in values:
            if line.positive and item == 0:
                raise Unencodable(f"{label} must not be 0")
            parts.append(start)
            parts.append(write(item, label))
    body = b"".join(parts)
    return wire.variable(len(body)) + body


def _once(line: Property, place: int) -> bool:
    return place == PacketType.SUBSCRIBE and line.name == "subscription_identifiers"


def _named(place: int) -> str:
    return "a will" if place == WILL else PacketType(place).name


def _read_bit(reader: Reader, what: str) -> int:
    value = reader.byte(what)
    if value > 1:
        raise ProtocolViolation(f"{what} is {value}, neither 0 nor 1")
    return value


def _read_topic(reader: Reader, what: str) -> str:
    return wire.topic_of(reader.binary(what), what)


def _write_bit(value: int, what: str) -> bytes:
    if value not in (0, 1):
        raise Unencodable(f"{what} is {value}, neither 0 nor 1")
    return b"\1" if value else b"\0"


def _write_variable(value: int, what: str) -> bytes:
    if value < 0:
        raise Unencodable(f"{what} is {value}, less than 0")
    return wire.variable(value)


def _write_pair(value: tuple[str, str], what: str) -> bytes:
    name, content = value
    return wire.text(name, what) + wire.text(content, what)


_READ: Final[dict[Kind, Callable[[Reader, str], object]]] = {
    Kind.FLAG: lambda reader, what: _read_bit(reader, what) == 1,
    Kind.BIT: _read_bit,
    Kind.TWO: Reader.two,
    Kind.FOUR: Reader.four,
    Kind.VARIABLE: Reader.variable,
    Kind.TEXT: Reader.text,
    Kind.TOPIC: _read_topic,
    Kind.BINARY: Reader.binary,
    Kind.PAIR: lambda reader, what: (reader.text(what), reader.text(what)),
}
_WRITE: Final[dict[Kind, Callable[[Any, str], bytes]]] = {
    Kind.FLAG: _write_bit,
    Kind.BIT: _write_bit,
    Kind.TWO: wire.two,
    Kind.FOUR: wire.four,
    Kind.VARIABLE: _write_variable,
    Kind.TEXT: wire.text,
    Kind.TOPIC: wire.topic,
    Kind.BINARY: wire.binary,
    Kind.PAIR: _write_pair,
}

# What a property needs, in one look: its line, its name for a person, and its function. To hash a Kind takes longer than
# most of those functions do.
_BY_ID: Final = {line.id: (line, line.label, _READ[line.kind]) for line in TABLE}
_BY_NAME: Final = {line.name: (line, line.label, bytes((line.id,)), _WRITE[line.kind]) for line in TABLE}
