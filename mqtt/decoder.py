"""Bytes in, packets out: incremental, bounded, and quick where PUBLISH comes in bursts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mqtt.bodies import BODIES
from mqtt.connecting import read_connect
from mqtt.errors import MalformedPacket, PacketTooLarge, PeerError, ProtocolViolation
from mqtt.packets import Ack, Disconnect, Packet, PacketType, PubAck, PubComp, Publish, PubRec, PubRel, Version
from mqtt.properties import Properties
from mqtt.propertycodec import read_properties
from mqtt.wire import Reader, topic_of

_FROM_CLIENT: Final = frozenset({3, 4, 5, 6, 7, 8, 10, 12, 14, 15})
_FROM_SERVER: Final = frozenset({2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15})
_FLAGS: Final = (0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0)
_SHORT: Final[dict[int, Callable[[int], Ack]]] = {0x40: PubAck, 0x50: PubRec, 0x62: PubRel, 0x70: PubComp}
_NAMES: Final = ("a reserved packet type", *(kind.name for kind in PacketType))

_TOPICS: dict[bytes, str] = {}
"""Topics that were found good, for all connections. One look here replaces decoding and four checks, and the same string
object comes out each time, whose hash is known already when subscriptions are looked up by it."""
_TOPICS_KEPT: Final = 4096
_TOPIC_LENGTH_KEPT: Final = 256
_AS_IT_CAME: Final = 1024
"""Bytes of the largest PUBLISH that is kept as it came, beside what it says: a large one may wait in a queue, and would take
twice the memory there."""


def _topic(raw: bytes) -> str:
    topic = topic_of(raw, "topic name")
    if len(raw) <= _TOPIC_LENGTH_KEPT:
        if len(_TOPICS) >= _TOPICS_KEPT:
            _TOPICS.clear()
        _TOPICS[raw] = topic
    return topic


class Decoder:
    """The packets that one peer sends.

    limit: the largest packet in bytes, header included; it is checked on the header, before a body is collected, and may
    be changed at any time (small before a client is known, say). more: whether ``batch`` must be called again before more is fed:
    it has reached ``most``, or an error is still to be raised. version: None where the peer is a client, whose first
    packet must be a CONNECT, which tells it; on the side of a client, the version that it has asked for.

    After an error, which every later call repeats, the connection has to end. What came whole before it is given out first.
    """

    __slots__ = ("_data", "_failed", "_five", "_key", "_need", "_partial", "_pos", "_types", "limit", "more", "version")

    def __init__(self, limit: int, version: Version | None = None) -> None:
        self.limit = limit
        self.version = version
        self.more = False
        self._five = 1 if version == Version.V5 else 0
        """How many bytes properties take at least."""
        self._key = 0
        """What ``Publish.wire`` says of the version; 0 where packets are not passed on."""
        self._types = _FROM_SERVER if version is not None else frozenset({1})
        self._data = b""
        self._pos = 0
        self._partial = bytearray()
        self._need = 0
        self._failed: PeerError | None = None

    @property
    def buffered(self) -> int:
        """How many bytes are held that no packet has been made of yet."""
        return len(self._data) - self._pos + len(self._partial)

    def feed(self, data: bytes) -> None:
        """Takes what was received, in pieces of any size. Take the packets out before more is fed."""
        if self._failed is not None:
            return
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                return
            data = bytes(self._partial)
            self._partial = bytearray()
        if self._pos < len(self._data):
            data = self._data[self._pos :] + data
        self._data = data
        self._pos = 0

    def next(self) -> Packet | None:
        """The next packet; None when its end has not come yet.

        Raises MalformedPacket, ProtocolViolation, PacketTooLarge.
        """
        found = self.batch(1)
        return found[0] if found else None

    def take(self, data: bytes, most: int = 1000) -> list[Packet]:
        """``feed`` and ``batch`` in one, with a short way for an acknowledgement that comes alone."""
        if len(data) == 4 and data[1] == 2 and data[0] in _SHORT and self.version is not None and self._failed is None:
            number = data[2] << 8 | data[3]
            if number and self.limit >= 4 and not (self._data or self._partial):
                self.more = False
                return [_SHORT[data[0]](number)]
        self.feed(data)
        return self.batch(most)

    def batch(self, most: int = 1000) -> list[Packet]:
        """The packets that have come whole, ``most`` at most. Raises as ``next``, in the call after those before the error."""
        if self._failed is not None:
            raise self._failed
        found: list[Packet] = []
        try:
            self._decode(found, most)
        except PeerError as error:
            self._failed = error
            self.more = True
            self._data = b""
            self._pos = 0
            if not found:
                raise
        else:
            self.more = len(found) >= most
        return found

    def _decode(self, found: list[Packet], most: int) -> None:  # noqa: PLR0912, PLR0915
        # Written out in one loop, with two lengths of header, plain PUBLISH and plain acknowledgements: a call for each of those
        # would add half to the time that a PUBLISH takes here. Plain is what is neither a duplicate nor retained, and has no
        # properties.
        data = self._data
        size = len(data)
        pos = self._pos
        topics = _TOPICS
        version = self.version
        limit = self.limit
        five = self._five
        key = self._key
        for _ in range(most):
            body = pos + 2
            if body > size:
                break
            length = data[pos + 1]
            if length > 127:
                if body < size and 0 < data[body] < 128:
                    length += (data[body] << 7) - 128
                    body += 1
                else:
                    length, body = self._length(data, pos)
                    if not body:
                        break
            end = body + length
            if end > size or end - pos > limit:
                self._check_first(data[pos])
                if end - pos > limit:
                    raise PacketTooLarge(f"a {_NAMES[data[pos] >> 4]} of {end - pos} bytes is longer than {limit} bytes")
                self._keep(data, pos, end - pos)
                return
            first = data[pos]
            if version is None or first & 0xF0 != 0x30:
                if length == 2 and version is not None and first in _SHORT and (number := data[body] << 8 | data[body + 1]):
                    found.append(_SHORT[first](number))
                    pos = end
                    continue
                found.append(self._other(first, data, pos, body, end))
                version, five, key = self.version, self._five, self._key
                pos = end
                continue
            split = body + 2
            if split <= end:
                split += data[body] << 8 | data[body + 1]
            if split > end:
                raise MalformedPacket("the topic name of a PUBLISH is longer than the packet")
            raw = data[body + 2 : split]
            topic = topics.get(raw)
            if topic is None:
                topic = _topic(raw)
            at = split if first == 0x30 else split + 2
            start = at + five
            if start > end or first & 9 or not topic or (five and data[at]) or first == 0x36:
                found.append(self._publish(first, topic, data, split, end))
            elif first == 0x30:
                wire = (key, (data[pos:end], b"")) if key and end - pos <= _AS_IT_CAME else None
                found.append(Publish(topic, data[start:end], 0, False, False, 0, None, wire))
            elif number := data[split] << 8 | data[split + 1]:
                payload = data[start:end]
                wire = None
                if key and end - pos <= _AS_IT_CAME:
                    wire = key | first & 6, (data[pos:split], data[at:end] if five else payload)
                found.append(Publish(topic, payload, first >> 1 & 3, False, False, number, None, wire))
            else:
                raise ProtocolViolation("the packet identifier is 0")
            pos = end
        if pos == size:
            self._data = b""
            self._pos = 0
        else:
            self._keep(data, pos, 0)

    def _keep(self, data: bytes, pos: int, need: int) -> None:
        """Keeps what is left from ``pos`` on. need: of how many bytes the packet will be, 0 where that is not known."""
        rest = len(data) - pos
        if need:
            self._partial = bytearray(memoryview(data)[pos:])
            self._need = need
            data = b""
            pos = 0
        elif rest < 5:
            self._check_first(data[pos])
        self._data = data
        self._pos = pos

    def _length(self, data: bytes, pos: int) -> tuple[int, int]:
        """The remaining length, and where the body begins: 0 when the header has not come whole."""
        value = shift = 0
        for at in range(pos + 1, min(pos + 5, len(data))):
            byte = data[at]
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and self.version == Version.V5:
                    raise MalformedPacket("the remaining length takes more bytes than it needs")
                return value, at + 1
            shift += 7
        if shift > 21:
            self._check_first(data[pos])
            raise MalformedPacket("the remaining length takes more than four bytes")
        return 0, 0

    def _check_first(self, first: int) -> None:
        """Looks at the first byte of a packet, also while the rest is still on its way."""
        kind = first >> 4
        if kind not in self._types:
            if kind == 0:
                raise MalformedPacket("a packet of the reserved type 0")
            if self.version is None:
                raise ProtocolViolation(f"the first packet is {_NAMES[kind]}, not CONNECT")
            if kind == PacketType.CONNECT and self._types is _FROM_CLIENT:
                raise ProtocolViolation("a second CONNECT")
            raise ProtocolViolation(f"{_NAMES[kind]} is not for this side to receive")
        if kind >= PacketType.DISCONNECT and self.version != Version.V5:
            if kind == PacketType.AUTH:
                raise ProtocolViolation("there is no AUTH before MQTT 5.0")
            if self._types is _FROM_SERVER:
                raise ProtocolViolation("a server sends no DISCONNECT before MQTT 5.0")
        if kind == PacketType.PUBLISH:
            if first & 6 == 6:
                raise MalformedPacket("the QoS of a PUBLISH is 3")
        elif first & 15 != _FLAGS[kind] and self.version != Version.V31:
            # 3.1 has no rule for flags that a packet does not use.
            raise MalformedPacket(f"the flags of {_NAMES[kind]} are 0x{first & 15:x}; they must be 0x{_FLAGS[kind]:x}")

    def _other(self, first: int, data: bytes, pos: int, body: int, end: int) -> Packet:
        self._check_first(first)
        reader = Reader(data, body, end)
        kind = first >> 4
        if self.version is None:  # then _check_first has let only a CONNECT pass
            connect = read_connect(reader)
            self.version = connect.version
            self._five = 1 if connect.version == Version.V5 else 0
            self._key = connect.version << 4
            self._types = _FROM_CLIENT
            if body - pos > 2 and data[body - 1] == 0 and connect.version == Version.V5:
                raise MalformedPacket("the remaining length takes more bytes than it needs")
            reader.finish()
            return connect
        packet = BODIES[kind](reader, self.version)
        if isinstance(packet, Disconnect):
            self._check_disconnect(packet.properties)
        reader.finish()
        return packet

    def _publish(self, first: int, topic: str, data: bytes, pos: int, end: int) -> Publish:
        """A PUBLISH from behind its topic on, at ``pos``."""
        qos = first >> 1 & 3
        if qos == 3:
            raise MalformedPacket("the QoS of a PUBLISH is 3")
        number = 0
        if qos:
            if pos + 2 > end:
                raise MalformedPacket("the packet ends within its packet identifier")
            number = data[pos] << 8 | data[pos + 1]
            if not number:
                raise ProtocolViolation("the packet identifier is 0")
            pos += 2
        elif first & 8 and self.version != Version.V31:
            raise MalformedPacket("a PUBLISH of QoS 0 is marked as a duplicate")
        properties = None
        if self.version == Version.V5:
            if pos < end and not data[pos]:
                pos += 1
            else:
                reader = Reader(data, pos, end)
                properties = read_properties(reader, PacketType.PUBLISH)
                pos = reader.pos
                if self._types is _FROM_CLIENT and properties is not None and "subscription_identifiers" in properties:
                    raise ProtocolViolation("a subscription identifier in a PUBLISH of a client")
        if not topic and (properties is None or "topic_alias" not in properties):
            raise ProtocolViolation("a PUBLISH without topic name and topic alias")
        return Publish(topic, data[pos:end], qos, first & 1 == 1, qos > 0 and first & 8 == 8, number, properties)

    def _check_disconnect(self, properties: Properties | None) -> None:
        wrong = "server_reference" if self._types is _FROM_CLIENT else "session_expiry"
        if properties is not None and wrong in properties:
            raise ProtocolViolation(f"a DISCONNECT from this side must not have a {wrong.replace('_', ' ')}")
