"""The examples that stand in the standards, and the shortest form of everything that has more than one."""

from __future__ import annotations

import pytest

from mqtt import wire
from mqtt.codec import Decoder, Unencodable, encode
from mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
    Will,
)
from mqtt.reasons import Reason, from_return_code, return_code

V31, V311, V5 = Version
WILL = Will("t", b"", 1)

EXAMPLES: list[tuple[str, Version, Packet, str]] = [
    # 3.1.1, 3.1.2.11 (figure 3.6): name, level, flags 0xCE, keep alive 10.
    (
        "3.1.1 figure 3.6",
        V311,
        Connect(V311, "c", True, 10, "u", b"p", WILL),
        "1018 0004 4d515454 04 ce 000a 0001 63 0001 74 0000 0001 75 0001 70",
    ),
    # 5.0, 3.1.2.12 (figure 3-6): the same with a session expiry of 10 s.
    (
        "5.0 figure 3-6",
        V5,
        Connect(V5, "c", True, 10, "u", b"p", WILL, {"session_expiry": 10}),
        "101f 0004 4d515454 05 ce 000a 05 11 0000000a 0001 63 00 0001 74 0000 0001 75 0001 70",
    ),
    ("3.1", V31, Connect(V31, "c", False), "100f 0006 4d5149736470 03 00 0000 0001 63"),
    # 3.3.2.3: topic a/b, packet identifier 10.
    ("3.1.1 figure 3.11", V311, Publish("a/b", b"", 1, packet_id=10), "3207 0003 612f62 000a"),
    ("5.0 figure 3-9", V5, Publish("a/b", b"", 1, packet_id=10), "3208 0003 612f62 000a 00"),
    # 3.8.3.1: a/b at QoS 1, c/d at QoS 2.
    (
        "3.1.1 figure 3.23",
        V311,
        Subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)]),
        "820e 000a 0003 612f62 01 0003 632f64 02",
    ),
    (
        "5.0 figure 3-21",
        V5,
        Subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)]),
        "820f 000a 00 0003 612f62 01 0003 632f64 02",
    ),
    (
        "3.1.1 figure 3.26",
        V311,
        SubAck(10, [Reason.GRANTED_QOS_0, Reason.GRANTED_QOS_2, Reason.UNSPECIFIED_ERROR]),
        "9005 000a 000280",
    ),
    ("3.1.1 figure 3.30", V311, Unsubscribe(10, ["a/b", "c/d"]), "a20c 000a 0003 612f62 0003 632f64"),
    ("5.0 figure 3-30", V5, Unsubscribe(10, ["a/b", "c/d"]), "a20d 000a 00 0003 612f62 0003 632f64"),
    # 5.0, 1.5.4.1: the letter A and U+2A6D4.
    ("5.0 figure 1-2", V311, Publish("A\U0002a6d4"), "3007 0005 41 f0aa9b94"),
]


@pytest.mark.parametrize(("version", "packet", "expected"), [line[1:] for line in EXAMPLES], ids=[line[0] for line in EXAMPLES])
def test_examples(version: Version, packet: Packet, expected: str) -> None:
    data = bytes.fromhex(expected)
    assert encode(packet, version).hex(" ") == data.hex(" ")
    decoder = Decoder(100, None if isinstance(packet, Connect) else version)
    if not isinstance(packet, Connect | SubAck):
        decoder = Decoder(100)
        decoder.feed(encode(Connect(version), version))
        decoder.next()
    decoder.feed(data)
    assert decoder.next() == packet


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_variable_byte_integers(value: int, expected: str) -> None:
    """3.1.1 table 2.4, 5.0 table 1-1."""
    assert wire.variable(value).hex() == expected
    assert wire.Reader(bytes.fromhex(expected), 0, len(expected) // 2).variable("number") == value


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (PubAck(258), "4002 0102"),
        (PubAck(1, Reason.NOT_AUTHORIZED), "4003 0001 87"),
        (PubAck(1, properties={"reason_string": "no"}), "4009 0001 00 05 1f 0002 6e6f"),
        (PubRel(1), "6202 0001"),
        (Disconnect(), "e000"),
        (Disconnect(Reason.SERVER_BUSY), "e001 89"),
        (Auth(), "f000"),
        (Auth(Reason.CONTINUE_AUTHENTICATION, {"authentication_method": "m"}), "f006 18 04 15 0001 6d"),
        (ConnAck(True), "2003 01 00 00"),
        (UnsubAck(1, [Reason.SUCCESS]), "b004 0001 00 00"),
        (PingReq(), "c000"),
    ],
)
def test_the_shortest_form_in_5_0(packet: Packet, expected: str) -> None:
    assert encode(packet, V5).hex() == expected.replace(" ", "")


def test_a_byte_order_mark_is_a_character_of_the_text() -> None:
    """MQTT-1.5.4-3."""
    decoder = Decoder(100, V311)
    decoder.feed(bytes.fromhex("3005 0003 efbbbf"))
    assert decoder.next() == Publish("\ufeff")


def test_return_codes_before_5_0() -> None:
    for code in range(6):
        reason = from_return_code(code)
        assert reason is not None
        assert return_code(reason) == code
    assert from_return_code(6) is None
    assert encode(ConnAck(True, Reason.SUCCESS), V31).hex() == "20020000"
    assert encode(ConnAck(True, Reason.SUCCESS), V311).hex() == "20020100"
    assert encode(ConnAck(False, Reason.BANNED), V311).hex() == "20020005"
    assert encode(ConnAck(False, Reason.QUOTA_EXCEEDED), V311).hex() == "20020003"


def test_what_old_versions_cannot_say_is_left_out() -> None:
    assert encode(PubAck(1, Reason.NOT_AUTHORIZED, {"reason_string": "no"}), V311).hex() == "40020001"
    assert encode(Disconnect(Reason.SERVER_BUSY), V311).hex() == "e000"
    assert encode(SubAck(1, [Reason.NOT_AUTHORIZED, Reason.GRANTED_QOS_1]), V311).hex() == "900400018001"
    assert encode(SubAck(1, [Reason.NOT_AUTHORIZED, Reason.GRANTED_QOS_1]), V31).hex() == "900400010001"
    assert encode(Publish("t", properties={"content_type": "x"}), V311).hex() == "3003000174"


@pytest.mark.parametrize(
    ("version", "packet"),
    [
        (V311, Publish("")),
        (V5, Publish("")),
        (V311, Publish("a/+")),
        (V311, Publish("#")),
        (V311, Publish("a\0b")),
        (V311, Publish("\ud800")),
        (V311, Publish("x" * 65_536)),
        (V311, Publish("t", qos=1)),
        (V311, Publish("t", qos=1, packet_id=65_536)),
        (V311, Publish("t", qos=3, packet_id=1)),
        (V311, Connect(V311, password=b"x")),
        (V311, Connect(V311, keep_alive=65_536)),
        (V311, Connect(V311, will=Will("", b""))),
        (V311, Connect(V311, will=Will("+", b""))),
        (V311, Connect(V311, will=Will("t", b"", 3))),
        (V311, Connect(V311, will=Will("t", bytes(65_536)))),
        (V5, ConnAck(True, Reason.BANNED)),
        (V311, Subscribe(1, [])),
        (V311, Subscribe(1, [Subscription("")])),
        (V311, Subscribe(0, [Subscription("t")])),
        (V5, Subscribe(1, [Subscription("t", retain_handling=3)])),
        (V5, Subscribe(1, [Subscription("$share/g/t", no_local=True)])),
        (V5, Subscribe(1, [Subscription("t")], {"subscription_identifiers": [1, 2]})),
        (V311, Unsubscribe(1, [])),
        (V311, SubAck(1, [])),
        (V5, UnsubAck(1)),
        (V5, PubAck(1, Reason.GRANTED_QOS_2)),
        (V5, PubAck(1, properties={"topic_alias": 1})),
        (V5, Publish("t", properties={"topic_alias": 0})),
        (V5, Publish("t", properties={"payload_format": 2})),
        (V5, Publish("t", properties={"message_expiry": -1})),
        (V5, Publish("t", properties={"message_expiry": 2**32})),
        (V5, Publish("t", properties={"response_topic": "a/#"})),
        (V5, Publish("t", properties={"subscription_identifiers": [268_435_456]})),
        (V5, Publish("t", properties={"nonsense": 1})),  # type: ignore[typeddict-unknown-key]
        (V311, Auth()),
    ],
)
def test_what_the_wire_cannot_carry(version: Version, packet: Packet) -> None:
    with pytest.raises(Unencodable):
        encode(packet, version)


def test_a_packet_of_more_than_256_mib() -> None:
    with pytest.raises(Unencodable, match="more than a packet can hold"):
        wire.variable(268_435_456)
