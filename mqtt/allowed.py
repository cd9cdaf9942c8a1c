"""Which reason codes a packet of 5.0 may carry (the tables in MQTT 5.0, 3.2.2.2, 3.4.2.1 and so on)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mqtt.errors import MalformedPacket
from mqtt.packets import PacketType
from mqtt.reasons import Reason


def _of(*codes: int) -> Mapping[int, Reason]:
    return {code: Reason(code) for code in codes}


_RECEIVED: Final = _of(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
_RELEASED: Final = _of(0x00, 0x92)
# What concerns a server alone may come from a server alone; a client that says it is let go all the same.
_DISCONNECT: Final = _of(0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3))

ALLOWED: Final[Mapping[PacketType, Mapping[int, Reason]]] = {
    PacketType.CONNACK: _of(0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F),
    PacketType.PUBACK: _RECEIVED,
    PacketType.PUBREC: _RECEIVED,
    PacketType.PUBREL: _RELEASED,
    PacketType.PUBCOMP: _RELEASED,
    PacketType.SUBACK: _of(0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2),
    PacketType.UNSUBACK: _of(0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91),
    PacketType.DISCONNECT: _DISCONNECT,
    PacketType.AUTH: _of(0x00, 0x18, 0x19),
}


def reason_of(kind: PacketType, code: int) -> Reason:
    """The reason that ``code`` is in a packet of type ``kind``. Raises MalformedPacket."""
    reason = ALLOWED[kind].get(code)
    if reason is None:
        raise MalformedPacket(f"0x{code:02x} is not a reason code of {kind.name}")
    return reason
