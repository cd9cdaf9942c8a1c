"""The properties of MQTT 5.0 (2.2.2.2): what they are called here, their types, and the packets that may carry them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypedDict


class Properties(TypedDict, total=False):
    """The properties of one packet: those that came, or that are to be sent. Times in seconds, sizes in bytes.

    A plain dictionary, for most packets have none or one: what is absent costs nothing.
    """

    payload_format: int
    message_expiry: int
    content_type: str
    response_topic: str
    correlation_data: bytes
    subscription_identifiers: list[int]
    session_expiry: int
    assigned_client_id: str
    server_keep_alive: int
    authentication_method: str
    authentication_data: bytes
    request_problem_information: bool
    will_delay: int
    request_response_information: bool
    response_information: str
    server_reference: str
    reason_string: str
    receive_maximum: int
    topic_alias_maximum: int
    topic_alias: int
    maximum_qos: int
    retain_available: bool
    user_properties: list[tuple[str, str]]
    maximum_packet_size: int
    wildcard_subscription_available: bool
    subscription_identifiers_available: bool
    shared_subscription_available: bool


class Kind(Enum):
    """How a value is written. FLAG and BIT are one byte, 0 or 1: a bool and a number here. TOPIC is TEXT without wildcards."""

    FLAG = "flag"
    BIT = "bit"
    TWO = "two byte integer"
    FOUR = "four byte integer"
    VARIABLE = "variable byte integer"
    TEXT = "UTF-8 string"
    TOPIC = "topic name"
    BINARY = "binary data"
    PAIR = "UTF-8 string pair"


WILL: Final = 0
"""Stands for the will properties in ``Property.places``, beside the packet types."""

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP = 1, 2, 3, 4, 5, 6, 7
_SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK, _DISCONNECT, _AUTH = 8, 9, 10, 11, 14, 15
_MESSAGE: Final = frozenset({_PUBLISH, WILL})
_ACKS: Final = frozenset({_PUBACK, _PUBREC, _PUBREL, _PUBCOMP, _SUBACK, _UNSUBACK})
_AUTHENTICATION: Final = frozenset({_CONNECT, _CONNACK, _AUTH})
_LIMITS: Final = frozenset({_CONNECT, _CONNACK})


@dataclass(frozen=True)
class Property:
    """One line of the table. places: packet types (and WILL) that may carry it. many: more than once, in all but SUBSCRIBE
    for the subscription identifier. positive: 0 is a protocol error."""

    id: int
    name: str
    kind: Kind
    places: frozenset[int]
    many: bool = False
    positive: bool = False

    @property
    def label(self) -> str:
        """For a person: ``topic alias``."""
        return self.name.replace("_", " ")


TABLE: Final = (
    Property(0x01, "payload_format", Kind.BIT, _MESSAGE),
    Property(0x02, "message_expiry", Kind.FOUR, _MESSAGE),
    Property(0x03, "content_type", Kind.TEXT, _MESSAGE),
    Property(0x08, "response_topic", Kind.TOPIC, _MESSAGE),
    Property(0x09, "correlation_data", Kind.BINARY, _MESSAGE),
    Property(0x0B, "subscription_identifiers", Kind.VARIABLE, frozenset({_PUBLISH, _SUBSCRIBE}), many=True, positive=True),
    Property(0x11, "session_expiry", Kind.FOUR, frozenset({_CONNECT, _CONNACK, _DISCONNECT})),
    Property(0x12, "assigned_client_id", Kind.TEXT, frozenset({_CONNACK})),
    Property(0x13, "server_keep_alive", Kind.TWO, frozenset({_CONNACK})),
    Property(0x15, "authentication_method", Kind.TEXT, _AUTHENTICATION),
    Property(0x16, "authentication_data", Kind.BINARY, _AUTHENTICATION),
    Property(0x17, "request_problem_information", Kind.FLAG, frozenset({_CONNECT})),
    Property(0x18, "will_delay", Kind.FOUR, frozenset({WILL})),
    Property(0x19, "request_response_information", Kind.FLAG, frozenset({_CONNECT})),
    Property(0x1A, "response_information", Kind.TEXT, frozenset({_CONNACK})),
    Property(0x1C, "server_reference", Kind.TEXT, frozenset({_CONNACK, _DISCONNECT})),
    Property(0x1F, "reason_string", Kind.TEXT, _ACKS | {_CONNACK, _DISCONNECT, _AUTH}),
    Property(0x21, "receive_maximum", Kind.TWO, _LIMITS, positive=True),
    Property(0x22, "topic_alias_maximum", Kind.TWO, _LIMITS),
    Property(0x23, "topic_alias", Kind.TWO, frozenset({_PUBLISH}), positive=True),
    Property(0x24, "maximum_qos", Kind.BIT, frozenset({_CONNACK})),
    Property(0x25, "retain_available", Kind.FLAG, frozenset({_CONNACK})),
    Property(
        0x26,
        "user_properties",
        Kind.PAIR,
        frozenset({_CONNECT, _CONNACK, _SUBSCRIBE, _UNSUBSCRIBE, _DISCONNECT, _AUTH}) | _MESSAGE | _ACKS,
        many=True,
    ),
    Property(0x27, "maximum_packet_size", Kind.FOUR, _LIMITS, positive=True),
    Property(0x28, "wildcard_subscription_available", Kind.FLAG, frozenset({_CONNACK})),
    Property(0x29, "subscription_identifiers_available", Kind.FLAG, frozenset({_CONNACK})),
    Property(0x2A, "shared_subscription_available", Kind.FLAG, frozenset({_CONNACK})),
)
