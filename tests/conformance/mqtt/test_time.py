"""What happens because time passes: keep-alive, expiry of sessions and messages (3.1.2.10, 3.1.2.11, 3.3.2.3.3)."""

from __future__ import annotations

import time

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import Client, Deviation, publishes

from mqtt.packets import Disconnect, PubComp, Publish, PubRec, PubRel, Will
from mqtt.reasons import Reason

LATE = 8.0
"""Seconds that a server may be late: some look once in a few seconds."""


def patient(bench: Bench, client: Client) -> Client:
    client.patience = LATE if bench.patience > 1 else 4.0
    return client


@case("3.1.2-24", "3.1.2-22 3.2.2-22", timed=True)
def test_keep_alive(bench: Bench) -> None:
    """closes after one and a half times the keep-alive, and not before that, and publishes the will"""
    subscriber, _ = bench.pair(stays=True)
    client = patient(bench, bench.client(keep_alive=1, will=Will(bench.topic(), b"will")))
    started = time.monotonic()
    said = client.closed()
    expect(time.monotonic() - started >= 1.4, "it closes too early")
    if bench.five and said:
        expect(getattr(said[-1], "reason", None) is Reason.KEEP_ALIVE_TIMEOUT, "it gives another reason")
    patient(bench, subscriber).message()


@case("3.1.2-24", "3.1.2-22", timed=True)
def test_any_packet_keeps_alive(bench: Bench) -> None:
    """keeps the connection of a client that sends anything in time"""
    client = bench.client(keep_alive=1)
    for _ in range(4):
        time.sleep(0.7)
        client.publish(bench.topic(), b"x", 1)


@case("3.1.2-24 4.1.0-2", "3.1.2-22 4.1.0-1", timed=True)
def test_keep_alive_0(bench: Bench) -> None:
    """keeps connection and session where the keep-alive is 0"""
    subscriber, publisher = bench.pair(1, keep_alive=0)
    time.sleep(2.5)
    publisher.publish(bench.topic(), b"x", 1)
    subscriber.message()


@case(v5="4.4.0-1", timed=True)
def test_nothing_again_on_the_same_connection(bench: Bench) -> None:
    """sends nothing again while the connection lasts"""
    subscriber, publisher = bench.pair(2)
    for qos in (1, 2):
        publisher.publish(bench.topic(), b"x", qos)
        subscriber.expect(Publish)
    time.sleep(2.5)
    subscriber.silent_from(publisher)


@case(v5="4.1.0-2", timed=True)
def test_session_expires(bench: Bench) -> None:
    """forgets a session when its expiry interval has passed"""
    first, publisher = bench.pair(1, stays=True, expiry=1)
    first.leave()
    publisher.publish(bench.topic(), b"x", 1)
    time.sleep(3.5)
    again = bench.stranger()
    ack = again.connect(bench.name("s"), **bench.words(stays=True))
    expect(not ack.session_present, "there is a session present")
    again.silent_from(publisher)


@case(v5="3.1.2-23", timed=True)
def test_session_does_not_expire_early(bench: Bench) -> None:
    """keeps a session while its expiry interval has not passed"""
    bench.client(stays=True, expiry=30).leave()
    time.sleep(2)
    ack = bench.stranger().connect(bench.name("a"), **bench.words(stays=True))
    expect(ack.session_present, "there is no session present")


@case(v5="4.1.0-1", timed=True)
def test_session_does_not_expire_while_connected(bench: Bench) -> None:
    """keeps the session of a client that is connected for longer than the expiry interval"""
    subscriber, publisher = bench.pair(1, stays=True, expiry=1)
    time.sleep(2.5)
    publisher.publish(bench.topic(), b"x", 1)
    subscriber.message()


@case(v5="3.1.2-23", timed=True)
def test_disconnect_prolongs_the_session(bench: Bench) -> None:
    """takes a new expiry interval from DISCONNECT"""
    client = bench.client(stays=True, expiry=1)
    client.send(Disconnect(properties={"session_expiry": 60}))
    client.closed()
    time.sleep(3.5)
    ack = bench.stranger().connect(bench.name("a"), **bench.words(stays=True))
    expect(ack.session_present, "there is no session present")


@case(v5="3.3.2-5", timed=True)
def test_message_expires(bench: Bench) -> None:
    """does not deliver a message whose expiry interval has passed"""
    first, publisher = bench.pair(1, stays=True)
    first.leave()
    publisher.publish(bench.topic(), b"gone", 1, properties={"message_expiry": 1})
    publisher.publish(bench.topic(), b"kept", 1, properties={"message_expiry": 60})
    time.sleep(2.5)
    again = bench.client("s", stays=True)
    expect(again.message().payload == b"kept", "another message comes")
    again.silent_from(publisher)


@case(v5="3.3.2-5", timed=True)
def test_retained_message_expires(bench: Bench) -> None:
    """does not deliver a retained message whose expiry interval has passed"""
    publisher, subscriber = bench.client("p"), bench.client("s")
    publisher.publish(bench.topic(), b"gone", 1, retain=True, properties={"message_expiry": 1})
    time.sleep(2.5)
    subscriber.subscribe(bench.topic())
    subscriber.silent_from(publisher)


@case(v5="3.3.2-6", timed=True)
def test_message_expiry_shrinks(bench: Bench) -> None:
    """passes on what is left of the expiry interval"""
    first, publisher = bench.pair(1, stays=True)
    first.leave()
    publisher.publish(bench.topic(), b"x", 1, properties={"message_expiry": 100})
    publisher.publish(bench.topic("r"), b"x", 1, retain=True, properties={"message_expiry": 100})
    time.sleep(2.5)
    again = bench.client("s", stays=True)
    waited = (again.message().properties or {}).get("message_expiry", 0)
    again.subscribe(bench.topic("r"))
    kept = (again.message().properties or {}).get("message_expiry", 0)
    expect(80 <= waited <= 98, f"it says {waited} s of 100 s after 2 s")
    expect(80 <= kept <= 98, f"it says {kept} s of 100 s after 2 s for a retained message")


@case(v5="4.3.3-7 4.4.0-1", timed=True)
def test_no_expiry_once_sent(bench: Bench) -> None:
    """does not let a message of QoS 2 expire that was sent already"""
    first, publisher = bench.pair(2, stays=True)
    publisher.publish(bench.topic(), b"x", 2, properties={"message_expiry": 1})
    first.expect(Publish)
    first.reset()
    time.sleep(2.5)
    again = bench.client("s", stays=True)
    try:
        came = publishes([again.packet() or Publish("-")])
    except Deviation:
        came = []
    expect([each.payload for each in came] == [b"x"], "it does not come again")


@case(v5="4.3.3-13", timed=True)
def test_acknowledgements_of_what_has_expired(bench: Bench) -> None:
    """completes QoS 2 with the publisher of a message that has expired meanwhile"""
    first, publisher = bench.pair(2, stays=True)
    first.leave()
    publisher.send(Publish(bench.topic(), b"x", 2, packet_id=9, properties={"message_expiry": 1}))
    publisher.expect(PubRec)
    time.sleep(2.5)
    publisher.send(PubRel(9))
    publisher.expect(PubComp)
