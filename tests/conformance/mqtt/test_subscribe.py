"""SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11)."""

from __future__ import annotations

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import frame, publishes, text

from mqtt.packets import PubAck, PubComp, Publish, PubRec, PubRel, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe
from mqtt.reasons import Reason

ONE = b"\0\1"


@case("3.8.3-3", "3.8.3-2")
def test_subscribe_without_filter(bench: Bench) -> None:
    """closes when a SUBSCRIBE has no topic filter"""
    bench.client().refused(frame(0x82, ONE, bench.none()))


@case("3.8.3-4", "3.8.3-5")
def test_reserved_bits_of_options(bench: Bench) -> None:
    """closes when reserved bits of the options are set"""
    bench.client().refused(frame(0x82, ONE, bench.none(), text(bench.topic()), b"\x80"))


@case("3.8.3-4", "4.13.1-1")
def test_subscribe_with_qos_3(bench: Bench) -> None:
    """closes when a SUBSCRIBE asks for QoS 3"""
    bench.client().refused(frame(0x82, ONE, bench.none(), text(bench.topic()), b"\3"))


@case("3.8.3-4")
def test_no_options_before_5(bench: Bench) -> None:
    """closes at 3.1.1 when the options are those of 5.0"""
    bench.client().refused(frame(0x82, ONE, text(bench.topic()), b"\4"))


@case("3.8.3-3", "3.8.3-2")
def test_filter_without_options(bench: Bench) -> None:
    """closes when a SUBSCRIBE ends before the options of a filter"""
    bench.client().refused(frame(0x82, ONE, bench.none(), text(bench.topic())))


@case(v5="4.13.1-1")
def test_retain_handling_3(bench: Bench) -> None:
    """closes when the retain handling is 3"""
    bench.client().refused(frame(0x82, ONE, b"\0", text(bench.topic()), b"\x30"))


@case(v5="3.8.3-4")
def test_no_local_with_shared_subscription(bench: Bench) -> None:
    """closes when a shared subscription is "no local" """
    bench.client().refused(frame(0x82, ONE, b"\0", text(f"$share/g/{bench.topic()}"), b"\4"))


@case("3.8.4-1", "3.8.4-1")
def test_suback(bench: Bench) -> None:
    """answers SUBSCRIBE with SUBACK"""
    client = bench.client()
    client.send(Subscribe(4711, [Subscription(bench.topic())]))
    expect(client.expect(SubAck).packet_id == 4711, "the packet identifier is another one")


@case("3.8.4-5 3.9.3-1", "3.8.4-6 3.8.4-7 3.9.3-1")
def test_one_code_for_each_filter(bench: Bench) -> None:
    """grants or refuses each filter, in their order"""
    client = bench.client()
    got = client.subscribe(*(Subscription(bench.topic(f"{qos}"), qos) for qos in (2, 0, 1, 2)))
    expect(got == [2, 0, 1, 2], f"the SUBACK says {[int(each) for each in got]}")


@case("3.8.4-4", "3.8.4-5")
def test_several_filters(bench: Bench) -> None:
    """takes several filters as so many subscriptions"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    names = [bench.topic(name) for name in "abc"]
    subscriber.subscribe(*names, qos=1)
    for name in names:
        publisher.publish(name, b"x", 1)
    expect([subscriber.message().topic for _ in names] == names, "other topics come")


@case("3.8.4-6", "3.8.4-8")
def test_lower_qos(bench: Bench) -> None:
    """delivers at the lower of the QoS of the message and of the subscription"""
    publisher = bench.client("p")
    for granted in (0, 1, 2):
        subscriber = bench.client(f"s{granted}")
        subscriber.subscribe(bench.topic(), qos=granted)
        for sent in (0, 1, 2):
            publisher.publish(bench.topic(), b"x", sent)
            got = subscriber.message().qos
            expect(got == min(sent, granted), f"QoS {sent} comes at QoS {got} where QoS {granted} was granted")
        subscriber.leave()


@case("3.8.4-3", "3.8.4-3")
def test_subscription_is_replaced(bench: Bench) -> None:
    """replaces a subscription by a new one with the same filter"""
    subscriber, publisher = bench.pair(2)
    subscriber.subscribe(bench.topic(), qos=0)
    publisher.publish(bench.topic(), b"one", 2)
    came = publishes(subscriber.nothing_from(publisher))
    expect([each.qos for each in came] == [0], f"it comes at QoS {[each.qos for each in came]}")
    subscriber.subscribe(bench.topic(), qos=1)
    publisher.publish(bench.topic(), b"two", 2)
    expect(subscriber.message().qos == 1, "it comes at another QoS")


@case("3.8.4-3", "3.8.4-4")
def test_replacing_loses_nothing(bench: Bench) -> None:
    """loses no message while a subscription is replaced"""
    subscriber, publisher = bench.pair(1)
    for number in range(10):
        publisher.publish(bench.topic(), b"%d" % number, 1)
        subscriber.send(Subscribe(1000 + number, [Subscription(bench.topic(), 1)]))
    came = []
    while len(came) < 10:
        packet = subscriber.packet()
        expect(isinstance(packet, (Publish, SubAck)), "something else comes")
        if isinstance(packet, Publish):
            subscriber.acknowledge(packet)
            came.append(packet.payload)
    expect(came == [b"%d" % number for number in range(10)], "other messages come")


@case("3.9.3-2 4.7.1-2", "3.9.3-2 4.7.1-1")
def test_wrong_place_of_multi_level_wildcard(bench: Bench) -> None:
    """does not grant a filter in which # is not the last level"""
    is_not_granted(bench, "a/#/b", "a#", "#a", "a/b#")


@case("3.9.3-2 4.7.1-3", "3.9.3-2 4.7.1-2")
def test_wrong_place_of_single_level_wildcard(bench: Bench) -> None:
    """does not grant a filter in which + is not a whole level"""
    is_not_granted(bench, "a+", "+a/b", "a/b+/c", "++")


@case("4.7.3-1", "4.7.3-1")
def test_empty_filter(bench: Bench) -> None:
    """does not grant an empty filter"""
    client = bench.client()
    client.raw(frame(0x82, ONE, bench.none(), text(""), b"\0"))
    packet = client.packet()
    if isinstance(packet, SubAck):
        expect(packet.reasons[0].failed, "it is granted")


def is_not_granted(bench: Bench, *filters: str) -> None:
    """Refused in the SUBACK, or the connection is closed."""
    for number, name in enumerate(filters):
        client = bench.client(f"{number}")
        client.send(Subscribe(1, [Subscription(bench.topic(name))]))
        packet = client.packet()
        if isinstance(packet, SubAck):
            expect(packet.reasons[0].failed, f"{name} is granted")


@case(v5="3.8.3-3")
def test_no_local(bench: Bench) -> None:
    """does not send a client its own messages where it does not want them"""
    client, other = bench.client("a"), bench.client("b")
    client.subscribe(Subscription(bench.topic(), no_local=True))
    client.publish(bench.topic(), b"own")
    client.silent_from(client)
    other.publish(bench.topic(), b"other")
    expect(client.message().payload == b"other", "another message comes")


@case("3.10.3-2", "3.10.3-2")
def test_unsubscribe_without_filter(bench: Bench) -> None:
    """closes when an UNSUBSCRIBE has no topic filter"""
    bench.client().refused(frame(0xA2, ONE, bench.none()))


@case("3.10.4-4", "3.10.4-4 3.10.4-5")
def test_unsuback(bench: Bench) -> None:
    """answers UNSUBSCRIBE with UNSUBACK"""
    client = bench.client()
    client.subscribe(bench.topic())
    client.send(Unsubscribe(4711, [bench.topic()]))
    expect(client.expect(UnsubAck).packet_id == 4711, "the packet identifier is another one")


@case("3.10.4-5", "3.10.4-5")
def test_unsuback_for_nothing(bench: Bench) -> None:
    """answers UNSUBSCRIBE also where there was no subscription"""
    bench.client().unsubscribe(bench.topic("none"))


@case("3.10.4-2 3.10.4-1", "3.10.4-2 3.10.4-1")
def test_nothing_after_unsubscribe(bench: Bench) -> None:
    """sends nothing more after UNSUBSCRIBE"""
    subscriber, publisher = bench.pair(1)
    subscriber.unsubscribe(bench.topic())
    publisher.publish(bench.topic(), b"x", 1)
    subscriber.silent_from(publisher)


@case("3.10.4-1", "3.10.4-1")
def test_unsubscribe_compares_characters(bench: Bench) -> None:
    """ends the subscription with exactly that filter"""
    subscriber, publisher = bench.pair(1, topic="a/b")
    subscriber.subscribe(bench.topic("c/+"))
    subscriber.unsubscribe(bench.topic("a/+"), bench.topic("a/#"), bench.topic("A/b"), bench.topic("c/d"))
    publisher.publish(bench.topic("a/b"), b"1", 1)
    publisher.publish(bench.topic("c/d"), b"2", 1)
    expect(subscriber.payloads(2) == [b"1", b"2"], "other messages come")


@case("3.10.4-6", "3.10.4-6")
def test_unsubscribe_several(bench: Bench) -> None:
    """ends all subscriptions of an UNSUBSCRIBE, with one answer"""
    subscriber, publisher = bench.client("s"), bench.client("p")
    names = [bench.topic(name) for name in "abc"]
    subscriber.subscribe(*names)
    subscriber.unsubscribe(*names)
    for name in names:
        publisher.publish(name, b"x", 1)
    subscriber.silent_from(publisher)


@case("3.10.4-3", "3.10.4-3")
def test_unsubscribe_lets_deliveries_end(bench: Bench) -> None:
    """completes what is in flight when a subscription ends"""
    first, publisher = bench.pair(2, stays=True)
    publisher.publish(bench.topic(), b"one", 1)
    publisher.publish(bench.topic(), b"two", 2)
    one, two = first.expect(Publish), first.expect(Publish)
    first.unsubscribe(bench.topic())
    first.send(PubRec(two.packet_id))
    first.expect(PubRel)
    first.ping()
    first.reset()
    again = bench.client("s", stays=True)
    came = {type(each): each for each in (again.packet(), again.packet())}
    expect(came.keys() == {Publish, PubRel}, "something else comes")
    again.send(PubAck(one.packet_id), PubComp(two.packet_id))
    again.silent_from(publisher)


@case(v5="3.11.3-1 3.11.3-2")
def test_unsuback_codes(bench: Bench) -> None:
    """says for each filter of an UNSUBSCRIBE what became of it, in their order"""
    client = bench.client()
    client.subscribe(bench.topic("a"), bench.topic("c"))
    got = client.unsubscribe(*(bench.topic(name) for name in "abc")).reasons
    expect(got == [Reason.SUCCESS, Reason.NO_SUBSCRIPTION_EXISTED, Reason.SUCCESS], f"the UNSUBACK says {got}")
