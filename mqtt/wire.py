"""The data types of MQTT on the wire (MQTT 5.0, 1.5; 3.1.1, 1.5), read and written."""

from __future__ import annotations

from typing import Final

from mqtt.errors import MalformedPacket, ProtocolViolation, Unencodable
from mqtt.packets import MAX_REMAINING_LENGTH
from mqtt.reasons import Reason

MOST_ENTRIES: Final = 10_000
"""How many topic filters, or user properties, one packet may hold. The standard has no bound; but 4 bytes on the wire cost 2 us
and 80 bytes here, so that a packet of 1 MiB of them would hold up everybody else for half a second."""


def check_count(count: int, what: str) -> None:
    """Raises ProtocolViolation for one entry too many, with ``QUOTA_EXCEEDED``."""
    if count >= MOST_ENTRIES:
        raise ProtocolViolation(f"more than {MOST_ENTRIES} {what} in one packet", Reason.QUOTA_EXCEEDED)


class Reader:
    """Reads one stretch of bytes from front to back. Every read raises MalformedPacket where the stretch ends too soon;
    ``what`` names the field for that error."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int, end: int) -> None:
        self.data = data
        self.pos = pos
        self.end = end

    @property
    def more(self) -> bool:
        return self.pos < self.end

    def byte(self, what: str) -> int:
        pos = self.pos
        if pos >= self.end:
            raise MalformedPacket(f"the packet ends before its {what}")
        self.pos = pos + 1
        return self.data[pos]

    def two(self, what: str) -> int:
        pos = self.pos
        if pos + 2 > self.end:
            raise MalformedPacket(f"the packet ends within its {what}")
        self.pos = pos + 2
        return self.data[pos] << 8 | self.data[pos + 1]

    def four(self, what: str) -> int:
        pos = self.pos
        if pos + 4 > self.end:
            raise MalformedPacket(f"the packet ends within its {what}")
        self.pos = pos + 4
        return int.from_bytes(self.data[pos : pos + 4], "big")

    def variable(self, what: str) -> int:
        """A variable byte integer, in as few bytes as it needs (MQTT-1.5.5-1)."""
        value = shift = 0
        while True:
            byte = self.byte(what)
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift:
                    raise MalformedPacket(f"the {what} takes more bytes than it needs")
                return value
            shift += 7
            if shift > 21:
                raise MalformedPacket(f"the {what} takes more than four bytes")

    def binary(self, what: str) -> bytes:
        pos = self.pos + 2
        if pos > self.end:
            raise MalformedPacket(f"the packet ends within its {what}")
        end = pos + (self.data[pos - 2] << 8 | self.data[pos - 1])
        if end > self.end:
            raise MalformedPacket(f"the {what} is longer than what holds it")
        self.pos = end
        return self.data[pos:end]

    def text(self, what: str) -> str:
        return text_of(self.binary(what), what)

    def finish(self) -> None:
        if self.pos != self.end:
            raise MalformedPacket(f"{self.end - self.pos} bytes too many at the end of the packet")


def text_of(raw: bytes, what: str) -> str:
    """A UTF-8 string without U+0000 and surrogates (MQTT-1.5.4-1 and -2; a leading U+FEFF stays, -3)."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedPacket(f"the {what} is not UTF-8") from None
    if "\0" in text:
        raise MalformedPacket(f"the {what} contains U+0000")
    return text


def topic_of(raw: bytes, what: str) -> str:
    """A topic name, which may be empty here: no wildcards (MQTT-3.3.2-2)."""
    text = text_of(raw, what)
    if "+" in text or "#" in text:
        raise MalformedPacket(f"the {what} contains a wildcard")
    return text


def variable(value: int) -> bytes:
    """The variable byte integer of ``value``."""
    if value < 128:
        return bytes((value,))
    if value < 16_384:
        return bytes((value & 127 | 128, value >> 7))
    if value > MAX_REMAINING_LENGTH:
        raise Unencodable(f"{value} bytes are more than a packet can hold ({MAX_REMAINING_LENGTH})")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def two(value: int, what: str) -> bytes:
    if not 0 <= value <= 65_535:
        raise Unencodable(f"the {what} is {value}; it must be within 0 and 65535")
    return value.to_bytes(2, "big")


def four(value: int, what: str) -> bytes:
    if not 0 <= value <= 4_294_967_295:
        raise Unencodable(f"the {what} is {value}; it must be within 0 and 4294967295")
    return value.to_bytes(4, "big")


def binary(value: bytes, what: str) -> bytes:
    length = len(value)
    if length > 65_535:
        raise Unencodable(f"the {what} has {length} bytes; it can have 65535")
    return length.to_bytes(2, "big") + value


def text(value: str, what: str) -> bytes:
    """A UTF-8 string with its length in front."""
    if "\0" in value:
        raise Unencodable(f"the {what} contains U+0000")
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise Unencodable(f"the {what} contains half of a surrogate pair") from None
    return binary(raw, what)


def topic(value: str, what: str) -> bytes:
    """A topic name with its length in front."""
    if "+" in value or "#" in value:
        raise Unencodable(f"the {what} contains a wildcard")
    return text(value, what)
