"""What a broker holds, and for how long it listens to one, when clients ask too much of it."""

from __future__ import annotations

from brokers.conversation import Broker

from mqtt.codec import encode
from mqtt.limits import Limits
from mqtt.packets import Connect, PingReq, PingResp, PubAck, Publish, SubAck, Subscribe, Subscription, Version, Will
from mqtt.properties import Properties
from mqtt.reasons import Reason


def test_who_holds_most_of_half_a_connect_is_closed_first() -> None:
    broker = Broker(Limits(unknown_bytes=100_000))
    half = encode(Connect(Version.V5, "fat", will=Will("w", bytes(60_000))), Version.V5)[:-1]
    thin, fat, fatter = broker.stranger(), broker.stranger(), broker.stranger(Version.V5)
    thin.raw(half[:100])
    fat.raw(half[:40_000])
    fatter.raw(half)
    assert fatter.closed
    assert not fat.closed
    assert not thin.closed
    fat.lose()
    again = broker.stranger(Version.V5)
    again.raw(half)
    assert not again.closed, "what the lost held is free again"
    assert broker.core.counters.closed["too many half CONNECTs"] == 1


def test_a_lost_connection_holds_nothing() -> None:
    broker = Broker()
    client = broker.client("c", keep_alive=60)
    client.raw(encode(Publish("a", bytes(500_000)), Version.V311)[:-1])
    assert client.link.decoder.buffered > 499_000
    client.lose()
    assert client.link.decoder.buffered == 0


def test_dates_of_the_lost_are_cleared_away() -> None:
    broker = Broker()
    for number in range(3000):
        broker.client(f"c{number}", Version.V5, keep_alive=60, properties=Properties(session_expiry=100)).lose()
        broker.client(f"c{number}", Version.V5).lose()
    assert len(broker.core._due) < 1100
    assert len(broker.core.clients._due) < 1100


def test_a_hurry_leaves_the_rest_for_later_in_order() -> None:
    broker = Broker()
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a")
    broker.core.hurry = lambda: True
    writer.send(*[Publish("a", b"%d" % number) for number in range(500)], PingReq())
    first = reader.messages()
    assert 0 < len(first) < 500
    assert writer.link in broker.core.unfinished
    turns = 0
    while broker.core.unfinished:
        broker.go_on()
        turns += 1
    assert turns > 3
    assert [payload for _, payload, _ in first + reader.messages()] == [b"%d" % number for number in range(500)]
    assert writer.one() == PingResp()


def test_a_hurry_between_subscriptions() -> None:
    broker = Broker()
    client = broker.client("c")
    broker.core.hurry = lambda: True
    client.send(*[Subscribe(number, [Subscription("a", 0)]) for number in range(1, 6)], PingReq())
    assert client.one() == SubAck(1, [Reason(0)])
    for number in range(2, 6):
        broker.go_on()
        assert client.one() == SubAck(number, [Reason(0)])
    while broker.core.unfinished:
        broker.go_on()
    assert client.one() == PingResp()


def test_who_does_not_take_the_answers_is_not_heard_until_he_does() -> None:
    broker = Broker(Limits(output=1000))
    client = broker.client("c")
    client.send(*[PingReq()] * 5000)
    assert client.link.buffered < 3000
    assert not broker.core.unfinished
    answers = 0
    while packets := client.got():
        answers += len(packets)
        while broker.core.unfinished:
            broker.go_on()
    assert answers == 5000


def test_time_in_which_nobody_listened_does_not_count() -> None:
    broker = Broker()
    client, stranger = broker.client("c", keep_alive=10), broker.stranger()
    broker.core.stood_still(100)
    broker.pass_time(100)
    assert not client.closed
    assert not stranger.closed
    broker.pass_time(16)
    assert client.closed
    assert stranger.closed


def test_large_messages_in_flight_are_bounded_by_their_bytes() -> None:
    broker = Broker(Limits(queued_bytes=1_000_000))
    reader, writer = broker.client("reader"), broker.client("writer")
    reader.subscribe("a", 1)
    for _ in range(10):
        writer.publish("a", bytes(300_000), 1)
    flight = reader.got()
    assert len(flight) == 3
    assert broker.core.counters.dropped["queue full"] == 4
    received = 0
    while flight:
        received += len(flight)
        reader.send(*[PubAck(each.packet_id) for each in flight if isinstance(each, Publish)])
        flight = reader.got()
    assert received == 6


def test_what_is_retained_weighs_its_properties_and_levels() -> None:
    broker = Broker(Limits(retained_bytes=100_000))
    writer = broker.client("writer", Version.V5)
    writer.publish("heavy", retain=True, properties=Properties(user_properties=[("k", "v")] * 400))
    writer.publish("heavier", retain=True, properties=Properties(user_properties=[("k", "v")] * 400))
    assert len(broker.core.router.retained) == 1
    for number in range(20):
        writer.publish("/".join([str(number)] * 32), retain=True)
    assert len(broker.core.router.retained) == 3
    assert broker.core.counters.dropped["retained full"] == 19


def test_deep_filters_count_by_their_levels() -> None:
    broker = Broker(Limits(subscription_levels=40))
    client = broker.client("c", Version.V5)
    deep = ["/".join([str(number)] * 16) for number in range(3)]
    client.send(Subscribe(1, [Subscription(name) for name in deep]))
    assert client.one() == SubAck(1, [Reason(0), Reason(0), Reason.QUOTA_EXCEEDED])
    client.send(Subscribe(2, [Subscription(deep[0], 1)]))
    assert client.one() == SubAck(2, [Reason(1)])


def test_what_waits_for_all_together_is_bounded_and_counts_once() -> None:
    broker = Broker(Limits(waiting_bytes=100_000))
    for number in range(20):
        away = broker.client(f"away-{number}", clean_start=False)
        away.subscribe("all", 1)
        away.subscribe(f"own/{number}", 1)
        away.leave()
    writer = broker.client("writer")
    writer.publish("all", bytes(50_000), 1)
    assert not broker.core.counters.dropped
    for number in range(20):
        writer.publish(f"own/{number}", bytes(10_000), 1)
    assert broker.core.counters.dropped == {"all queues full": 16}
    assert broker.core.counters.waiting.bytes <= 100_000
    for number in range(20):
        broker.client(f"away-{number}", clean_start=number % 2 == 0).messages()
    assert broker.core.counters.waiting.bytes == 0


def test_what_a_connect_weighs_decoded_counts_until_it_is_answered() -> None:
    """5 bytes of a packet may be 200 in memory, and whoever is not known yet may send them."""
    broker = Broker(Limits(unknown_bytes=100_000))
    pairs = [("a", "b")] * 1000
    fat = encode(Connect(Version.V5, "fat", properties=Properties(user_properties=pairs)), Version.V5)
    willing = encode(Connect(Version.V5, "w", will=Will("w", b"", properties=Properties(user_properties=pairs))), Version.V5)
    thin = broker.stranger(Version.V5)
    thin.raw(encode(Connect(Version.V5, "thin", properties=Properties(user_properties=pairs[:100])), Version.V5))
    for each in (fat, willing):
        assert len(each) < 10_000
        stranger = broker.stranger(Version.V5)
        stranger.raw(each)
        assert stranger.closed
    assert not thin.closed
    assert [link.asking.client_id for link in broker.core.asking if link.asking is not None] == ["thin"]


def test_what_has_expired_takes_no_room_from_what_is_to_be_retained() -> None:
    """Nobody has asked for it since. All is looked at once a minute at most, for that takes its time."""
    broker = Broker(Limits(retained_messages=3))
    writer = broker.client("writer", Version.V5)
    router = broker.core.router
    for topic, seconds in (("a", 10), ("$own/b", 10), ("c", 100)):
        writer.publish(topic, retain=True, properties=Properties(message_expiry=seconds))
    writer.publish("d", retain=True)
    assert router.retained.get("d") is None
    broker.pass_time(50)
    writer.publish("d", retain=True)
    assert router.retained.get("d") is None, "it was looked at a moment ago"
    broker.pass_time(10)
    writer.publish("d", retain=True)
    assert {message.topic for message in router.retained.values()} == {"c", "d"}
    assert router.retained_bytes == sum(message.size for message in router.retained.values())
    assert broker.core.counters.dropped == {"retained full": 2}
