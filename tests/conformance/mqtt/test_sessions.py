"""Sessions that stay: what is kept, what is sent again (3.1.2.4, 3.2.2, 4.1, 4.4, 4.5)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import Client, publishes, short

from mqtt.packets import ConnAck, Disconnect, PubAck, PubComp, Publish, PubRec, PubRel, Subscription
from mqtt.reasons import Reason


def connack(bench: Bench, name: str = "a", **connect: object) -> tuple[Client, ConnAck]:
    client = bench.stranger()
    return client, client.connect(bench.name(name), **bench.words(**connect))  # type: ignore[arg-type]


@case("3.2.2-1", "3.2.2-2")
def test_no_session_present_with_a_clean_one(bench: Bench) -> None:
    """says that no session is present to who wants a clean one"""
    bench.client(stays=True).leave()
    _, ack = connack(bench)
    expect(not ack.session_present, "there is a session present")


@case("3.2.2-3", "3.2.2-3")
def test_no_session_present_the_first_time(bench: Bench) -> None:
    """says that no session is present when there is none"""
    _, ack = connack(bench, stays=True)
    expect(not ack.session_present, "there is a session present")


@case("3.2.2-2", "3.2.2-3")
def test_session_present(bench: Bench) -> None:
    """says that a session is present"""
    bench.client(stays=True).leave()
    _, ack = connack(bench, stays=True)
    expect(ack.session_present, "there is no session present")


@case("3.1.2-4 4.1.0-1", "3.1.2-5 4.1.0-1")
def test_subscriptions_stay(bench: Bench) -> None:
    """keeps the subscriptions of a session"""
    first, publisher = bench.pair(stays=True)
    first.leave()
    again = bench.client("s", stays=True)
    publisher.publish(bench.topic(), b"on")
    expect(again.message().payload == b"on", "another message comes")


@case("3.1.2-5 4.5.0-1", "3.1.2-23 4.5.0-1")
def test_messages_wait(bench: Bench) -> None:
    """keeps messages of QoS 1 and 2 for a client that is away"""
    first, publisher = bench.pair(2, stays=True)
    first.leave()
    publisher.publish(bench.topic(), b"one", 1)
    publisher.publish(bench.topic(), b"two", 2)
    again = bench.client("s", stays=True)
    expect(again.payloads(2) == [b"one", b"two"], "other messages come")


@case("3.1.2-5 4.5.0-1", "3.1.2-23 4.5.0-1")
def test_messages_wait_after_a_loss(bench: Bench) -> None:
    """keeps messages of QoS 1 and 2 for a client whose connection is lost"""
    first, publisher = bench.pair(2, stays=True)
    first.reset()
    publisher.publish(bench.topic(), b"one", 1)
    publisher.publish(bench.topic(), b"two", 2)
    again = bench.client("s", stays=True)
    expect(again.payloads(2) == [b"one", b"two"], "other messages come")


@case("3.1.2-6 3.1.4-3", "3.1.2-4 3.1.4-4")
def test_clean_session_discards(bench: Bench) -> None:
    """forgets subscriptions and messages when a client wants a clean session"""
    first, publisher = bench.pair(1, stays=True)
    first.leave()
    publisher.publish(bench.topic(), b"old", 1)
    again = bench.client("s")
    publisher.publish(bench.topic(), b"new", 1)
    again.silent_from(publisher)


@case("3.1.2-6", "3.1.2-4 4.1.0-2")
def test_clean_session_is_not_found_again(bench: Bench) -> None:
    """does not find a clean session again"""
    first, publisher = bench.pair(1)
    first.leave()
    publisher.publish(bench.topic(), b"old", 1)
    again, ack = connack(bench, "s", stays=True)
    expect(not ack.session_present, "there is a session present")
    publisher.publish(bench.topic(), b"new", 1)
    again.silent_from(publisher)


@case("3.1.2-6", "3.1.2-4")
def test_clean_session_after_one_that_stayed(bench: Bench) -> None:
    """does not bring back the session before a clean one"""
    first, publisher = bench.pair(1, stays=True)
    first.leave()
    bench.client("s").leave()
    again, ack = connack(bench, "s", stays=True)
    expect(not ack.session_present, "there is a session present")
    publisher.publish(bench.topic(), b"new", 1)
    again.silent_from(publisher)


@case(v5="3.1.2-6")
def test_clean_start_0_without_a_session(bench: Bench) -> None:
    """makes a session when there is none, which ends with the connection unless it is to stay"""
    client, ack = connack(bench, clean_start=False)
    expect(ack.reason is Reason.SUCCESS and not ack.session_present, f"the CONNACK says {ack.reason.text}")
    client.leave()
    _, ack = connack(bench, clean_start=False)
    expect(not ack.session_present, "there is a session present")


@case("3.1.2-4 3.1.4-2", "3.1.2-5 3.1.4-3")
def test_take_over_keeps_the_session(bench: Bench) -> None:
    """gives the session of a client that stays to its new connection"""
    first, publisher = bench.pair(1, stays=True)
    again, ack = connack(bench, "s", stays=True)
    expect(ack.session_present, "there is no session present")
    publisher.publish(bench.topic(), b"on", 1)
    expect(again.message().payload == b"on", "another message comes")
    first.closed()


@case("3.1.3-2", "3.1.3-2")
def test_sessions_by_identifier(bench: Bench) -> None:
    """keeps the sessions of different clients apart"""
    first, publisher = bench.pair(1, stays=True)
    first.leave()
    other, ack = connack(bench, "S", stays=True)
    expect(not ack.session_present, "there is a session present")
    publisher.publish(bench.topic(), b"x", 1)
    other.silent_from(publisher)


@case("4.4.0-1 3.3.1-1", "4.4.0-1 3.3.1-1")
def test_unacknowledged_qos_1_comes_again(bench: Bench) -> None:
    """sends unacknowledged QoS 1 again, marked, under its identifier"""
    again_after_loss(bench, 1)


@case("4.4.0-1 3.3.1-1", "4.4.0-1 3.3.1-1 4.3.3-3")
def test_unacknowledged_qos_2_comes_again(bench: Bench) -> None:
    """sends unacknowledged QoS 2 again, marked, under its identifier"""
    again_after_loss(bench, 2)


def again_after_loss(bench: Bench, qos: int) -> None:
    first, publisher = bench.pair(qos, stays=True)
    publisher.publish(bench.topic(), b"x", qos)
    sent = first.expect(Publish)
    first.reset()
    again = bench.client("s", stays=True).expect(Publish)
    expect(again.payload == b"x" and again.qos == qos, f"{short(again)} comes")
    expect(again.packet_id == sent.packet_id, "the packet identifier is another one")
    expect(again.dup, "DUP is not set")


@case("4.4.0-1 4.3.3-1", "4.4.0-1 4.3.3-5 4.3.3-6")
def test_pubrel_comes_again(bench: Bench) -> None:
    """sends PUBREL again, not the message, once PUBREC has come"""
    first, publisher = bench.pair(2, stays=True)
    publisher.publish(bench.topic(), b"x", 2)
    number = first.expect(Publish).packet_id
    first.send(PubRec(number))
    first.expect(PubRel)
    first.reset()
    again = bench.client("s", stays=True)
    expect(again.expect(PubRel).packet_id == number, "the packet identifier is another one")
    again.send(PubComp(number))
    again.silent_from(publisher)


@case("4.4.0-1", "4.4.0-1")
def test_acknowledged_does_not_come_again(bench: Bench) -> None:
    """does not send again what was acknowledged"""
    first, publisher = bench.pair(2, stays=True)
    for qos in (1, 2):
        publisher.publish(bench.topic(), b"x", qos)
        first.message()
    first.ping()
    first.reset()
    bench.client("s", stays=True).silent_from(publisher)


@case("4.6.0-1", "4.6.0-1")
def test_again_in_order(bench: Bench) -> None:
    """sends unacknowledged messages again in their order"""
    first, publisher = bench.pair(2, stays=True)
    for number in range(8):
        publisher.publish(bench.topic(), b"%d" % number, 1 + number % 2)
    sent = [first.expect(Publish).payload for _ in range(8)]
    first.reset()
    again = bench.client("s", stays=True)
    expect([again.expect(Publish).payload for _ in range(8)] == sent, "the order is another one")


@case("4.3.2-1 4.4.0-1", "4.3.2-3 4.4.0-1")
def test_some_acknowledged(bench: Bench) -> None:
    """sends again what was not acknowledged, and only that"""
    first, publisher = bench.pair(1, stays=True)
    for number in range(4):
        publisher.publish(bench.topic(), b"%d" % number, 1)
    sent = [first.expect(Publish) for _ in range(4)]
    first.send(*(PubAck(sent[number].packet_id) for number in (0, 2)))
    first.ping()
    first.reset()
    again = bench.client("s", stays=True)
    expect(again.payloads(2) == [b"1", b"3"], "other messages come")
    again.silent_from(publisher)


@case(v5="4.4.0-2 4.3.3-4")
def test_refused_does_not_come_again(bench: Bench) -> None:
    """takes a PUBACK or PUBREC with a failure for the end of the matter"""
    first, publisher = bench.pair(2, stays=True)
    publisher.publish(bench.topic(), b"one", 1)
    first.send(PubAck(first.expect(Publish).packet_id, Reason.QUOTA_EXCEEDED))
    publisher.publish(bench.topic(), b"two", 2)
    first.send(PubRec(first.expect(Publish).packet_id, Reason.QUOTA_EXCEEDED))
    expect(not first.ping(), "it answers")
    first.reset()
    bench.client("s", stays=True).silent_from(publisher)


@case("4.3.3-2 4.1.0-1", "4.3.3-10 4.1.0-1")
def test_received_once_over_two_connections(bench: Bench) -> None:
    """passes QoS 2 on once when the client sends it again on a new connection"""
    subscriber, helper = bench.pair(2)
    first = bench.client("a", stays=True)
    first.send(Publish(bench.topic(), b"once", 2, packet_id=5))
    first.expect(PubRec)
    first.reset()
    again = bench.client("a", stays=True)
    again.send(Publish(bench.topic(), b"once", 2, dup=True, packet_id=5))
    again.expect(PubRec)
    again.send(PubRel(5))
    again.expect(PubComp)
    expect(subscriber.message().payload == b"once", "another message comes")
    subscriber.silent_from(again)
    helper.alive()


@case("3.1.2-7")
def test_retained_message_outlives_session(bench: Bench) -> None:
    """keeps retained messages when the session of the publisher ends"""
    publisher = bench.client("p")
    publisher.publish(bench.topic(), b"kept", 1, retain=True)
    publisher.leave()
    bench.client("p").leave()
    subscriber = bench.client("s")
    subscriber.subscribe(bench.topic())
    expect(subscriber.message().payload == b"kept", "another message comes")


@case(v5="3.1.2-23")
def test_disconnect_sets_the_expiry(bench: Bench) -> None:
    """ends the session with the connection when DISCONNECT sets the expiry to 0"""
    client = bench.client(stays=True)
    client.send(Disconnect(properties={"session_expiry": 0}))
    client.closed()
    _, ack = connack(bench, stays=True)
    expect(not ack.session_present, "there is a session present")


@case(v5="4.13.1-1")
def test_disconnect_cannot_make_a_session_stay(bench: Bench) -> None:
    """takes a DISCONNECT for an error that sets an expiry where CONNECT had none"""
    client = bench.client()
    client.send(Disconnect(properties={"session_expiry": 60}))
    client.closed()
    _, ack = connack(bench, stays=True)
    expect(not ack.session_present, "there is a session present")


@case("3.3.1-3", "3.3.1-3")
def test_no_duplicate_flag_on_what_waited(bench: Bench) -> None:
    """does not mark what it sends for the first time, after a wait, as a duplicate"""
    first, publisher = bench.pair(2, stays=True)
    first.leave()
    for qos in (1, 2):
        publisher.publish(bench.topic(), b"x", qos)
    again = bench.client("s", stays=True)
    for _ in range(2):
        expect(not again.message().dup, "DUP is set")


@case("4.6.0-6", "4.6.0-5")
def test_order_of_sent_and_waiting(bench: Bench) -> None:
    """sends what was in flight, then what has waited"""
    first, publisher = bench.pair(1, stays=True)
    for number in range(5):
        publisher.publish(bench.topic(), b"%d" % number, 1)
    first.expect(Publish)
    first.reset()
    publisher.ping()
    for number in range(5, 10):
        publisher.publish(bench.topic(), b"%d" % number, 1)
    again = bench.client("s", stays=True)
    expect(again.payloads(10) == [b"%d" % number for number in range(10)], "the order is another one")


@case("4.3.3-2 4.4.0-1", "4.3.3-11 4.3.3-12 4.4.0-1")
def test_pubrel_on_another_connection(bench: Bench) -> None:
    """completes QoS 2 with a client that sends PUBREL on a new connection"""
    subscriber, _ = bench.pair(2)
    first = bench.client("a", stays=True)
    first.send(Publish(bench.topic(), b"one", 2, packet_id=5))
    first.expect(PubRec)
    first.reset()
    again = bench.client("a", stays=True)
    for payload in (b"one", b"two"):
        again.send(PubRel(5))
        again.expect(PubComp)
        expect(subscriber.message().payload == payload, "another message comes")
        again.send(Publish(bench.topic(), b"two", 2, packet_id=5))
        again.expect(PubRec)


@case("3.1.2-6", "3.1.2-4")
def test_clean_session_forgets_what_it_received(bench: Bench) -> None:
    """takes a PUBLISH at QoS 2 for a new one after a clean session has begun"""
    subscriber, publisher = bench.pair(2)
    first = bench.client("a")
    first.send(Publish(bench.topic(), b"one", 2, packet_id=5))
    first.expect(PubRec)
    first.reset()
    again = bench.client("a")
    again.send(Publish(bench.topic(), b"two", 2, packet_id=5))
    again.expect(PubRec)
    again.send(PubRel(5))
    again.expect(PubComp)
    payloads = [each.payload for each in publishes(subscriber.nothing_from(publisher))]
    expect(b"two" in payloads, "it does not come")


@case("3.10.4-1 3.1.2-4", "3.10.4-1 3.1.2-5")
def test_unsubscribed_stays_unsubscribed(bench: Bench) -> None:
    """does not bring a subscription back that was ended"""
    first, publisher = bench.pair(1, stays=True)
    first.unsubscribe(bench.topic())
    first.leave()
    publisher.publish(bench.topic(), b"x", 1)
    bench.client("s", stays=True).silent_from(publisher)


@case(v5="3.1.2-5")
def test_subscription_options_stay(bench: Bench) -> None:
    """keeps the options of a subscription with the session"""
    first = bench.client("s", stays=True)
    wanted = Subscription(bench.topic(), 1, no_local=True, retain_as_published=True)
    first.subscribe(wanted, identifier=7)
    first.leave()
    again = bench.client("s", stays=True)
    again.publish(bench.topic(), b"own", 1)
    bench.client("p").publish(bench.topic(), b"other", 1, retain=True)
    message = again.message()
    expect(message.payload == b"other", "its own message comes")
    expect(message.retain, "RETAIN is not set")
    expect((message.properties or {}).get("subscription_identifiers") == [7], "the identifier is another one")


@case(v5="3.3.4-9 4.4.0-1")
def test_receive_maximum_of_the_next_connection(bench: Bench) -> None:
    """sends again no more at once than the client takes on its new connection"""
    first, publisher = bench.pair(1, stays=True)
    for number in range(4):
        publisher.publish(bench.topic(), b"%d" % number, 1)
    for _ in range(4):
        first.expect(Publish)
    first.reset()
    again = bench.client("s", stays=True, properties={"receive_maximum": 1})
    for number in range(4):
        message = again.expect(Publish)
        expect(message.payload == b"%d" % number, "another message comes")
        expect(not again.nothing_from(publisher, acknowledge=False), "more come")
        again.send(PubAck(message.packet_id))


@case(v5="3.1.2-25")
def test_maximum_packet_size_of_the_next_connection(bench: Bench) -> None:
    """takes what has waited and is larger than the client takes for delivered"""
    first, publisher = bench.pair(2, stays=True)
    first.leave()
    for payload in (bytes(300), b"small"):
        publisher.publish(bench.topic(), payload, 2)
    again = bench.client("s", stays=True, properties={"maximum_packet_size": 200})
    expect(again.message().payload == b"small", "another message comes")
    again.ping()
    again.leave()
    bench.client("s", stays=True).silent_from(publisher)
