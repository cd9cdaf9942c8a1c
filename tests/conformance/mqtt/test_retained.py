"""Retained messages (3.3.1.3, 3.8.3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import Client, publishes

from mqtt.packets import Subscription


@contextmanager
def retained(bench: Bench, payload: bytes = b"kept", qos: int = 1, name: str = "t") -> Iterator[Client]:
    """The publisher of a retained message, which is taken away again."""
    publisher = bench.client(f"keeper of {name}")
    publisher.publish(bench.topic(name), payload, qos, retain=True)
    try:
        yield publisher
    finally:
        publisher.publish(bench.topic(name), b"", retain=True)


def later(bench: Bench, wanted: str | Subscription, name: str = "s", qos: int = 2) -> Client:
    client = bench.client(name)
    client.subscribe(wanted, qos=qos)
    return client


@case("3.3.1-5 3.3.1-6", "3.3.1-5 3.3.1-9")
def test_retained_message_comes(bench: Bench) -> None:
    """keeps a retained message with its QoS for who subscribes later"""
    for qos in (0, 1, 2):
        with retained(bench, b"%d" % qos, qos, f"q{qos}"):
            message = later(bench, bench.topic(f"q{qos}"), f"s{qos}").message()
            expect((message.payload, message.qos) == (b"%d" % qos, qos), f"{message.payload!r} at QoS {message.qos} comes")


@case("3.3.1-8", "3.3.1-9")
def test_retain_flag_on_new_subscription(bench: Bench) -> None:
    """sets RETAIN when a message is sent because it was retained"""
    with retained(bench):
        expect(later(bench, bench.topic()).message().retain, "RETAIN is not set")


@case("3.3.1-9", "3.3.1-12")
def test_no_retain_flag_on_established_subscription(bench: Bench) -> None:
    """does not set RETAIN for who has subscribed before"""
    subscriber, publisher = bench.pair()
    publisher.publish(bench.topic(), b"x", retain=True)
    expect(not subscriber.message().retain, "RETAIN is set")


@case("3.3.1-9", "3.3.1-12")
def test_no_retain_flag_on_what_waited(bench: Bench) -> None:
    """does not set RETAIN on a message that has waited for its subscriber"""
    first, publisher = bench.pair(1, stays=True)
    first.leave()
    publisher.publish(bench.topic(), b"x", 1, retain=True)
    expect(not bench.client("s", stays=True).message().retain, "RETAIN is set")


@case("3.3.1-5", "3.3.1-5")
def test_newest_retained_message(bench: Bench) -> None:
    """keeps the newest retained message of a topic alone"""
    with retained(bench, b"old") as publisher:
        publisher.publish(bench.topic(), b"new", 1, retain=True)
        subscriber = later(bench, bench.topic())
        expect(subscriber.message().payload == b"new", "another message comes")
        subscriber.silent_from(publisher)


@case("3.3.1-7", "3.3.1-5")
def test_qos_0_replaces_retained(bench: Bench) -> None:
    """does not keep the older message when a retained one of QoS 0 comes"""
    with retained(bench, b"old") as publisher:
        publisher.publish(bench.topic(), b"new", retain=True)
        publisher.ping()
        came = publishes(later(bench, bench.topic()).nothing_from(publisher))
        expect(b"old" not in [each.payload for each in came], "the old message comes")


@case("3.3.1-10", "3.3.1-6")
def test_empty_retained_message_is_delivered(bench: Bench) -> None:
    """delivers an empty retained message as any other"""
    subscriber, publisher = bench.pair()
    publisher.publish(bench.topic(), b"", retain=True)
    message = subscriber.message()
    expect(message.payload == b"" and not message.retain, "RETAIN is set")


@case("3.3.1-10 3.3.1-11", "3.3.1-6 3.3.1-7")
def test_empty_retained_message_removes(bench: Bench) -> None:
    """forgets the retained message when an empty one comes"""
    with retained(bench) as publisher:
        publisher.publish(bench.topic(), b"", 1, retain=True)
        later(bench, bench.topic()).silent_from(publisher)


@case("3.3.1-12", "3.3.1-8")
def test_not_retained_keeps_what_is(bench: Bench) -> None:
    """neither keeps a message without RETAIN nor forgets the one that is retained"""
    with retained(bench, b"kept") as publisher:
        publisher.publish(bench.topic(), b"passing", 1)
        publisher.publish(bench.topic(), b"", 1)
        subscriber = later(bench, bench.topic())
        expect(subscriber.message().payload == b"kept", "another message comes")
        subscriber.silent_from(publisher)


_MEANT = (("a/#", {b"1", b"2", b"3"}), ("a/+", {b"1"}), ("+/c/#", {b"2"}), ("+", {b"3"}))


@case("3.3.1-6", "3.3.1-9")
def test_retained_by_wildcards(bench: Bench) -> None:
    """sends the retained messages of all topics that a filter means"""
    with retained(bench, b"1", name="a/b"), retained(bench, b"2", name="a/c/d"), retained(bench, b"3", name="a"):
        publisher = bench.client("p")
        for number, (name, wanted) in enumerate(_MEANT):
            came = publishes(later(bench, bench.topic(name), f"s{number}").nothing_from(publisher))
            expect({each.payload for each in came} == wanted, f"{name} gets {[each.payload for each in came]}")


@case("3.3.2-3", "3.3.2-3")
def test_retained_for_who_asks(bench: Bench) -> None:
    """sends retained messages to who subscribes, and to nobody else"""
    other = bench.client("o")
    first, _ = bench.pair()
    with retained(bench) as publisher:
        first.message()
        later(bench, bench.topic(), "l").message()
        other.subscribe(bench.topic("else"))
        other.silent_from(publisher)
        first.silent_from(publisher)


@case("3.8.4-3", "3.8.4-4 3.3.1-9")
def test_retained_again(bench: Bench) -> None:
    """sends retained messages again when a subscription is replaced"""
    with retained(bench):
        subscriber = later(bench, bench.topic())
        subscriber.message()
        subscriber.subscribe(bench.topic())
        expect(subscriber.message().payload == b"kept", "another message comes")


@case("3.8.4-6", "3.8.4-8")
def test_retained_at_the_lower_qos(bench: Bench) -> None:
    """sends a retained message at the QoS that was granted"""
    with retained(bench, qos=2):
        for qos in (0, 1):
            got = later(bench, bench.topic(), f"s{qos}", qos).message().qos
            expect(got == qos, f"it comes at QoS {got}")


@case(v5="3.3.1-10")
def test_retain_handling_1(bench: Bench) -> None:
    """sends retained messages for a new subscription alone where that is asked for"""
    with retained(bench) as publisher:
        subscriber = later(bench, Subscription(bench.topic(), retain_handling=1))
        expect(subscriber.message().payload == b"kept", "another message comes")
        subscriber.subscribe(Subscription(bench.topic(), retain_handling=1))
        subscriber.silent_from(publisher)


@case(v5="3.3.1-10")
def test_retain_handling_1_in_a_session_that_stayed(bench: Bench) -> None:
    """knows a subscription of a session that stayed for an old one"""
    with retained(bench) as publisher:
        first = bench.client("s", stays=True)
        first.subscribe(Subscription(bench.topic(), retain_handling=1))
        first.message()
        first.leave()
        again = bench.client("s", stays=True)
        again.subscribe(Subscription(bench.topic(), retain_handling=1))
        again.silent_from(publisher)


@case(v5="3.3.1-11")
def test_retain_handling_2(bench: Bench) -> None:
    """sends no retained messages where none are asked for"""
    with retained(bench) as publisher:
        later(bench, Subscription(bench.topic(), retain_handling=2)).silent_from(publisher)
