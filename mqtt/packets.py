"""The control packets of MQTT 3.1, 3.1.1 and 5.0 as data.

What only 5.0 has is at its default in packets of older versions: ``properties`` is None (also in 5.0 when there are none),
``reason`` is ``SUCCESS``. Packet identifiers are 1 to 65535; 0 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, TypeAlias

from mqtt.properties import Properties
from mqtt.reasons import Reason


class Version(IntEnum):
    """The protocol level of CONNECT."""

    V31 = 3
    V311 = 4
    V5 = 5

    @property
    def text(self) -> str:
        """``3.1.1``."""
        return {3: "3.1", 4: "3.1.1", 5: "5.0"}[self]


class PacketType(IntEnum):
    """The upper four bits of the first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(slots=True)
class Will:
    """What the server publishes when a client is lost. ``properties`` may hold ``will_delay`` and those of a PUBLISH."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


@dataclass(slots=True)
class Connect:
    """A client introduces itself.

    clean_start: "clean session" before 5.0. keep_alive: seconds, 0 for none.
    """

    type: ClassVar[PacketType] = PacketType.CONNECT
    version: Version = Version.V311
    client_id: str = ""
    clean_start: bool = True
    keep_alive: int = 0
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Will | None = None
    properties: Properties | None = None


@dataclass(slots=True)
class ConnAck:
    """The server's answer. ``reason`` also stands for the return codes of 3.1 and 3.1.1, see ``mqtt.reasons``."""

    type: ClassVar[PacketType] = PacketType.CONNACK
    session_present: bool = False
    reason: Reason = Reason.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class Publish:
    """A message. ``topic`` is empty where a topic alias stands for it (5.0). ``packet_id`` is 0 exactly when ``qos`` is.

    wire: from the decoder of a server, for who passes the message on as it came: for what receiver it need not be encoded again
    (``mqtt.message``), and the two parts that ``split_publish`` would give. Equal packets may differ in it.
    """

    type: ClassVar[PacketType] = PacketType.PUBLISH
    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties | None = None
    wire: tuple[int, tuple[bytes, bytes]] | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class PubAck:
    """QoS 1: received."""

    type: ClassVar[PacketType] = PacketType.PUBACK
    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class PubRec:
    """QoS 2, first answer: received."""

    type: ClassVar[PacketType] = PacketType.PUBREC
    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class PubRel:
    """QoS 2, the sender's second word: released."""

    type: ClassVar[PacketType] = PacketType.PUBREL
    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True)
class PubComp:
    """QoS 2, last answer: complete."""

    type: ClassVar[PacketType] = PacketType.PUBCOMP
    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties | None = None


@dataclass(slots=True, frozen=True)
class Subscription:
    """One topic filter of a SUBSCRIBE with its options (MQTT 5.0, 3.8.3.1; older versions have ``qos`` alone).

    retain_handling: retained messages are sent 0: at the subscription, 1: if it is new, 2: never.
    """

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(slots=True)
class Subscribe:
    """At least one subscription. The identifier, if any, is the only element of ``subscription_identifiers``."""

    type: ClassVar[PacketType] = PacketType.SUBSCRIBE
    packet_id: int
    subscriptions: list[Subscription]
    properties: Properties | None = None


@dataclass(slots=True)
class SubAck:
    """One reason for each subscription, in their order."""

    type: ClassVar[PacketType] = PacketType.SUBACK
    packet_id: int
    reasons: list[Reason]
    properties: Properties | None = None


@dataclass(slots=True)
class Unsubscribe:
    """At least one topic filter."""

    type: ClassVar[PacketType] = PacketType.UNSUBSCRIBE
    packet_id: int
    filters: list[str]
    properties: Properties | None = None


@dataclass(slots=True)
class UnsubAck:
    """One reason for each filter in 5.0; before, ``reasons`` is empty."""

    type: ClassVar[PacketType] = PacketType.UNSUBACK
    packet_id: int
    reasons: list[Reason] = field(default_factory=list)
    properties: Properties | None = None


@dataclass(slots=True)
class PingReq:
    """The client lives."""

    type: ClassVar[PacketType] = PacketType.PINGREQ


@dataclass(slots=True)
class PingResp:
    """The server lives."""

    type: ClassVar[PacketType] = PacketType.PINGRESP


@dataclass(slots=True)
class Disconnect:
    """The last word. Before 5.0 only clients say it, without a reason."""

    type: ClassVar[PacketType] = PacketType.DISCONNECT
    reason: Reason = Reason.NORMAL_DISCONNECTION
    properties: Properties | None = None


@dataclass(slots=True)
class Auth:
    """A step of an extended authentication (5.0 only)."""

    type: ClassVar[PacketType] = PacketType.AUTH
    reason: Reason = Reason.SUCCESS
    properties: Properties | None = None


Ack: TypeAlias = PubAck | PubRec | PubRel | PubComp
Packet: TypeAlias = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)

MAX_PACKET_ID: Final = 65535
MAX_REMAINING_LENGTH: Final = 268_435_455
"""The largest that four bytes can announce (MQTT 5.0, 1.5.5)."""
