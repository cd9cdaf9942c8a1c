"""Messages through the broker: QoS, retained messages, subscriptions, limits."""

from __future__ import annotations

import pytest
from brokers.conversation import Broker
from hypothesis import given, settings
from hypothesis import strategies as st

from mqtt.access import Identity
from mqtt.limits import Limits
from mqtt.packets import (
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
)
from mqtt.reasons import Reason

VERSIONS = list(Version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("subscribed", [0, 1, 2])
def test_a_message_arrives_at_the_lower_qos(version: Version, published: int, subscribed: int) -> None:
    """MQTT-3.8.4-8."""
    broker = Broker()
    reader, writer = broker.client("reader", version), broker.client("writer", version)
    reader.subscribe("a/+", subscribed)
    writer.publish("a/b", b"hello", published)
    assert reader.messages() == [("a/b", b"hello", min(published, subscribed))]


def test_a_qos_2_message_is_passed_on_once() -> None:
    """MQTT-4.3.3-10, -11: again before PUBREL is the same message, again after it is another."""
    broker = Broker()
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a", 2)
    writer.send(Publish("a", b"1", 2, packet_id=5), Publish("a", b"1", 2, dup=True, packet_id=5))
    assert writer.got() == [PubRec(5), PubRec(5)]
    writer.send(PubRel(5), PubRel(5))
    assert writer.got() == [PubComp(5), PubComp(5)]
    writer.send(Publish("a", b"2", 2, packet_id=5))
    assert [payload for _, payload, _ in reader.messages()] == [b"1", b"2"]


def test_a_qos_2_message_goes_out_in_four_steps() -> None:
    broker = Broker()
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a", 2)
    writer.publish("a", b"1", 2)
    assert reader.one() == Publish("a", b"1", 2, packet_id=1)
    reader.send(PubRec(1))
    assert reader.one() == PubRel(1)
    reader.send(PubRec(1))
    assert reader.one() == PubRel(1)
    session = broker.core.clients.sessions["reader"]
    assert list(session.in_flight) == [1]
    reader.send(PubAck(1))
    assert list(session.in_flight) == [1], "PUBACK is no answer to QoS 2"
    reader.send(PubComp(1))
    assert not session.in_flight


def test_messages_of_a_burst_arrive_in_their_order() -> None:
    """MQTT-4.6.0-5, -6."""
    broker = Broker(Limits(in_flight=3))
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("#", 2)
    for number in range(50):
        writer.send(Publish("a", b"%d" % number, 1, packet_id=number + 1))
    writer.leave()
    assert [payload for _, payload, _ in reader.messages()] == [b"%d" % number for number in range(50)]


def test_the_window_is_kept_and_the_queue_is_bounded_by_count() -> None:
    broker = Broker(Limits(in_flight=2, queued_messages=3))
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a", 1)
    for number in range(8):
        writer.publish("a", b"%d" % number, 1)
    assert [each.payload for each in reader.got() if isinstance(each, Publish)] == [b"0", b"1"]
    assert broker.core.counters.dropped == {"queue full": 3}
    reader.send(PubAck(1))
    assert [each.payload for each in reader.got() if isinstance(each, Publish)] == [b"2"]


def test_the_queue_is_bounded_by_bytes() -> None:
    broker = Broker(Limits(in_flight=1, queued_bytes=2000))
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a", 1)
    for _ in range(5):
        writer.publish("a", bytes(800), 1)
    assert broker.core.counters.dropped == {"queue full": 2}
    assert len(reader.messages()) == 3
    writer.publish("a", bytes(800), 1)
    assert len(reader.messages()) == 1, "what was delivered made room"


def test_what_a_network_does_not_take_is_bounded_and_harms_nobody() -> None:
    broker = Broker(Limits(output=10_000, queued_messages=5))
    slow, quick, writer = broker.client("slow"), broker.client("quick"), broker.client("writer")
    slow.subscribe("a", 1)
    quick.subscribe("a", 1)
    for _ in range(100):
        writer.publish("a", bytes(1000), 0)
        assert len(quick.messages()) == 1
    assert 10_000 < slow.link.buffered < 12_000
    assert broker.core.counters.dropped == {"slow client": 90}
    for _ in range(10):
        writer.publish("a", bytes(1000), 1)
        assert len(quick.messages()) == 1
    assert slow.link.buffered < 12_000
    assert broker.core.counters.dropped == {"slow client": 90, "queue full": 5}
    assert sorted(qos for _, _, qos in slow.messages()) == [0] * 10 + [1] * 5


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_message_waits_for_subscribers(qos: int) -> None:
    """MQTT-3.3.1-5, -6, -8, -10, -11."""
    broker = Broker()
    writer, reader = broker.client("writer"), broker.client("reader")
    writer.publish("a/b", b"old", qos, retain=True)
    writer.publish("a/b", b"new", qos, retain=True)
    [got] = reader.subscribe("a/#", 2)
    assert isinstance(got, Publish)
    assert (got.payload, got.qos, got.retain) == (b"new", qos, True)
    writer.publish("a/b", b"live", 0, retain=True)
    assert [each.retain for each in reader.got() if isinstance(each, Publish)] == [False]
    writer.publish("a/b", b"", 0, retain=True)
    assert reader.messages()[-1][1] == b""
    assert broker.client("late").subscribe("a/#") == []
    assert len(broker.core.router.retained) == 0


def test_who_did_not_subscribe_gets_nothing() -> None:
    broker = Broker()
    reader, other, writer = broker.client("reader"), broker.client("other"), broker.client("writer")
    writer.publish("a", retain=True)
    assert len(reader.subscribe("a")) == 1
    assert other.got() == []
    assert other.subscribe("b") == []


def test_retained_messages_are_bounded() -> None:
    broker = Broker(Limits(retained_messages=2, retained_bytes=5000))
    writer = broker.client("writer")
    for topic in "abc":
        writer.publish(topic, retain=True)
    writer.publish("a", bytes(6000), retain=True)
    assert len(broker.core.router.retained) == 2
    assert broker.core.counters.dropped == {"retained full": 2}


def test_subscriptions_are_replaced_and_end() -> None:
    """MQTT-3.8.4-3, 3.10.4-1 to -5."""
    broker = Broker()
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a", 0)
    reader.subscribe("a", 1)
    writer.publish("a", qos=1)
    assert [qos for _, _, qos in reader.messages()] == [1]
    reader.send(Unsubscribe(9, ["a", "never"]))
    assert reader.one() == UnsubAck(9)
    writer.publish("a", qos=1)
    assert reader.messages() == []


def test_overlapping_subscriptions_give_one_message() -> None:
    broker = Broker()
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a/#", 1)
    reader.subscribe("a/+", 2)
    reader.subscribe("+/b", 0)
    writer.publish("a/b", qos=2)
    assert [qos for _, _, qos in reader.messages()] == [2]


def test_refused_filters_leave_the_rest() -> None:
    broker = Broker(Limits(subscriptions=2))
    reader = broker.client("reader")
    reader.send(Subscribe(3, [Subscription("a#"), Subscription("a", 1), Subscription("b"), Subscription("c")]))
    failed = Reason.UNSPECIFIED_ERROR
    assert reader.one() == SubAck(3, [failed, Reason.GRANTED_QOS_1, Reason.GRANTED_QOS_0, failed])


def test_topics_beyond_the_limits_end_the_connection() -> None:
    broker = Broker(Limits(topic_levels=3, topic_bytes=20))
    for topic in ("a/b/c/d", "a" * 21):
        writer = broker.client("writer", Version.V5)
        writer.send(Publish(topic))
        assert writer.one() == Disconnect(Reason.TOPIC_NAME_INVALID)
        assert writer.closed


def test_dollar_topics() -> None:
    """MQTT-4.7.2-1; $SYS belongs to the broker, others are for everybody."""
    broker = Broker()
    every, system, writer = broker.client("every"), broker.client("system"), broker.client("writer")
    every.subscribe("#")
    system.subscribe("$hw/#")
    system.subscribe("$SYS/#")
    writer.publish("$hw/events", b"1", 1)
    writer.publish("$SYS/fake", b"2", 1)
    assert every.messages() == []
    assert [payload for _, payload, _ in system.messages()] == [b"1"]
    assert broker.core.counters.dropped == {"not authorized": 1}


def test_a_ping_is_answered() -> None:
    client = Broker().client("c")
    client.send(PingReq(), PingReq())
    assert client.got() == [PingResp(), PingResp()]


class Rules:
    reads_are_free = False

    def may_publish(self, identity: Identity, topic: str) -> bool:
        return not topic.startswith("secret")

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        return topic_filter != "closed"

    def may_receive(self, identity: Identity, topic: str) -> bool:
        return topic.startswith(identity.client_id) or topic == "open"


def test_what_is_not_allowed_does_not_happen() -> None:
    broker = Broker(authorizer=Rules())
    ann, bob = broker.client("ann", Version.V5), broker.client("bob")
    ann.subscribe("#")
    bob.send(Subscribe(1, [Subscription("closed"), Subscription("+")]))
    assert bob.one() == SubAck(1, [Reason.UNSPECIFIED_ERROR, Reason.GRANTED_QOS_0])
    ann.send(Publish("secret/1", qos=1, packet_id=1), Publish("secret/2", qos=2, packet_id=2))
    assert ann.got() == [PubAck(1, Reason.NOT_AUTHORIZED), PubRec(2, Reason.NOT_AUTHORIZED)]
    bob.publish("secret/1", qos=1)
    bob.publish("ann/1", b"1", retain=True)
    bob.publish("bob", b"2")
    bob.publish("open", b"3")
    assert [payload for _, payload, _ in ann.messages()] == [b"1", b"3"]
    assert [payload for _, payload, _ in bob.messages()] == [b"2", b"3"]
    assert broker.client("eve").subscribe("#") == [], "a retained message that may not be read"


@given(st.binary(max_size=200), st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_garbage_ends_its_connection_and_no_other(data: bytes, state: int) -> None:
    broker = Broker()
    good = broker.client("good")
    good.subscribe("a")
    bad = broker.stranger() if state == 0 else broker.client("bad", VERSIONS[state])
    bad.raw(data)
    bad.raw(b"\xff\xff\xff\xff\xff")
    broker.answer()
    bad.lose()
    good.messages()
    good.publish("a", b"still")
    assert ("a", b"still", 0) in good.messages()
