"""Data types, fixed headers, packet identifiers (1.5, 2)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import PING, Deviation, frame, text

from mqtt.codec import encode
from mqtt.packets import Publish, PubRec, SubAck, Subscribe, Subscription, Will

ILL_FORMED = b"a\xed\xa0\x80b"
"""A surrogate."""
ONE = b"\0\1"
"""A packet identifier."""


@case("1.5.3-1 3.3.2-1", "1.5.4-1 3.3.2-1")
def test_surrogate_in_topic(bench: Bench) -> None:
    """closes when a topic name has a surrogate"""
    bench.client().refused(frame(0x30, text(ILL_FORMED), bench.none(), b"x"))


@case("1.5.3-1 3.3.2-1", "1.5.4-1 3.3.2-1")
def test_overlong_in_topic(bench: Bench) -> None:
    """closes when a topic name has a character in more bytes than it needs"""
    bench.client().refused(frame(0x30, text(b"a\xc0\xafb"), bench.none(), b"x"))


@case("1.5.3-1 3.8.3-1", "1.5.4-1 3.8.3-1")
def test_ill_formed_filter(bench: Bench) -> None:
    """closes when a topic filter of SUBSCRIBE is not UTF-8"""
    bench.client().refused(frame(0x82, ONE, bench.none(), text(ILL_FORMED), b"\0"))


@case("1.5.3-1 3.10.3-1", "1.5.4-1 3.10.3-1")
def test_ill_formed_filter_of_unsubscribe(bench: Bench) -> None:
    """closes when a topic filter of UNSUBSCRIBE is not UTF-8"""
    bench.client().refused(frame(0xA2, ONE, bench.none(), text(ILL_FORMED)))


@case("1.5.3-1 3.1.3-4", "1.5.4-1 3.1.3-4")
def test_ill_formed_client_identifier(bench: Bench) -> None:
    """closes when the client identifier is not UTF-8"""
    stranger = bench.stranger()
    stranger.raw(_connect(bench, 2, text(ILL_FORMED)), PING)
    stranger.closed()


@case("1.5.3-1 3.1.3-11", "1.5.4-1 3.1.3-12")
def test_ill_formed_user_name(bench: Bench) -> None:
    """closes when the user name is not UTF-8"""
    stranger = bench.stranger()
    stranger.raw(_connect(bench, 0x82, text(bench.name("a")), text(ILL_FORMED)), PING)
    stranger.closed()


@case("1.5.3-1 3.1.3-10", "1.5.4-1 3.1.3-11")
def test_ill_formed_will_topic(bench: Bench) -> None:
    """closes when the topic of the will is not UTF-8"""
    stranger = bench.stranger()
    stranger.raw(_connect(bench, 6, text(bench.name("a")), bench.none(), text(ILL_FORMED), text("x")), PING)
    stranger.closed()


def _connect(bench: Bench, flags: int, *payload: bytes) -> bytes:
    return frame(0x10, text("MQTT"), bytes((bench.version, flags)), b"\0\x3c", bench.none(), *payload)


@case("1.5.3-2 4.7.3-2", "1.5.4-2 4.7.3-2")
def test_nul_in_topic(bench: Bench) -> None:
    """closes when a topic name has U+0000"""
    bench.client().refused(frame(0x30, text("a\0b"), bench.none(), b"x"))


@case("1.5.3-2 4.7.3-2", "1.5.4-2 4.7.3-2")
def test_nul_in_filter(bench: Bench) -> None:
    """closes when a topic filter has U+0000"""
    bench.client().refused(frame(0x82, ONE, bench.none(), text("a\0b"), b"\0"))


@case("1.5.3-3", "1.5.4-3")
def test_zero_width_space_stays(bench: Bench) -> None:
    """passes U+FEFF on where it stands"""
    subscriber, publisher = bench.pair(topic="\ufeffa")
    subscriber.subscribe(bench.topic("a"))
    publisher.publish(bench.topic("\ufeffa"))
    expect(subscriber.message().topic == bench.topic("\ufeffa"), "the topic has changed")
    subscriber.silent_from(publisher)


@case(v5="1.5.5-1 4.13.1-1")
def test_long_form_of_property_length(bench: Bench) -> None:
    """closes when a variable byte integer takes more bytes than it needs"""
    bench.client().refused(frame(0x30, text(bench.topic()), b"\x80\0", b"x"))


@case(v5="1.5.5-1")
def test_lengths_in_fewest_bytes(bench: Bench) -> None:
    """writes the remaining length in as few bytes as it needs"""
    subscriber, publisher = bench.pair()
    head = len(text(bench.topic())) + 1
    for length in (127, 128, 16_383, 16_384):
        publisher.publish(bench.topic(), bytes(length - head))
        before = len(subscriber.received)
        expect(len(subscriber.message().payload) == length - head, "the payload has changed")
        size = len(subscriber.received) - before - length - 1
        expect(size == (1 if length < 128 else 2 if length < 16_384 else 3), "the length takes more")


@case("4.8.0-1", "4.13.1-1")
def test_remaining_length_of_five_bytes(bench: Bench) -> None:
    """closes when the remaining length takes five bytes"""
    bench.client().refused(b"\x30\xff\xff\xff\xff\x01")


@case(v5="1.5.7-1 4.13.1-1")
def test_ill_formed_user_property(bench: Bench) -> None:
    """closes when a user property is not UTF-8"""
    pair = b"\x26" + text("k") + text(ILL_FORMED)
    bench.client().refused(frame(0x30, text(bench.topic()), bytes((len(pair),)), pair, b"x"))


@case("2.2.2-2 3.8.1-1", "2.1.3-1 3.8.1-1")
def test_flags_of_subscribe(bench: Bench) -> None:
    """closes when the flags of SUBSCRIBE are wrong"""
    bench.client().refused(frame(0x80, ONE, bench.none(), text(bench.topic()), b"\0"))


@case("2.2.2-2 3.10.1-1", "2.1.3-1 3.10.1-1")
def test_flags_of_unsubscribe(bench: Bench) -> None:
    """closes when the flags of UNSUBSCRIBE are wrong"""
    bench.client().refused(frame(0xA0, ONE, bench.none(), text(bench.topic())))


@case("2.2.2-2 3.6.1-1", "2.1.3-1 3.6.1-1")
def test_flags_of_pubrel(bench: Bench) -> None:
    """closes when the flags of PUBREL are wrong"""
    client = bench.client()
    client.send(Publish(bench.topic(), b"x", 2, packet_id=1))
    client.expect(PubRec)
    client.refused(frame(0x60, ONE))


@case("2.2.2-2", "2.1.3-1")
def test_flags_of_puback(bench: Bench) -> None:
    """closes when the flags of PUBACK are wrong"""
    subscriber, publisher = bench.pair(1)
    publisher.publish(bench.topic(), qos=1)
    number = subscriber.expect(Publish).packet_id
    subscriber.refused(frame(0x42, number.to_bytes(2, "big")))


@case("2.2.2-2", "2.1.3-1")
def test_flags_of_pingreq(bench: Bench) -> None:
    """closes when the flags of PINGREQ are wrong"""
    client = bench.client()
    client.raw(b"\xc1\0")
    client.closed()


@case("2.2.2-2 3.14.1-1", "2.1.3-1 3.14.1-1")
def test_flags_of_disconnect(bench: Bench) -> None:
    """takes a DISCONNECT with wrong flags for an error, and publishes the will"""
    subscriber, _ = bench.pair()
    client = bench.client(will=Will(bench.topic(), b"will"))
    client.raw(b"\xe1\0")
    client.closed()
    expect(subscriber.message().payload == b"will", "another message comes")


@case("2.2.2-2", "2.1.3-1")
def test_flags_of_connect(bench: Bench) -> None:
    """closes when the flags in the fixed header of CONNECT are wrong"""
    stranger = bench.stranger()
    stranger.raw(b"\x11" + _connect(bench, 2, text(bench.name("a")))[1:], PING)
    stranger.closed()


@case("4.8.0-1", "4.13.1-1")
def test_reserved_packet_type(bench: Bench) -> None:
    """closes when a packet of the reserved type 0 comes"""
    bench.client().refused(b"\0\0")


@case("4.8.0-1")
def test_packet_type_15(bench: Bench) -> None:
    """closes when a packet of the type 15, reserved at 3.1.1, comes"""
    bench.client().refused(b"\xf0\0")


@case("4.8.0-1", "4.13.1-1")
def test_connack_from_client(bench: Bench) -> None:
    """closes when a client sends CONNACK"""
    bench.client().refused(frame(0x20, b"\0\0", bench.none()))


@case("4.8.0-1", "4.13.1-1")
def test_suback_from_client(bench: Bench) -> None:
    """closes when a client sends SUBACK"""
    bench.client().refused(frame(0x90, ONE, bench.none(), b"\0"))


@case("4.8.0-1", "4.13.1-1")
def test_pingresp_from_client(bench: Bench) -> None:
    """closes when a client sends PINGRESP"""
    bench.client().refused(b"\xd0\0")


@case("2.3.1-1", "2.2.1-3")
def test_packet_identifier_0_of_subscribe(bench: Bench) -> None:
    """closes when the packet identifier of SUBSCRIBE is 0"""
    bench.client().refused(frame(0x82, b"\0\0", bench.none(), text(bench.topic()), b"\0"))


@case("2.3.1-1", "2.2.1-3")
def test_packet_identifier_0_of_unsubscribe(bench: Bench) -> None:
    """closes when the packet identifier of UNSUBSCRIBE is 0"""
    bench.client().refused(frame(0xA2, b"\0\0", bench.none(), text(bench.topic())))


@case("2.3.1-1", "2.2.1-3")
def test_packet_identifier_0_of_publish(bench: Bench) -> None:
    """closes when the packet identifier of PUBLISH is 0"""
    bench.client().refused(frame(0x32, text(bench.topic()), b"\0\0", bench.none(), b"x"))


@case("2.3.1-4", "2.2.1-4")
def test_packet_identifiers_differ(bench: Bench) -> None:
    """gives messages that are in flight different packet identifiers, none of them 0"""
    subscriber, publisher = bench.pair(2)
    for number in range(10):
        publisher.publish(bench.topic(), qos=1 + number % 2)
    numbers = [subscriber.expect(Publish).packet_id for _ in range(10)]
    expect(len(set(numbers)) == 10, f"the packet identifiers are {numbers}")
    expect(0 not in numbers, "a packet identifier is 0")


@case("2.3.1-5", "2.2.1-2")
def test_no_packet_identifier_at_qos_0(bench: Bench) -> None:
    """writes no packet identifier at QoS 0"""
    subscriber, publisher = bench.pair(2)
    publisher.publish(bench.topic(), b"\0\7")
    expect(subscriber.message().payload == b"\0\7", "the payload has changed")
    expect(subscriber.received.endswith(text(bench.topic()) + bench.none() + b"\0\7"), "there is more in the packet")


@case("2.3.1-6", "2.2.1-5")
def test_packet_identifiers_of_acknowledgements(bench: Bench) -> None:
    """acknowledges under the packet identifier of the PUBLISH"""
    client = bench.client()
    for qos in (1, 2):
        for _ in range(3):
            client.publish(bench.topic(), qos=qos)


@case("2.3.1-7 3.8.4-2", "2.2.1-6 3.8.4-2")
def test_packet_identifier_of_suback(bench: Bench) -> None:
    """answers SUBSCRIBE and UNSUBSCRIBE under their packet identifiers"""
    client = bench.client()
    for name in ("a", "b"):
        client.subscribe(bench.topic(name))
        client.unsubscribe(bench.topic(name))


@case(v5="2.2.2-1")
def test_properties_are_announced_when_there_are_none(bench: Bench) -> None:
    """writes the length 0 of the properties where there are none"""
    client = bench.client()
    before = len(client.received)
    client.subscribe(bench.topic())
    expect(client.received[before + 4 : before + 5] == b"\0" or len(client.received) > before + 6, "no length of the properties")


@case(v5="2.2.2-1 4.13.1-1")
def test_missing_properties(bench: Bench) -> None:
    """closes when a PUBLISH ends before its properties"""
    bench.client().refused(frame(0x30, text(bench.topic())))


@case(v5="4.13.1-1")
def test_properties_longer_than_packet(bench: Bench) -> None:
    """closes when the properties are longer than the packet"""
    bench.client().refused(frame(0x30, text(bench.topic()), b"\x7f", b"x"))


@case(v5="4.13.1-1")
def test_unknown_property(bench: Bench) -> None:
    """closes when a property does not exist"""
    bench.client().refused(frame(0x30, text(bench.topic()), b"\2\x7e\0", b"x"))


@case(v5="4.13.1-1")
def test_property_of_another_packet(bench: Bench) -> None:
    """closes when a property is not of this packet"""
    bench.client().refused(frame(0x30, text(bench.topic()), b"\5\x11\0\0\0\1", b"x"))


@case(v5="4.13.1-1")
def test_subscription_identifier_twice(bench: Bench) -> None:
    """closes when a SUBSCRIBE has two subscription identifiers"""
    bench.client().refused(frame(0x82, ONE, b"\4\x0b\1\x0b\2", text(bench.topic()), b"\0"))


@case(v5="4.13.1-1 3.4.2-1")
def test_wrong_reason_of_puback(bench: Bench) -> None:
    """closes when the reason code of a PUBACK does not exist"""
    subscriber, publisher = bench.pair(1)
    publisher.publish(bench.topic(), qos=1)
    subscriber.refused(frame(0x40, subscriber.expect(Publish).packet_id.to_bytes(2, "big"), b"\x7f\0"))


@case(v5="4.13.1-1")
def test_server_reference_from_client(bench: Bench) -> None:
    """takes a DISCONNECT of a client with a server reference for an error, and publishes the will"""
    subscriber, _ = bench.pair()
    client = bench.client(will=Will(bench.topic(), b"will"))
    client.raw(frame(0xE0, b"\0\4\x1c", text("x")))
    client.closed()
    expect(subscriber.message().payload == b"will", "another message comes")


@case(v5="4.13.1-1")
def test_property_twice(bench: Bench) -> None:
    """closes when a property comes twice that may come once"""
    bench.client().refused(frame(0x30, text(bench.topic()), b"\4\x01\0\x01\0", b"x"))


@case("4.8.0-1", "4.13.1-1")
def test_pingreq_with_a_body(bench: Bench) -> None:
    """closes when a PINGREQ has a body"""
    bench.client().gone(frame(0xC0, b"x"))


@case("4.8.0-1")
def test_disconnect_with_a_body(bench: Bench) -> None:
    """takes a DISCONNECT with a body, which 3.1.1 does not have, for an error, and publishes the will"""
    subscriber, _ = bench.pair()
    client = bench.client(will=Will(bench.topic(), b"will"))
    client.raw(frame(0xE0, b"\0"))
    client.closed()
    expect(subscriber.message().payload == b"will", "another message comes")


@case("4.8.0-1")
def test_puback_with_a_reason(bench: Bench) -> None:
    """closes at 3.1.1 when a PUBACK has a reason code"""
    subscriber, publisher = bench.pair(1)
    publisher.publish(bench.topic(), qos=1)
    subscriber.refused(frame(0x40, subscriber.expect(Publish).packet_id.to_bytes(2, "big"), b"\0"))


@case("7.1.1-1", "4.2-1")
def test_large_payload(bench: Bench) -> None:
    """delivers a large payload unaltered"""
    subscriber, publisher = bench.pair(1)
    payload = bytes(range(256)) * 1000
    publisher.publish(bench.topic(), payload, 1)
    expect(subscriber.message().payload == payload, "the payload has changed")


@case("7.1.1-1", "4.2-1")
def test_bytes_one_by_one(bench: Bench) -> None:
    """reads packets from a stream, wherever it is cut"""
    client = bench.client()
    both = (
        Subscribe(1, [Subscription(bench.topic())]),
        Publish(bench.topic(), b"one"),
        Publish(bench.topic(), b"two"),
    )
    for byte in b"".join(encode(each, bench.version) for each in both):
        client.raw(bytes((byte,)))
    client.expect(SubAck)
    expect(client.payloads(2) == [b"one", b"two"], "other messages come")


@case("3.3.1-2", "3.3.1-2")
def test_duplicate_at_qos_0(bench: Bench) -> None:
    """does not pass on the DUP of a PUBLISH at QoS 0"""
    subscriber, publisher = bench.pair()
    publisher.raw(frame(0x38, text(bench.topic()), bench.none(), b"x"))
    try:
        publisher.ping()
    except Deviation:
        return  # it may as well take it for malformed
    expect(not subscriber.message().dup, "DUP is set")
