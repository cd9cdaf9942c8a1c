"""What a peer can do wrong on the wire, and what a caller can."""

from __future__ import annotations

from mqtt.reasons import Reason


class PeerError(Exception):
    """The peer broke the protocol: its connection ends. ``reason`` is what a DISCONNECT or CONNACK of 5.0 says of it."""

    def __init__(self, text: str, reason: Reason) -> None:
        super().__init__(text)
        self.reason = reason


class MalformedPacket(PeerError):
    """Bytes that cannot be a packet (MQTT 5.0, 1.2 "Malformed Packet")."""

    def __init__(self, text: str, reason: Reason = Reason.MALFORMED_PACKET) -> None:
        super().__init__(text, reason)


class ProtocolViolation(PeerError):
    """A packet that can be read but is not allowed, here or now (MQTT 5.0, 1.2 "Protocol Error")."""

    def __init__(self, text: str, reason: Reason = Reason.PROTOCOL_ERROR) -> None:
        super().__init__(text, reason)


class PacketTooLarge(PeerError):
    """A packet whose header announces more than the limit. Nothing of its body was kept."""

    def __init__(self, text: str, reason: Reason = Reason.PACKET_TOO_LARGE) -> None:
        super().__init__(text, reason)


class Unencodable(ValueError):
    """A packet of our own that cannot be put on the wire: a fault of the caller, never of the peer."""
