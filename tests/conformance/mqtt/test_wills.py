"""Wills (3.1.2.5, 3.1.3.2, 3.14.4)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import Client, Deviation

from mqtt.packets import Disconnect, Publish, Will
from mqtt.properties import Properties
from mqtt.reasons import Reason


def with_will(bench: Bench, will: Will | None = None, **connect: object) -> Client:
    return bench.client("w", will=will or Will(bench.topic(), b"will"), **connect)  # type: ignore[arg-type]


def comes(subscriber: Client) -> Publish:
    message = subscriber.message()
    expect(message.payload == b"will", "another message comes")
    return message


@case("3.1.2-8", "3.1.2-8 3.1.2-7")
def test_will_after_a_loss(bench: Bench) -> None:
    """publishes the will when the connection is lost"""
    subscriber, _ = bench.pair()
    with_will(bench).reset()
    comes(subscriber)


@case("3.1.2-8", "3.1.2-8")
def test_will_after_a_close(bench: Bench) -> None:
    """publishes the will when the client closes without DISCONNECT"""
    subscriber, _ = bench.pair()
    with_will(bench).close()
    comes(subscriber)


@case("3.1.2-8 4.8.0-1", "3.1.2-8 4.13.1-1")
def test_will_after_an_error(bench: Bench) -> None:
    """publishes the will when the client breaks the protocol"""
    subscriber, _ = bench.pair()
    client = with_will(bench)
    client.refused(b"\x30\xff\xff\xff\xff\x01")
    comes(subscriber)


@case("3.1.2-10 3.14.4-3", "3.1.2-10 3.14.4-3")
def test_no_will_after_disconnect(bench: Bench) -> None:
    """does not publish the will after DISCONNECT"""
    subscriber, publisher = bench.pair()
    with_will(bench).leave()
    subscriber.silent_from(publisher)


@case("3.1.2-12", "3.1.2-8")
def test_no_will_without_one(bench: Bench) -> None:
    """does not publish the will of an earlier connection"""
    subscriber, publisher = bench.pair()
    with_will(bench, stays=True).leave()
    bench.client("w", stays=True).reset()
    bench.client("w").leave()
    subscriber.silent_from(publisher)


@case("3.1.2-10", "3.1.2-10")
def test_will_once(bench: Bench) -> None:
    """publishes a will once"""
    subscriber, publisher = bench.pair()
    with_will(bench, stays=True).reset()
    comes(subscriber)
    bench.client("w", stays=True).reset()
    bench.client("w").leave()
    subscriber.silent_from(publisher)


@case("3.1.2-8 3.1.4-2", "3.1.2-8 3.1.4-3")
def test_will_of_who_is_taken_over(bench: Bench) -> None:
    """publishes the will of a connection that is taken over"""
    subscriber, _ = bench.pair()
    with_will(bench)
    bench.client("w")
    comes(subscriber)


@case("3.1.2-9", "3.1.2-8")
def test_will_qos(bench: Bench) -> None:
    """publishes the will at its QoS"""
    for qos in (0, 1, 2):
        subscriber = bench.client(f"s{qos}")
        subscriber.subscribe(bench.topic(), qos=2)
        with_will(bench, Will(bench.topic(), b"will", qos)).reset()
        expect(comes(subscriber).qos == qos, "the QoS is another one")
        subscriber.leave()


@case("3.1.2-16", "3.1.2-14")
def test_will_is_not_retained(bench: Bench) -> None:
    """does not retain a will that is not to be retained"""
    subscriber, publisher = bench.pair()
    with_will(bench).reset()
    expect(not comes(subscriber).retain, "RETAIN is set")
    later = bench.client("l")
    later.subscribe(bench.topic())
    later.silent_from(publisher)


@case("3.1.2-17", "3.1.2-15")
def test_will_is_retained(bench: Bench) -> None:
    """retains a will that is to be retained"""
    subscriber, _ = bench.pair()
    with_will(bench, Will(bench.topic(), b"will", retain=True)).reset()
    comes(subscriber)
    later = bench.client("l")
    later.subscribe(bench.topic())
    expect(comes(later).retain, "RETAIN is not set")


@case(v5="3.1.2-8")
def test_will_after_disconnect_with_will(bench: Bench) -> None:
    """publishes the will after a DISCONNECT that asks for it"""
    subscriber, _ = bench.pair()
    with_will(bench).send(Disconnect(Reason.DISCONNECT_WITH_WILL))
    comes(subscriber)


@case(v5="3.1.2-8 3.1.2-10")
def test_will_after_disconnect_with_failure(bench: Bench) -> None:
    """publishes the will after a DISCONNECT that says that something has failed"""
    subscriber, _ = bench.pair()
    with_will(bench).send(Disconnect(Reason.UNSPECIFIED_ERROR))
    comes(subscriber)


@case(v5="3.1.3-10 3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-20")
def test_will_properties(bench: Bench) -> None:
    """passes on the properties of a will"""
    properties: Properties = {
        "payload_format": 1,
        "content_type": "text/plain",
        "response_topic": "answer",
        "correlation_data": b"c",
        "user_properties": [("k", "1"), ("k", "2")],
    }
    subscriber, _ = bench.pair()
    with_will(bench, Will(bench.topic(), b"will", properties=properties)).reset()
    got = comes(subscriber).properties or {}
    expect(got == properties, f"the properties are {got}")


def delayed(bench: Bench, seconds: int, expiry: int) -> Client:
    return with_will(bench, Will(bench.topic(), b"will", properties={"will_delay": seconds}), stays=True, expiry=expiry)


@case(v5="3.1.2-8", timed=True)
def test_will_delay(bench: Bench) -> None:
    """publishes a will when its delay has passed, and not before"""
    subscriber, publisher = bench.pair()
    delayed(bench, 2, 100).reset()
    publisher.ping()
    subscriber.silent_from(publisher)
    subscriber.patience = max(bench.patience, 6)
    comes(subscriber)


@case(v5="3.1.2-8", timed=True)
def test_will_delay_ends_with_session(bench: Bench) -> None:
    """publishes a will when the session ends before its delay has passed"""
    subscriber, _ = bench.pair()
    delayed(bench, 100, 1).reset()
    subscriber.patience = max(bench.patience, 6)
    comes(subscriber)


@case(v5="3.1.2-8")
def test_will_delay_ends_with_clean_start(bench: Bench) -> None:
    """publishes a delayed will when a clean start ends its session"""
    subscriber, _ = bench.pair()
    delayed(bench, 100, 100).reset()
    bench.client("w")
    comes(subscriber)


@case(v5="3.1.2-8 3.1.4-4")
def test_will_delay_ends_with_take_over(bench: Bench) -> None:
    """publishes a delayed will when a clean start takes its session over"""
    subscriber, _ = bench.pair()
    delayed(bench, 100, 100)
    bench.client("w")
    comes(subscriber)


@case(v5="3.1.3-9")
def test_no_will_after_take_over(bench: Bench) -> None:
    """does not publish a delayed will when the session goes on with another connection"""
    subscriber, publisher = bench.pair()
    delayed(bench, 100, 100)
    bench.client("w", stays=True).leave()
    subscriber.silent_from(publisher)


@case(v5="3.1.3-9", timed=True)
def test_no_will_for_who_comes_back(bench: Bench) -> None:
    """does not publish a delayed will when the client comes back in time"""
    subscriber, publisher = bench.pair()
    delayed(bench, 1, 100).reset()
    back = bench.client("w", stays=True)
    try:
        subscriber.packet(3)
    except Deviation:
        subscriber.silent_from(publisher)
        back.alive()
        return
    raise Deviation("it comes")
