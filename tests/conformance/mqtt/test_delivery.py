"""QoS, order, topics and filters, shared subscriptions, PINGREQ (3.12, 4.3, 4.6, 4.7, 4.8)."""

from __future__ import annotations

from contextlib import suppress

from mqttsuite.case import Bench, case, expect
from mqttsuite.client import Client, Deviation, publishes, short

from mqtt.codec import encode
from mqtt.packets import Disconnect, PingResp, PubAck, PubComp, Publish, PubRec, PubRel
from mqtt.reasons import Reason


@case("3.12.4-1", "3.12.4-1")
def test_ping(bench: Bench) -> None:
    """answers PINGREQ with PINGRESP"""
    client = bench.client()
    for _ in range(3):
        client.raw(b"\xc0\0")
        client.expect(PingResp)


@case("3.14.4-2", "3.14.4-1")
def test_nothing_behind_disconnect(bench: Bench) -> None:
    """does not do what comes behind DISCONNECT, and closes"""
    subscriber, publisher = bench.pair()
    client = bench.client("a")
    client.raw(encode(Disconnect(), bench.version), encode(Publish(bench.topic(), b"no"), bench.version))
    client.closed()
    subscriber.silent_from(publisher)


@case(v5="4.13.1-1")
def test_disconnect_with_wrong_reason(bench: Bench) -> None:
    """takes a DISCONNECT with a reason code that does not exist for an error"""
    client = bench.client()
    client.raw(b"\xe0\1\3")
    client.closed()


@case("4.3.1-1", "4.3.1-1")
def test_qos_0(bench: Bench) -> None:
    """delivers QoS 0 without DUP"""
    subscriber, publisher = bench.pair(2)
    publisher.publish(bench.topic(), b"x")
    message = subscriber.message()
    expect(message.qos == 0 and not message.dup, f"{short(message)} comes")


@case("4.3.2-1", "4.3.2-1 4.3.2-2")
def test_qos_1(bench: Bench) -> None:
    """delivers QoS 1 with a packet identifier, without DUP, once"""
    subscriber, publisher = bench.pair(1)
    publisher.publish(bench.topic(), b"x", 1)
    message = subscriber.message()
    expect(message.qos == 1 and not message.dup, f"{short(message)} comes")
    subscriber.silent_from(publisher)


@case("4.3.2-2", "4.3.2-5")
def test_qos_1_identifier_is_free_after_puback(bench: Bench) -> None:
    """takes a PUBLISH for a new one after PUBACK, whatever DUP says"""
    subscriber, publisher = bench.pair(1)
    for payload, dup in ((b"one", False), (b"two", True)):
        publisher.send(Publish(bench.topic(), payload, 1, dup=dup, packet_id=9))
        publisher.expect(PubAck)
    expect(subscriber.payloads(2) == [b"one", b"two"], "other messages come")


@case("4.3.3-1", "4.3.3-1 4.3.3-2 4.3.3-4")
def test_qos_2(bench: Bench) -> None:
    """delivers QoS 2 with PUBREL after PUBREC, without DUP, once"""
    subscriber, publisher = bench.pair(2)
    publisher.publish(bench.topic(), b"x", 2)
    message = subscriber.expect(Publish)
    expect(message.qos == 2 and not message.dup, f"{short(message)} comes")
    subscriber.send(PubRec(message.packet_id))
    expect(subscriber.expect(PubRel).packet_id == message.packet_id, "the packet identifier is another one")
    subscriber.send(PubComp(message.packet_id))
    subscriber.silent_from(publisher)


@case("4.3.3-2")
def test_qos_2_duplicate(bench: Bench) -> None:
    """acknowledges QoS 2 again before PUBREL, and passes it on once"""
    subscriber, publisher = bench.pair(2)
    for dup in (False, True, True):
        publisher.send(Publish(bench.topic(), b"once", 2, dup=dup, packet_id=9))
        publisher.expect(PubRec)
    publisher.send(PubRel(9))
    publisher.expect(PubComp)
    expect(subscriber.message().payload == b"once", "another message comes")
    subscriber.silent_from(publisher)


@case("4.3.3-2", "4.3.3-12")
def test_qos_2_identifier_is_free_after_pubcomp(bench: Bench) -> None:
    """takes a PUBLISH for a new one after PUBCOMP"""
    subscriber, publisher = bench.pair(2)
    for payload in (b"one", b"two"):
        publisher.send(Publish(bench.topic(), payload, 2, packet_id=9))
        publisher.expect(PubRec)
        publisher.send(PubRel(9))
        publisher.expect(PubComp)
    expect(subscriber.payloads(2) == [b"one", b"two"], "other messages come")


@case("4.3.3-2", "4.3.3-11")
def test_unknown_pubrel(bench: Bench) -> None:
    """answers a PUBREL that it does not know"""
    client = bench.client()
    client.send(PubRel(123))
    expect(client.expect(PubComp).packet_id == 123, "the packet identifier is another one")


@case("4.3.2-1", "4.3.2-3")
def test_unknown_acknowledgements(bench: Bench) -> None:
    """goes on after acknowledgements of what it has not sent"""
    subscriber, publisher = bench.pair(1)
    subscriber.send(PubAck(77), PubComp(78))
    subscriber.alive()
    publisher.publish(bench.topic(), b"x", 1)
    subscriber.message()


@case("2.3.1-4", "2.2.1-4")
def test_packet_identifiers_of_both_sides(bench: Bench) -> None:
    """keeps its packet identifiers and those of the client apart"""
    client, publisher = bench.pair(2)
    publisher.publish(bench.topic(), b"down", 2)
    number = client.expect(Publish).packet_id
    client.send(Publish(bench.topic("up"), b"up", 2, packet_id=number))
    client.expect(PubRec)
    client.send(PubRec(number))
    client.expect(PubRel)
    client.send(PubRel(number), PubComp(number))
    client.expect(PubComp)
    client.alive()


@case("4.6.0-6 4.6.0-5", "4.6.0-5 4.6.0-6")
def test_order(bench: Bench) -> None:
    """delivers the messages of a topic in their order, at every QoS"""
    for qos in (0, 1, 2):
        subscriber, publisher = bench.pair(qos, topic=f"q{qos}")
        name = bench.topic(f"q{qos}")
        publisher.send(*(Publish(name, b"%d" % number, qos, packet_id=number + 1 if qos else 0) for number in range(15)))
        if qos == 2:
            publisher.send(*(PubRel(publisher.expect(PubRec).packet_id) for _ in range(15)))
        expect(subscriber.payloads(15) == [b"%d" % number for number in range(15)], f"the order is another one at QoS {qos}")


@case("4.5.0-1", "4.5.0-1")
def test_everybody_gets_it(bench: Bench) -> None:
    """delivers to everybody who has subscribed"""
    subscribers = [bench.client(f"s{number}") for number in range(5)]
    for number, each in enumerate(subscribers):
        each.subscribe(bench.topic(("a/b", "a/+", "#", "+/b", "a/#")[number]), qos=number % 3)
    bench.client("p").publish(bench.topic("a/b"), b"x", 2)
    for each in subscribers:
        expect(each.message().payload == b"x", "another message comes")


@case("4.5.0-1", "4.5.0-1")
def test_burst_then_disconnect(bench: Bench) -> None:
    """delivers everything that it has acknowledged, also when the publisher has gone"""
    subscriber, publisher = bench.pair(1)
    count = 60
    publisher.send(*(Publish(bench.topic(), b"%d" % number, 1, packet_id=number + 1) for number in range(count)))
    for _ in range(count):
        publisher.expect(PubAck)
    publisher.leave()
    expect(subscriber.payloads(count) == [b"%d" % number for number in range(count)], "other messages come")


# Topics and filters.


def who_gets(bench: Bench, topic: str, filters: dict[str, bool]) -> None:
    """Whether each filter means the topic."""
    publisher = bench.client(f"p of {topic}")
    subscribers: list[tuple[str, Client]] = []
    for number, name in enumerate(filters):
        client = bench.client(f"{number} of {topic}")
        client.subscribe(name)
        subscribers.append((name, client))
    with suppress(Deviation):  # it may be that it takes no such topic at all, and closes
        publisher.publish(topic, bench.name("x").encode(), 1)
    later = bench.client(f"later than {topic}")
    for name, client in subscribers:
        mine = [each for each in publishes(client.nothing_from(later)) if each.payload == bench.name("x").encode()]
        expect(bool(mine) == filters[name], f"{name} {'does not get' if filters[name] else 'gets'} {topic}")


@case("4.7.1-2", "4.7.1-1")
def test_multi_level_wildcard(bench: Bench) -> None:
    """matches # with any number of levels, none included"""
    under = bench.topic
    wanted = {under("a/#"): True, under("a/b/#"): True, under("a/b/c/#"): True, under("b/#"): False, under("a/b/c/d/#"): False}
    who_gets(bench, under("a/b/c"), wanted)


@case("4.7.1-3", "4.7.1-2")
def test_single_level_wildcard(bench: Bench) -> None:
    """matches + with one level, which may be empty"""
    under = bench.topic
    who_gets(bench, under("a/b"), {under("+"): False, under("+/b"): True, under("a/+"): True, under("+/+/+"): False})
    who_gets(bench, under("a/"), {under("a"): False, under("a/+"): True, under("+"): False, under("+/#"): True})


@case("4.7.1-3", "4.7.1-2")
def test_leading_separator(bench: Bench) -> None:
    """takes a leading separator for an empty first level"""
    name = bench.name("t")
    who_gets(bench, f"/{name}", {f"+/{name}": True, f"/{name}": True, "/+": True, name: False})


@case("4.7.2-1", "4.7.2-1")
def test_dollar_topics(bench: Bench) -> None:
    """does not match a wildcard at the start with topics that begin with $"""
    name = bench.name("t")
    who_gets(bench, f"$conformance/{name}", {"#": False, f"+/{name}": False, "+/#": False})


@case("4.7.3-4", "4.7.3-4")
def test_no_normalization(bench: Bench) -> None:
    """compares topics by their characters: case, spaces, forms of Unicode"""
    under = bench.topic
    others = {under(name): False for name in ("A/é", "a/é ", "a//é", "a/e\u0301", "/a/é", "a/é/")}
    who_gets(bench, under("a/é"), {under("a/é"): True, **others})


@case("4.7.3-1", "4.7.3-1")
def test_short_and_odd_topics(bench: Bench) -> None:
    """takes topics of one character, with spaces, and of empty levels alone"""
    who_gets(bench, "/", {"/": True, "+/+": True, "//": False})
    who_gets(bench, bench.topic("with a space"), {bench.topic("with a space"): True})


# Shared subscriptions.


def granted(bench: Bench, *filters: str) -> None:
    for number, name in enumerate(filters):
        client = bench.client(f"{number}")
        try:
            reasons = client.subscribe(name)
        except Deviation:
            continue  # closed, which is as good
        expect(reasons[0].failed, f"{name} is granted")


@case(v5="4.8.2-1")
def test_shared_without_name(bench: Bench) -> None:
    """does not grant a shared subscription without a name or a filter"""
    granted(bench, "$share//a", "$share/g", "$share/g/", "$share/")


@case(v5="4.8.2-2")
def test_shared_with_wildcard_in_name(bench: Bench) -> None:
    """does not grant a shared subscription with a wildcard in its name"""
    granted(bench, "$share/+/a", "$share/#/a", "$share/g+/a", "$share/g#/a")


@case(v5="4.8.2-3")
def test_shared_goes_to_one(bench: Bench) -> None:
    """gives each message to one member of a group, at the QoS of that member"""
    members = [bench.client(f"m{number}") for number in range(3)]
    for qos, member in enumerate(members):
        member.subscribe(f"$share/g/{bench.topic()}", qos=qos)
    publisher = bench.client("p")
    for number in range(9):
        publisher.publish(bench.topic(), b"%d" % number, 2)
    came = [publishes(member.nothing_from(publisher)) for member in members]
    expect(sorted(int(each.payload) for got in came for each in got) == list(range(9)), "some come twice or never")
    for qos, got in enumerate(came):
        expect({each.qos for each in got} <= {qos}, "the QoS is another one")


@case(v5="4.8.2-3")
def test_shared_groups_are_apart(bench: Bench) -> None:
    """gives a message to one member of each group, and to who does not share"""
    clients = [bench.client(f"c{number}") for number in range(3)]
    for client, name in zip(clients, (f"$share/g/{bench.topic()}", f"$share/h/{bench.topic('#')}", bench.topic()), strict=True):
        client.subscribe(name, qos=1)
    bench.client("p").publish(bench.topic(), b"x", 1)
    for client in clients:
        expect(client.message().payload == b"x", "another message comes")


@case(v5="4.8.2-4")
def test_shared_qos_2_stays_with_its_client(bench: Bench) -> None:
    """completes a shared delivery of QoS 2 with the client that it began with"""
    first, second = (bench.client(name, stays=True) for name in "ab")
    first.subscribe(f"$share/g/{bench.topic()}", qos=2)
    publisher = bench.client("p")
    publisher.publish(bench.topic(), b"x", 2)
    sent = first.expect(Publish)
    second.subscribe(f"$share/g/{bench.topic()}", qos=2)
    first.reset()
    again = bench.client("a", stays=True).expect(Publish)
    expect(again.payload == b"x" and again.packet_id == sent.packet_id, "another message comes")
    second.silent_from(publisher)


@case(v5="4.8.2-5")
def test_shared_qos_2_ends_with_its_session(bench: Bench) -> None:
    """gives a message of QoS 2 to nobody else when the session ends that it was sent to"""
    first, second = (bench.client(name, stays=True) for name in "ab")
    first.subscribe(f"$share/g/{bench.topic()}", qos=2)
    publisher = bench.client("p")
    publisher.publish(bench.topic(), b"x", 2)
    first.expect(Publish)
    second.subscribe(f"$share/g/{bench.topic()}", qos=2)
    first.reset()
    bench.client("a")  # a clean start
    second.silent_from(publisher)


@case(v5="4.8.2-6")
def test_shared_refused_is_gone(bench: Bench) -> None:
    """gives a message that a member has refused to nobody else"""
    members = [bench.client(f"m{number}") for number in range(2)]
    for member in members:
        member.subscribe(f"$share/g/{bench.topic()}", qos=2)
    publisher = bench.client("p")
    for qos, kind in ((1, PubAck), (2, PubRec)):
        publisher.publish(bench.topic(), b"x", qos)
        publisher.publish(bench.topic(), b"x", qos)
        for member in members:
            member.send(kind(member.expect(Publish).packet_id, Reason.QUOTA_EXCEEDED))
            member.ping()
        for member in members:
            member.silent_from(publisher)
