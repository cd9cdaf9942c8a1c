"""A message on its way through the broker: one object however many receive it, encoded once for all who get the same bytes."""

from __future__ import annotations

from math import ceil
from typing import Final, cast

from mqtt.encoder import split_publish
from mqtt.packets import Publish, Version
from mqtt.properties import Properties

_PASSED_ON: Final = (
    "payload_format",
    "message_expiry",
    "content_type",
    "response_topic",
    "correlation_data",
    "user_properties",
)
"""What a server forwards unaltered (MQTT-3.3.2-4, -15, -16, -17, -20); the expiry less the time it waited (MQTT-3.3.2-6)."""


class Message:
    """packet: owned by this message from now on. expires: when it is no longer worth delivering. sender: a client identifier.

    stored: for a journal, which keeps here under what key it has this message.
    """

    __slots__ = ("_encoded", "expires", "packet", "qos", "retain", "sender", "size", "stored", "topic")

    def __init__(self, packet: Publish, sender: str = "", expires: float | None = None) -> None:
        self.packet = packet
        self.topic = packet.topic
        self.qos = packet.qos
        self.retain = packet.retain
        self.sender = sender
        self.expires = expires
        self.size = len(packet.payload) + len(packet.topic) + 100
        """What it takes in memory, about; once more as much for each form in which it is encoded."""
        if packet.properties is not None:
            self.size += _weight(packet.properties)
        self.stored: int | None = None
        wire = packet.wire
        self._encoded: dict[int, tuple[bytes, bytes]] = {} if wire is None else {wire[0]: wire[1]}

    def parts(self, version: Version, qos: int, retain: bool) -> tuple[bytes, bytes]:
        """The PUBLISH in two parts, between which its packet identifier stands (at QoS 0: nothing)."""
        key = version << 4 | qos << 1 | retain
        parts = self._encoded.get(key)
        if parts is None:
            packet = self.packet
            packet.qos = qos
            packet.retain = retain
            packet.dup = False
            parts = split_publish(packet, version)
            if qos == 0:
                # In one piece, so that fan-out copies nothing.
                parts = parts[0] + parts[1], b""
            self._encoded[key] = parts
        return parts

    def forget_encoded(self) -> None:
        """It is kept for long, and will be encoded again when it goes out again."""
        self._encoded.clear()

    def own_parts(self, qos: int, retain: bool, identifiers: tuple[int, ...], now: float) -> tuple[bytes, bytes]:
        """The same for one client of 5.0 alone: with its subscription identifiers, and what is left of the expiry."""
        properties = cast(Properties, dict(self.packet.properties or {}))
        if identifiers:
            properties["subscription_identifiers"] = list(identifiers)
        if self.expires is not None:
            properties["message_expiry"] = max(ceil(self.expires - now), 1)
        packet = Publish(self.topic, self.packet.payload, qos, retain, properties=properties)
        return split_publish(packet, Version.V5)


def _weight(properties: Properties) -> int:
    size = 300
    for value in properties.values():
        if isinstance(value, (str, bytes)):
            size += len(value)
        elif isinstance(value, list):
            # A pair of short texts takes that much in memory.
            size += sum(200 + len(key) + len(text) for key, text in value)
    return size


def passed_on(properties: Properties | None) -> Properties | None:
    """Of what came with a PUBLISH, that which goes out again."""
    if not properties:
        return None
    kept = {name: properties[name] for name in _PASSED_ON if name in properties}
    return cast(Properties, kept) or None


NOTHING: Final = Message(Publish("-"))
"""Stands where a message is no longer needed."""
