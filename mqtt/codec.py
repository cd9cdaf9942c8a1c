"""The codec as the rest sees it: ``Decoder``, ``encode``, ``split_publish`` and their errors.

It is strict with what comes and frugal with what goes. A peer can cause three errors, each with its reason code, and no other.
"""

from __future__ import annotations

from mqtt.decoder import Decoder
from mqtt.encoder import encode, split_publish
from mqtt.errors import MalformedPacket, PacketTooLarge, PeerError, ProtocolViolation, Unencodable

__all__ = [
    "Decoder",
    "MalformedPacket",
    "PacketTooLarge",
    "PeerError",
    "ProtocolViolation",
    "Unencodable",
    "encode",
    "split_publish",
]
