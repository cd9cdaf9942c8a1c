"""Rights in the broker's core: whatever way a message goes, it comes only where it may."""

from __future__ import annotations

from typing import Any

import pytest
from brokers.conversation import Broker, Client

from mqtt.acl import Acl, parse
from mqtt.packets import PubAck, Publish, SubAck, Subscribe, Subscription, Version, Will
from mqtt.properties import Properties
from mqtt.reasons import Reason

ACL = """
user ann
topic readwrite #
topic readwrite $hw/#
user bob
topic read open/#
topic write box/bob
topic deny open/not
"""


def rules(more: str = "") -> Acl:
    return Acl(parse((ACL + more).splitlines(), "acl"))


@pytest.fixture
def broker() -> Broker:
    return Broker(authorizer=rules())


def client(broker: Broker, name: str, version: Version = Version.V5, **more: Any) -> Client:
    return broker.client(name, version, username=name.rstrip("0123456789"), **more)


def answers(client: Client, *names: str) -> list[Reason]:
    client.send(Subscribe(3, [Subscription(name, 1) for name in names]))
    [ack] = [packet for packet in client.got() if isinstance(packet, SubAck)]
    return ack.reasons


def test_subscriptions_one_by_one(broker: Broker) -> None:
    bob = client(broker, "bob")
    no = Reason.NOT_AUTHORIZED
    asked = ("open/a", "shut", "#", "$share/g/open/a", "$share/g/shut", "open/not", "$SYS/#", "box/bob", "$hw/x")
    assert answers(bob, *asked) == [1, no, 1, 1, no, no, no, no, no]


def test_before_five_a_refused_subscription_is_a_failure(broker: Broker) -> None:
    assert answers(client(broker, "bob", Version.V311), "shut", "open/a") == [Reason.UNSPECIFIED_ERROR, 1]


def test_what_comes_by_wide_filters_retained_and_shared(broker: Broker) -> None:
    ann, bob = client(broker, "ann"), client(broker, "bob")
    for topic in ("open/a", "open/not", "shut"):
        ann.publish(topic, b"kept", retain=True)
    kept = [packet.topic for packet in [*bob.subscribe("+/+", 1), *bob.subscribe("#", 1)] if isinstance(packet, Publish)]
    assert kept == ["open/a", "open/a"]
    assert answers(bob, "$share/g/#") == [1]
    for topic in ("open/a", "open/not", "shut", "box/bob"):
        ann.publish(topic, b"new")
    assert {topic for topic, _, _ in bob.messages()} == {"open/a"}
    assert broker.core.counters.dropped["not authorized"]


def test_a_shared_message_goes_to_a_member_who_may_read_it(broker: Broker) -> None:
    ann, bob, other = client(broker, "ann"), client(broker, "bob"), client(broker, "ann2")
    assert answers(bob, "$share/g/#") == [1]
    assert answers(other, "$share/g/#") == [1]
    for _ in range(4):
        ann.publish("shut")
    assert len(other.messages()) == 4
    assert bob.messages() == []


@pytest.mark.parametrize("version", [Version.V311, Version.V5])
def test_publishes_that_are_not_allowed(broker: Broker, version: Version) -> None:
    ann, bob = client(broker, "ann"), client(broker, "bob", version)
    ann.subscribe("#")
    bob.send(Publish("shut", b"x", 1, packet_id=1), Publish("box/bob", b"y", 1, packet_id=2))
    reasons = [packet.reason for packet in bob.got() if isinstance(packet, PubAck)]
    assert reasons == [Reason.NOT_AUTHORIZED if version == Version.V5 else Reason.SUCCESS, Reason.SUCCESS]
    assert ann.messages() == [("box/bob", b"y", 0)]


def test_a_will_has_the_rights_of_its_client(broker: Broker) -> None:
    ann = client(broker, "ann")
    ann.subscribe("#")
    for number, topic in enumerate(("shut", "box/bob")):
        delay = Properties(will_delay=5)
        client(broker, f"bob{number}", will=Will(topic, b"gone"), keep_alive=0).lose()
        late = client(
            broker, f"bob{number}", will=Will(topic, b"late", properties=delay), properties=Properties(session_expiry=9)
        )
        late.lose()
    broker.pass_time(20)
    assert ann.messages() == [("box/bob", b"gone", 0), ("box/bob", b"late", 0)]


def test_rights_that_change_hold_for_sessions_that_there_are(broker: Broker) -> None:
    ann, bob = client(broker, "ann"), client(broker, "bob", properties=Properties(session_expiry=99))
    assert answers(bob, "#") == [1]
    broker.core.router.authorize(rules("user bob\ntopic read shut\ntopic deny open/a\n"))
    for topic in ("open/a", "open/b", "shut"):
        ann.publish(topic, qos=1)
    assert [topic for topic, _, _ in bob.messages()] == ["open/b", "shut"]
    bob.lose()
    broker.core.router.authorize(rules())
    ann.publish("shut", qos=1)
    ann.publish("open/a", qos=1)
    back = client(broker, "bob", clean_start=False)
    assert [topic for topic, _, _ in back.messages()] == ["open/a"]


def test_who_has_no_name_has_no_rights_of_others(broker: Broker) -> None:
    nobody = broker.client("ann", Version.V5)
    assert answers(nobody, "open/a", "#") == [Reason.NOT_AUTHORIZED] * 2


def test_a_session_is_not_for_a_user_of_another_name(broker: Broker) -> None:
    ann = client(broker, "ann", properties=Properties(session_expiry=99))
    other = client(broker, "ann2", properties=Properties(session_expiry=99))
    assert answers(other, "shut") == [1]
    other.lose()
    ann.publish("shut", qos=1)
    thief = broker.client("ann2", Version.V5, username="bob", clean_start=False)
    assert not thief.present
    assert thief.messages() == []
