"""Each rule that the standards have for bytes, by a packet that breaks it. Clauses are those of 5.0; where 3.1.1 numbers the
same rule otherwise, with both."""

from __future__ import annotations

import pytest

from mqtt.codec import Decoder, MalformedPacket, PeerError, ProtocolViolation, encode
from mqtt.packets import Connect, Packet, Publish, Subscribe, Subscription, Unsubscribe, Version
from mqtt.reasons import Reason

V31, V311, V5 = Version
MALFORMED, VIOLATION = MalformedPacket, ProtocolViolation


def client(version: Version) -> Decoder:
    """Reads what a client says after its CONNECT."""
    decoder = Decoder(1000)
    decoder.feed(encode(Connect(version), version))
    decoder.next()
    return decoder


def refused(decoder: Decoder, data: str) -> PeerError:
    decoder.feed(bytes.fromhex(data))
    with pytest.raises(PeerError) as caught:
        decoder.next()
    return caught.value


CONNECTS = [
    ("MQTT-3.1.0-1 not a CONNECT first", "c000", VIOLATION, Reason.PROTOCOL_ERROR),
    ("MQTT-3.1.0-1 a PUBLISH first", "3003000174", VIOLATION, Reason.PROTOCOL_ERROR),
    ("MQTT-3.1.0-1 known from its first byte", "c0", VIOLATION, Reason.PROTOCOL_ERROR),
    ("another protocol: HTTP", b"GET / HTTP/1.1\r\n\r\n".hex(), VIOLATION, Reason.PROTOCOL_ERROR),
    ("another protocol: TLS", "160301020001", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-2.1.3-1 flags", "110d00044d51545404000000000163", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-3.1.2-1 name", "100d00044d51545804020000000163", VIOLATION, Reason.UNSUPPORTED_PROTOCOL_VERSION),
    (
        "MQTT-3.1.2-1 name of 3.1 with level 4",
        "100f00064d514973647004020000000163",
        VIOLATION,
        Reason.UNSUPPORTED_PROTOCOL_VERSION,
    ),
    ("MQTT-3.1.2-2 level 3 with the new name", "100d00044d51545403020000000163", VIOLATION, Reason.UNSUPPORTED_PROTOCOL_VERSION),
    ("MQTT-3.1.2-2 level 6", "100d00044d51545406020000000163", VIOLATION, Reason.UNSUPPORTED_PROTOCOL_VERSION),
    ("MQTT-3.1.2-2 level of a bridge", "100d00044d51545484020000000163", VIOLATION, Reason.UNSUPPORTED_PROTOCOL_VERSION),
    ("MQTT-3.1.2-3 reserved flag", "100d00044d51545404030000000163", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-3.1.2-11 will QoS without will (3.1.1: -13)", "100d00044d515454040a0000000163", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-3.1.2-13 will retain without will (3.1.1: -15)", "100d00044d51545404220000000163", MALFORMED, Reason.MALFORMED_PACKET),
    (
        "MQTT-3.1.2-12 will QoS 3 (3.1.1: -14)",
        "101100044d515454041e000000016300017400" + "00",
        MALFORMED,
        Reason.MALFORMED_PACKET,
    ),
    ("MQTT-3.1.2-22 of 3.1.1: password alone", "101000044d515454044200000001630001" + "70", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-3.1.3-1 no client identifier", "100a00044d51545404020000", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-3.1.3-4 client identifier not UTF-8", "100d00044d515454040200000001ff", MALFORMED, Reason.MALFORMED_PACKET),
    ("MQTT-1.5.4-2 U+0000 in the client identifier", "100d00044d51545404020000000100", MALFORMED, Reason.MALFORMED_PACKET),
    ("client identifier longer than the packet", "100d00044d51545404020000000263", MALFORMED, Reason.MALFORMED_PACKET),
    ("user name flag without user name (3.1.1)", "100d00044d51545404820000000163", MALFORMED, Reason.MALFORMED_PACKET),
    ("empty will topic (MQTT-4.7.3-1)", "101100044d51545404060000000163" + "00000000", MALFORMED, Reason.MALFORMED_PACKET),
    ("will topic with wildcard", "101200044d51545404060000000163" + "00012b0000", MALFORMED, Reason.MALFORMED_PACKET),
    ("bytes too many", "100e00044d5154540402000000016300", MALFORMED, Reason.MALFORMED_PACKET),
    ("5.0 remaining length too long for its value", "108e0000044d5154540502000000000163", MALFORMED, Reason.MALFORMED_PACKET),
    ("5.0 without properties", "100a00044d51545405020000", MALFORMED, Reason.MALFORMED_PACKET),
    (
        "MQTT-2.2.2.2 property of another packet",
        "101000044d51545405020000" + "03230001" + "0000",
        MALFORMED,
        Reason.MALFORMED_PACKET,
    ),
    ("unknown property", "100f00044d51545405020000" + "027f00" + "0000", MALFORMED, Reason.MALFORMED_PACKET),
    ("receive maximum of 0", "101000044d51545405020000" + "03210000" + "0000", VIOLATION, Reason.PROTOCOL_ERROR),
    ("receive maximum twice", "101300044d51545405020000" + "06210001210001" + "0000", VIOLATION, Reason.PROTOCOL_ERROR),
    ("maximum packet size of 0", "101200044d51545405020000" + "052700000000" + "0000", VIOLATION, Reason.PROTOCOL_ERROR),
    ("request problem information of 2", "100f00044d51545405020000" + "021702" + "0000", VIOLATION, Reason.PROTOCOL_ERROR),
    ("authentication data without method", "101100044d51545405020000" + "0416000161" + "0000", VIOLATION, Reason.PROTOCOL_ERROR),
    ("properties longer than the packet", "100d00044d51545405020000" + "7f0000", MALFORMED, Reason.MALFORMED_PACKET),
    ("property longer than the properties", "101000044d51545405020000" + "02210001" + "0000", MALFORMED, Reason.MALFORMED_PACKET),
    (
        "length of properties too long for its value",
        "100e00044d51545405020000" + "8000" + "0000",
        MALFORMED,
        Reason.MALFORMED_PACKET,
    ),
    ("will delay outside a will", "101200044d51545405020000" + "051800000001" + "0000", MALFORMED, Reason.MALFORMED_PACKET),
]


@pytest.mark.parametrize(("data", "kind", "reason"), [line[1:] for line in CONNECTS], ids=[line[0] for line in CONNECTS])
def test_connect(data: str, kind: type[PeerError], reason: Reason) -> None:
    error = refused(Decoder(1000), data)
    assert isinstance(error, kind)
    assert error.reason is reason


PACKETS = [
    ("MQTT-3.1.0-2 second CONNECT", V311, "100d00044d51545404020000000163", VIOLATION),
    ("reserved type", V311, "0000", MALFORMED),
    ("type 15 before 5.0", V311, "f000", VIOLATION),
    ("CONNACK from a client", V311, "20020000", VIOLATION),
    ("SUBACK from a client", V5, "900400010000", VIOLATION),
    ("UNSUBACK from a client", V5, "b00400010000", VIOLATION),
    ("PINGRESP from a client", V311, "d000", VIOLATION),
    ("five bytes of remaining length", V311, "30ffffffff01", MALFORMED),
    ("five bytes of remaining length, four of which came", V311, "30ffffffff", MALFORMED),
    ("MQTT-1.5.5-1 remaining length too long for its value", V5, "3083000001" + "74", MALFORMED),
    ("MQTT-2.1.3-1 flags of PUBACK", V311, "41020001", MALFORMED),
    ("MQTT-3.6.1-1 flags of PUBREL", V311, "60020001", MALFORMED),
    ("MQTT-3.8.1-1 flags of SUBSCRIBE", V311, "8006000100017400", MALFORMED),
    ("MQTT-3.10.1-1 flags of UNSUBSCRIBE", V311, "a0050001000174", MALFORMED),
    ("flags of PINGREQ", V5, "c100", MALFORMED),
    ("MQTT-3.14.1-1 flags of DISCONNECT", V5, "e100", MALFORMED),
    ("MQTT-3.15.1-1 flags of AUTH", V5, "f100", MALFORMED),
    ("MQTT-3.3.1-4 QoS 3", V311, "36050001740001", MALFORMED),
    ("MQTT-3.3.1-4 QoS 3, before the rest comes", V311, "367f", MALFORMED),
    ("MQTT-3.3.1-2 DUP at QoS 0", V311, "3803000174", MALFORMED),
    ("MQTT-2.2.1-3 packet identifier 0 in PUBLISH", V311, "32050001740000", VIOLATION),
    ("no packet identifier in PUBLISH", V311, "3204000174" + "00", MALFORMED),
    ("MQTT-3.3.2-1 no topic in PUBLISH", V311, "3001" + "00", MALFORMED),
    ("nothing in PUBLISH", V311, "3000", MALFORMED),
    ("topic longer than PUBLISH", V311, "3003000274", MALFORMED),
    ("topic longer than PUBLISH, which another packet follows", V311, "3003000274" + "c000", MALFORMED),
    ("MQTT-4.7.3-1 empty topic", V311, "30020000", VIOLATION),
    ("empty topic without alias", V5, "3003000000", VIOLATION),
    ("MQTT-3.3.2-2 + in a topic", V311, "300300012b", MALFORMED),
    ("MQTT-3.3.2-2 # in a topic", V5, "3006000361" + "2f2300", MALFORMED),
    ("MQTT-1.5.4-1 surrogates in a topic", V311, "30050003eda080", MALFORMED),
    ("MQTT-1.5.4-1 overlong form in a topic", V311, "30040002c080", MALFORMED),
    ("MQTT-1.5.4-1 cut form in a topic", V311, "30030001c3", MALFORMED),
    ("MQTT-1.5.4-2 U+0000 in a topic", V311, "3005000361" + "0062", MALFORMED),
    ("no properties in PUBLISH", V5, "3003000174", MALFORMED),
    ("properties longer than PUBLISH", V5, "3004000174" + "02", MALFORMED),
    ("MQTT-3.3.4-6 subscription identifier from a client", V5, "3006000174" + "020b01", VIOLATION),
    ("payload format of 2", V5, "3006000174" + "020102", VIOLATION),
    ("payload format twice", V5, "3008000174" + "0401000100", VIOLATION),
    ("MQTT-3.3.2-14 wildcard in the response topic", V5, "3008000174" + "040800012b", MALFORMED),
    ("cut four byte integer", V5, "3008000174" + "0402000000", MALFORMED),
    ("cut string pair", V5, "3009000174" + "0526000161" + "00", MALFORMED),
    ("U+0000 in a user property", V5, "300b000174" + "072600010000" + "0161", MALFORMED),
    ("PUBACK of one byte", V311, "400100", MALFORMED),
    ("PUBACK of no bytes", V5, "4000", MALFORMED),
    ("PUBACK of three bytes before 5.0", V311, "4003000100", MALFORMED),
    ("packet identifier 0 in PUBACK", V311, "40020000", VIOLATION),
    ("unknown reason of PUBACK", V5, "4003000101", MALFORMED),
    ("reason of another packet in PUBREL", V5, "6203000110", MALFORMED),
    ("bytes too many behind the properties of PUBACK", V5, "400500010000" + "00", MALFORMED),
    ("PUBACK with a property of PUBLISH", V5, "400700010003230001", MALFORMED),
    ("MQTT-2.2.1-3 packet identifier 0 in SUBSCRIBE", V311, "8206000000017400", VIOLATION),
    ("MQTT-3.8.3-2 SUBSCRIBE without filter (3.1.1: -3)", V311, "82020001", VIOLATION),
    ("SUBSCRIBE without filter", V5, "8203000100", VIOLATION),
    ("MQTT-4.7.3-1 empty filter", V311, "82050001000000", MALFORMED),
    ("filter without QoS", V311, "82050001000174", MALFORMED),
    ("MQTT-3.8.3-4 of 3.1.1: QoS 3", V311, "8206000100017403", MALFORMED),
    ("MQTT-3.8.3-4 of 3.1.1: reserved bits", V311, "8206000100017404", MALFORMED),
    ("QoS 3 in options", V5, "820700010000017403", VIOLATION),
    ("MQTT-3.8.3-5 reserved bits of options", V5, "820700010000017440", MALFORMED),
    ("retain handling of 3", V5, "820700010000017430", VIOLATION),
    ("MQTT-3.8.3-4 no local on a shared subscription", V5, "821000010000" + "0a" + b"$share/g/t".hex() + "04", VIOLATION),
    ("subscription identifier of 0", V5, "8209000102" + "0b00" + "00017400", VIOLATION),
    ("subscription identifier twice", V5, "820b000104" + "0b010b02" + "00017400", VIOLATION),
    ("packet identifier 0 in UNSUBSCRIBE", V311, "a2050000000174", VIOLATION),
    ("MQTT-3.10.3-2 UNSUBSCRIBE without filter", V311, "a2020001", VIOLATION),
    ("filter longer than UNSUBSCRIBE", V311, "a2050001000274", MALFORMED),
    ("PINGREQ with a body", V311, "c00100", MALFORMED),
    ("DISCONNECT with a body before 5.0", V311, "e00100", MALFORMED),
    ("unknown reason of DISCONNECT", V5, "e00101", MALFORMED),
    ("MQTT-3.14.2 server reference from a client", V5, "e006" + "00" + "041c000161", VIOLATION),
    ("unknown reason of AUTH", V5, "f0020100", MALFORMED),
    ("AUTH with a reason but no properties", V5, "f00118", MALFORMED),
]


@pytest.mark.parametrize(("version", "data", "kind"), [line[1:] for line in PACKETS], ids=[line[0] for line in PACKETS])
def test_packets_of_a_client(version: Version, data: str, kind: type[PeerError]) -> None:
    error = refused(client(version), data)
    assert type(error) is kind
    assert error.reason in (Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)
    assert (error.reason is Reason.MALFORMED_PACKET) == (kind is MALFORMED)


SERVER_PACKETS = [
    ("CONNECT from a server", V311, "100d00044d51545404020000000163", VIOLATION),
    ("SUBSCRIBE from a server", V5, "820700010000017400", VIOLATION),
    ("PINGREQ from a server", V311, "c000", VIOLATION),
    ("DISCONNECT from a server before 5.0", V311, "e000", VIOLATION),
    ("MQTT-3.2.2-1 reserved flags of CONNACK", V311, "20020200", MALFORMED),
    ("MQTT-3.2.2-6 session of a refused client (3.1.1: -4)", V311, "20020105", VIOLATION),
    ("unknown return code", V311, "20020006", MALFORMED),
    ("unknown reason of CONNACK", V5, "2003000100", MALFORMED),
    ("CONNACK without properties", V5, "20020000", MALFORMED),
    ("MQTT-3.9.3-2 of 3.1.1: reserved return code of SUBACK", V311, "9003000103", MALFORMED),
    ("return code of 5.0 in SUBACK", V311, "9003000187", MALFORMED),
    ("SUBACK without reasons", V311, "90020001", VIOLATION),
    ("UNSUBACK with reasons before 5.0", V311, "b003000100", MALFORMED),
    ("UNSUBACK without reasons", V5, "b003000100", VIOLATION),
    ("MQTT-3.14.2-2 session expiry from a server", V5, "e007" + "00" + "051100000001", VIOLATION),
]


@pytest.mark.parametrize(
    ("version", "data", "kind"), [line[1:] for line in SERVER_PACKETS], ids=[line[0] for line in SERVER_PACKETS]
)
def test_packets_of_a_server(version: Version, data: str, kind: type[PeerError]) -> None:
    assert type(refused(Decoder(1000, version), data)) is kind


def test_topic_alias_of_0_has_its_own_reason() -> None:
    """MQTT-3.3.2-8."""
    assert refused(client(V5), "3007000174" + "03230000").reason is Reason.TOPIC_ALIAS_INVALID


def test_a_password_without_user_name_is_right_in_5_0() -> None:
    decoder = Decoder(1000)
    decoder.feed(encode(Connect(V5, password=b"x"), V5))
    assert decoder.next() == Connect(V5, password=b"x")


def test_what_3_1_leaves_open_is_accepted() -> None:
    decoder = Decoder(1000)
    decoder.feed(bytes.fromhex("100f 0006 4d5149736470 03 c3 0000 0001 63"))
    assert decoder.next() == Connect(V31, "c", True)  # user name and password announced, absent; reserved flag set
    decoder.feed(bytes.fromhex("8a06 0001 0001 74 fe"))
    assert decoder.next() == Subscribe(1, [Subscription("t", 2)])
    decoder.feed(bytes.fromhex("3803000174"))
    assert decoder.next() == Publish("t")  # DUP means nothing at QoS 0


@pytest.mark.parametrize("what", ["SUBSCRIBE", "UNSUBSCRIBE", "user properties"])
def test_how_many_entries_one_packet_may_hold(what: str) -> None:
    for count in (10_000, 10_001):
        packet: Packet
        if what == "SUBSCRIBE":
            packet = Subscribe(1, [Subscription("t")] * count)
        elif what == "UNSUBSCRIBE":
            packet = Unsubscribe(1, ["t"] * count)
        else:
            packet = Publish("t", properties={"user_properties": [("", "")] * count})
        decoder = Decoder(1 << 20)
        decoder.feed(encode(Connect(V5), V5) + encode(packet, V5))
        decoder.next()
        if count == 10_000:
            assert decoder.next() == packet
            continue
        with pytest.raises(ProtocolViolation, match="more than 10000") as caught:
            decoder.next()
        assert caught.value.reason is Reason.QUOTA_EXCEEDED
