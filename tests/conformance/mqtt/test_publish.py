"""PUBLISH and its acknowledgements (3.3 to 3.7), and what 5.0 has in its properties."""

from __future__ import annotations

from contextlib import suppress

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import PING, Client, Deviation, frame, publishes, short, text

from mqtt.codec import encode
from mqtt.packets import PingResp, PubAck, PubComp, Publish, PubRec, PubRel, Subscribe, Subscription
from mqtt.properties import Properties
from mqtt.reasons import Reason


@case("3.3.1-4", "3.3.1-4")
def test_qos_3(bench: Bench) -> None:
    """closes when the QoS of a PUBLISH is 3"""
    bench.client().refused(frame(0x36, text(bench.topic()), b"\0\1", bench.none(), b"x"))


@case("3.3.1-3", "3.3.1-3")
def test_duplicate_flag_is_not_passed_on(bench: Bench) -> None:
    """does not pass on the DUP of a publisher"""
    subscriber, publisher = bench.pair(2)
    publisher.publish(bench.topic(), b"one", 1, dup=True)
    publisher.publish(bench.topic(), b"two", 2, dup=True)
    for _ in range(2):
        expect(not subscriber.message().dup, "DUP is set")


@case("3.3.2-2 4.7.1-1", "3.3.2-2 4.7.0-1")
def test_wildcard_in_topic(bench: Bench) -> None:
    """closes when a topic name has a wildcard"""
    for wildcard in ("#", "+"):
        bench.client(wildcard).refused(frame(0x30, text(bench.topic(wildcard)), bench.none(), b"x"))


@case("4.7.3-1", "4.7.3-1")
def test_empty_topic(bench: Bench) -> None:
    """closes when a topic name is empty"""
    bench.client().refused(frame(0x30, text(""), bench.none(), b"x"))


@case("3.3.2-3", "3.3.2-3")
def test_only_what_was_subscribed(bench: Bench) -> None:
    """sends nothing that was not subscribed to"""
    subscriber, publisher = bench.pair(topic="mine")
    stranger = bench.client("x")
    publisher.publish(bench.topic("other"), b"no", 1)
    publisher.publish(bench.topic("mine"), b"yes", 1)
    expect(subscriber.message().topic == bench.topic("mine"), "another topic comes")
    subscriber.silent_from(publisher)
    stranger.silent_from(publisher)


@case("3.3.4-1", "3.3.4-1")
def test_no_answer_at_qos_0(bench: Bench) -> None:
    """does not answer at QoS 0"""
    client = bench.client()
    client.publish(bench.topic())
    expect(not client.ping(), "it answers")


@case("3.3.4-1 4.3.2-2", "3.3.4-1 4.3.2-4")
def test_puback(bench: Bench) -> None:
    """answers QoS 1 with PUBACK"""
    client = bench.client()
    client.send(Publish(bench.topic(), b"x", 1, packet_id=77))
    expect(client.expect(PubAck).packet_id == 77, "the packet identifier is another one")


@case("3.3.4-1 4.3.3-2", "3.3.4-1 4.3.3-8 4.3.3-11")
def test_pubrec_and_pubcomp(bench: Bench) -> None:
    """answers QoS 2 with PUBREC, and PUBREL with PUBCOMP"""
    client = bench.client()
    client.send(Publish(bench.topic(), b"x", 2, packet_id=77))
    expect(client.expect(PubRec).packet_id == 77, "the packet identifier is another one")
    client.send(PubRel(77))
    expect(client.expect(PubComp).packet_id == 77, "the packet identifier is another one")


@case("3.3.5-1", "3.3.4-2")
def test_overlapping_subscriptions(bench: Bench) -> None:
    """delivers at the highest QoS of all subscriptions that match"""
    subscriber, publisher = bench.pair(1, topic="#")
    subscriber.subscribe(bench.topic("a/b"), qos=2)
    subscriber.subscribe(bench.topic("+/b"), qos=0)
    publisher.publish(bench.topic("a/b"), b"x", 2)
    qoses = [each.qos for each in publishes(subscriber.nothing_from(publisher))]
    expect(qoses and max(qoses) == 2, f"it comes at QoS {qoses}")


@case("3.3.5-2", "3.3.4-1 3.4.2-1")
def test_publish_without_permission(bench: Bench) -> None:
    """acknowledges or closes when a publish is not allowed"""
    for qos, kind in ((1, PubAck), (2, PubRec)):
        client = bench.client(str(qos))
        client.send(Publish("forbidden/x", b"x", qos, packet_id=1))
        packet = client.packet()
        expect(packet is None or isinstance(packet, kind), f"{short(packet)} comes")


@case(v5="4.3.3-9")
def test_refused_qos_2_leaves_its_identifier(bench: Bench) -> None:
    """takes a PUBLISH for a new one after a PUBREC with a failure"""
    subscriber, publisher = bench.pair(2)
    publisher.send(Publish("forbidden/x", b"no", 2, packet_id=5))
    refused = publisher.expect(PubRec).reason.failed
    if not refused:
        publisher.send(PubRel(5))
        publisher.expect(PubComp)
    publisher.send(Publish(bench.topic(), b"yes", 2, packet_id=5))
    expect(not publisher.expect(PubRec).reason.failed, "it is refused")
    publisher.send(PubRel(5))
    publisher.expect(PubComp)
    expect(subscriber.message().payload == b"yes", "another message comes")


# What 5.0 has in its properties.


def passed_on(bench: Bench, properties: Properties) -> None:
    """The properties of a message come as they were sent: at once, and when it waited."""
    subscriber, publisher = bench.pair(1)
    away = bench.client("away", stays=True)
    away.subscribe(bench.topic(), qos=1)
    away.leave()
    publisher.publish(bench.topic(), b"x", 1, retain=True, properties=properties)
    later = bench.client("later")
    later.subscribe(bench.topic())
    for client in (subscriber, bench.client("away", stays=True), later):
        got = client.message().properties or {}
        expect(got == properties, f"the properties are {got}")


@case(v5="3.3.2-4")
def test_payload_format(bench: Bench) -> None:
    """passes on the payload format indicator"""
    passed_on(bench, {"payload_format": 1})


@case(v5="3.3.2-15")
def test_response_topic(bench: Bench) -> None:
    """passes on the response topic"""
    passed_on(bench, {"response_topic": "answers/to/me"})


@case(v5="3.3.2-16")
def test_correlation_data(bench: Bench) -> None:
    """passes on the correlation data"""
    passed_on(bench, {"correlation_data": bytes(range(256))})


@case(v5="3.3.2-17 3.3.2-18")
def test_user_properties(bench: Bench) -> None:
    """passes on all user properties in their order"""
    passed_on(bench, {"user_properties": [("b", "1"), ("a", "2"), ("b", "1"), ("", "é")]})


@case(v5="3.3.2-20")
def test_content_type(bench: Bench) -> None:
    """passes on the content type"""
    passed_on(bench, {"content_type": "application/json"})


@case(v5="3.3.2-14")
def test_wildcard_in_response_topic(bench: Bench) -> None:
    """closes when the response topic has a wildcard"""
    bench.client().refused(raw_publish(bench, b"\x08" + text("a/#")))


@case(v5="3.3.2-13")
def test_ill_formed_response_topic(bench: Bench) -> None:
    """closes when the response topic is not UTF-8"""
    bench.client().refused(raw_publish(bench, b"\x08" + text(b"a\xff")))


@case(v5="3.3.2-19")
def test_ill_formed_content_type(bench: Bench) -> None:
    """closes when the content type is not UTF-8"""
    bench.client().refused(raw_publish(bench, b"\x03" + text(b"a\xff")))


@case(v5="3.3.4-6")
def test_subscription_identifier_from_client(bench: Bench) -> None:
    """closes when a client publishes with a subscription identifier"""
    bench.client().refused(raw_publish(bench, b"\x0b\1"))


@case(v5="4.13.1-1")
def test_payload_format_2(bench: Bench) -> None:
    """closes when the payload format indicator is 2"""
    bench.client().refused(raw_publish(bench, b"\1\2"))


def raw_publish(bench: Bench, properties: bytes, topic: str | None = None) -> bytes:
    return frame(0x30, text(bench.topic() if topic is None else topic), bytes((len(properties),)), properties, b"x")


# Topic aliases.


def maximum(client: Client, bench: Bench, name: str) -> int:
    """A number out of the CONNACK."""
    ack = client.connect(bench.name("alias"), **bench.words())
    return int((ack.properties or {}).get(name, 0))  # type: ignore[call-overload]


@case(v5="3.3.2-12")
def test_topic_aliases(bench: Bench) -> None:
    """takes all topic aliases up to its maximum"""
    subscriber, _ = bench.pair(topic="#")
    publisher = bench.stranger()
    most = maximum(publisher, bench, "topic_alias_maximum")
    expect(most, "it takes none, which is allowed; then this case says nothing")
    for alias in {1, most}:
        publisher.publish(bench.topic(f"a{alias}"), b"set", properties={"topic_alias": alias})
    for alias in {1, most}:
        publisher.publish("", b"used", properties={"topic_alias": alias})
        publisher.publish(bench.topic("new"), b"set again", properties={"topic_alias": alias})
    got = [(each.topic, each.payload) for each in publishes(subscriber.nothing_from(publisher))]
    for alias in {1, most}:
        expect((bench.topic(f"a{alias}"), b"used") in got, f"the alias {alias} is not understood")


@case(v5="3.3.2-7")
def test_topic_aliases_end_with_the_connection(bench: Bench) -> None:
    """forgets topic aliases when the connection ends"""
    first = bench.client("a", stays=True)
    first.publish(bench.topic(), properties={"topic_alias": 1})
    first.ping()
    first.leave()
    bench.client("a", stays=True).refused(encode(Publish("", b"x", properties={"topic_alias": 1}), bench.version))


@case(v5="3.3.2-8")
def test_topic_alias_0(bench: Bench) -> None:
    """closes when a topic alias is 0"""
    bench.client().refused(raw_publish(bench, b"\x23\0\0"))


@case(v5="3.2.2-17 3.3.2-9")
def test_topic_alias_beyond_maximum(bench: Bench) -> None:
    """closes when a topic alias is beyond its maximum"""
    client = bench.stranger()
    most = maximum(client, bench, "topic_alias_maximum")
    client.refused(raw_publish(bench, b"\x23" + (most + 1).to_bytes(2, "big")))


@case(v5="4.13.1-1")
def test_unknown_topic_alias(bench: Bench) -> None:
    """closes when a topic alias stands for nothing"""
    bench.client().refused(raw_publish(bench, b"\x23\0\1", topic=""))


@case(v5="3.1.2-27 3.3.2-11")
def test_no_topic_alias_to_who_takes_none(bench: Bench) -> None:
    """sends no topic alias to a client that has not allowed any"""
    subscriber, publisher = bench.pair(1)
    for _ in range(3):
        publisher.publish(bench.topic(), b"x", 1, properties={"topic_alias": 1})
        message = subscriber.message()
        expect("topic_alias" not in (message.properties or {}) and message.topic, "it sends one")


@case(v5="3.1.2-26 3.3.2-11")
def test_topic_alias_within_the_clients_maximum(bench: Bench) -> None:
    """sends no topic alias beyond the maximum of the client"""
    subscriber, publisher = bench.pair(1, topic="#", properties={"topic_alias_maximum": 1})
    for name in ("a", "b", "a", "b", "c"):
        publisher.publish(bench.topic(name), b"x", 1)
        alias = (subscriber.message().properties or {}).get("topic_alias", 0)
        expect(alias <= 1, f"it sends {alias}")


# Subscription identifiers.


@case(v5="3.3.4-3")
def test_subscription_identifier(bench: Bench) -> None:
    """sends the subscription identifier with a message, and none without one"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    subscriber.subscribe(bench.topic("a"), identifier=268_435_455)
    subscriber.subscribe(bench.topic("b"))
    publisher.publish(bench.topic("a"))
    publisher.publish(bench.topic("b"))
    for wanted in ([268_435_455], []):
        got = (subscriber.message().properties or {}).get("subscription_identifiers", [])
        expect(got == wanted, f"the identifiers are {got}")


@case(v5="3.3.4-4 3.3.4-3 3.3.4-5")
def test_subscription_identifiers_of_overlapping(bench: Bench) -> None:
    """sends the subscription identifiers of all subscriptions that match"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    subscriber.subscribe(bench.topic("a/#"), identifier=1)
    subscriber.subscribe(bench.topic("a/b"), identifier=2)
    subscriber.subscribe(bench.topic("+/b"))
    publisher.publish(bench.topic("a/b"))
    copies = publishes(subscriber.nothing_from(publisher))
    got = sorted(number for each in copies for number in (each.properties or {}).get("subscription_identifiers", []))
    expect(got == [1, 2], f"the identifiers are {got}")


@case(v5="3.3.4-3 3.8.4-3")
def test_subscription_identifier_is_replaced(bench: Bench) -> None:
    """sends the subscription identifier of the newest subscription"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    subscriber.subscribe(bench.topic(), identifier=1)
    subscriber.subscribe(bench.topic(), identifier=2)
    publisher.publish(bench.topic())
    got = (subscriber.message().properties or {}).get("subscription_identifiers", [])
    expect(got == [2], f"the identifiers are {got}")


@case(v5="3.3.4-3")
def test_subscription_identifier_with_retained(bench: Bench) -> None:
    """sends the subscription identifier with a retained message"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    publisher.publish(bench.topic(), b"x", 1, retain=True)
    subscriber.subscribe(bench.topic(), identifier=9)
    got = (subscriber.message().properties or {}).get("subscription_identifiers", [])
    expect(got == [9], f"the identifiers are {got}")


@case(v5="4.13.1-1")
def test_subscription_identifier_0(bench: Bench) -> None:
    """closes when the subscription identifier of a SUBSCRIBE is 0"""
    bench.client().refused(frame(0x82, b"\0\1\2\x0b\0", text(bench.topic()), b"\0"))


# Sizes and numbers.


@case(v5="3.1.2-24 3.1.2-25")
def test_maximum_packet_size(bench: Bench) -> None:
    """does not send what is larger than the client takes, and goes on"""
    subscriber, publisher = bench.pair(2, properties={"maximum_packet_size": 100})
    for qos in (0, 1, 2):
        publisher.publish(bench.topic(), bytes(200), qos)
        publisher.publish(bench.topic(), b"small", qos)
        expect(subscriber.message().payload == b"small", "the large one comes")


@case(v5="3.1.2-24")
def test_maximum_packet_size_below_suback(bench: Bench) -> None:
    """does not send a SUBACK that is larger than the client takes"""
    client = bench.client(properties={"maximum_packet_size": 40})
    client.send(Subscribe(1, [Subscription(bench.topic(str(number))) for number in range(60)]))
    with suppress(Deviation):  # it can only close then
        client.ping()
    expect(client.largest <= 40, f"one has {client.largest} bytes")


@case(v5="3.1.2-24")
def test_maximum_packet_size_below_connack(bench: Bench) -> None:
    """does not send a CONNACK that is larger than the client takes"""
    client = bench.stranger()
    with suppress(Deviation):
        client.connect(bench.name("a"), **bench.words(properties={"maximum_packet_size": 4}))
    expect(client.largest <= 4, f"it has {client.largest} bytes")


@case(v5="3.1.2-25")
def test_too_large_does_not_stay(bench: Bench) -> None:
    """takes what is larger than the client takes for delivered"""
    subscriber, publisher = bench.pair(1, stays=True, properties={"maximum_packet_size": 100})
    publisher.publish(bench.topic(), bytes(200), 1)
    publisher.publish(bench.topic(), b"small", 1)
    subscriber.message()
    subscriber.ping()
    subscriber.leave()
    bench.client("s", stays=True).silent_from(publisher)


@case(
    v5="3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 "
    "3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4"
)
def test_answers_within_the_maximum_packet_size(bench: Bench) -> None:
    """sends no answer that is larger than the client takes"""
    client = bench.client(properties={"maximum_packet_size": 30})
    client.publish("forbidden/x", b"x", 1)
    client.publish("forbidden/x", b"x", 2)
    client.send(PubRec(7), PubRel(8))
    client.expect(PubRel)
    client.expect(PubComp)
    client.subscribe("forbidden/x", bench.topic())
    client.unsubscribe(bench.topic("none"))
    client.refused(b"\x30\xff\xff\xff\xff\x01")
    expect(client.largest <= 30, f"one has {client.largest} bytes")


@case(v5="3.2.2-15")
def test_packet_beyond_the_servers_maximum(bench: Bench) -> None:
    """closes when a packet is larger than it takes"""
    client = bench.stranger()
    most = maximum(client, bench, "maximum_packet_size")
    if most:
        client.gone(frame(0x30, text(bench.topic()), b"\0", bytes(most)))


@case(v5="3.3.4-9 4.9.0-1 4.9.0-2")
def test_receive_maximum(bench: Bench) -> None:
    """sends no more messages at once than the client takes"""
    subscriber, publisher = bench.pair(2, properties={"receive_maximum": 2})
    for number in range(4):
        publisher.publish(bench.topic(), b"%d" % number, 1)
    first = [subscriber.expect(Publish) for _ in range(2)]
    expect(not publishes(subscriber.nothing_from(publisher, acknowledge=False)), "a third one comes")
    subscriber.send(PubAck(first[0].packet_id))
    expect(subscriber.expect(Publish).payload == b"2", "another message comes")
    expect(not publishes(subscriber.ping()), "a fourth one comes")
    subscriber.send(PubAck(first[1].packet_id))
    expect(subscriber.expect(Publish).payload == b"3", "another message comes")


@case(v5="3.3.4-9 4.9.0-2")
def test_receive_maximum_until_pubcomp(bench: Bench) -> None:
    """counts a message of QoS 2 until PUBCOMP"""
    subscriber, publisher = bench.pair(2, properties={"receive_maximum": 1})
    publisher.publish(bench.topic(), b"one", 2)
    publisher.publish(bench.topic(), b"two", 2)
    number = subscriber.expect(Publish).packet_id
    subscriber.send(PubRec(number))
    subscriber.expect(PubRel)
    expect(not publishes(subscriber.nothing_from(publisher, acknowledge=False)), "the next one comes")
    subscriber.send(PubComp(number))
    expect(subscriber.expect(Publish).payload == b"two", "another message comes")


@case(v5="3.3.4-9 4.9.0-2")
def test_receive_maximum_after_refusal(bench: Bench) -> None:
    """counts a message of QoS 2 until a PUBREC with a failure"""
    subscriber, publisher = bench.pair(2, properties={"receive_maximum": 1})
    publisher.publish(bench.topic(), b"one", 2)
    publisher.publish(bench.topic(), b"two", 2)
    subscriber.send(PubRec(subscriber.expect(Publish).packet_id, Reason.QUOTA_EXCEEDED))
    expect(subscriber.expect(Publish).payload == b"two", "another message comes")


@case(v5="3.3.4-10 4.9.0-3")
def test_receive_maximum_holds_up_nothing_else(bench: Bench) -> None:
    """sends everything else while the client takes no more messages"""
    subscriber, publisher = bench.pair(1, properties={"receive_maximum": 1})
    for _ in range(2):
        publisher.publish(bench.topic(), b"x", 1)
    subscriber.expect(Publish)
    subscriber.subscribe(bench.topic("b"))
    subscriber.publish(bench.topic("b"), b"own", 0)
    expect(subscriber.expect(Publish).payload == b"own", "QoS 0 does not come")
    subscriber.publish(bench.topic("c"), b"x", 2)
    subscriber.alive()


@case(v5="3.3.4-7")
def test_servers_receive_maximum(bench: Bench) -> None:
    """closes when a client sends more at QoS 2 than the receive maximum"""
    client = bench.stranger()
    most = maximum(client, bench, "receive_maximum") or 65535
    packets = [encode(Publish(bench.topic(), b"x", 2, packet_id=number + 1), bench.version) for number in range(most + 1)]
    client.raw(*packets, PING)
    while (packet := client.packet()) is not None:
        expect(not isinstance(packet, PingResp), "the server goes on")


# Retained, as published.


@case(v5="3.3.1-13")
def test_retain_as_published(bench: Bench) -> None:
    """passes RETAIN on where the subscription asks for it"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    subscriber.subscribe(Subscription(bench.topic(), retain_as_published=True))
    publisher.publish(bench.topic(), b"x", retain=True)
    publisher.publish(bench.topic(), b"y")
    flags = [subscriber.message().retain for _ in range(2)]
    expect(flags == [True, False], f"RETAIN is {flags}")
