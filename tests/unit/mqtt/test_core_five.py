"""What only MQTT 5.0 has."""

from __future__ import annotations

import pytest
from brokers.conversation import Broker

from mqtt.limits import Limits
from mqtt.packets import (
    Auth,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason

V5 = Version.V5


def test_properties_pass_through_unaltered() -> None:
    """MQTT-3.3.2-4, -15, -16, -17, -18, -20."""
    broker = Broker()
    reader, old, writer = broker.client("reader", V5), broker.client("old"), broker.client("writer", V5)
    reader.subscribe("#", 1)
    old.subscribe("#", 1)
    given = Properties(
        payload_format=1,
        content_type="text/plain",
        response_topic="answers/1",
        correlation_data=b"\x00\x01",
        user_properties=[("b", "1"), ("a", "2"), ("b", "3")],
    )
    writer.send(Publish("request", b"x", 1, packet_id=1, properties=Properties(**given, topic_alias=1)))
    assert isinstance(writer.one(), PubAck)
    [got] = reader.got()
    assert isinstance(got, Publish)
    assert got.properties == given
    assert [each.properties for each in old.got() if isinstance(each, Publish)] == [None]


def test_no_local_and_retain_as_published() -> None:
    """MQTT-3.8.3-3, 3.3.1-12, -13."""
    broker = Broker()
    client, writer = broker.client("client", V5), broker.client("writer", V5)
    client.subscribe("a", no_local=True, retain_as_published=True)
    client.publish("a", b"own", retain=True)
    writer.publish("a", b"other", retain=True)
    assert [(each.payload, each.retain) for each in client.got() if isinstance(each, Publish)] == [(b"other", True)]


def test_retain_handling() -> None:
    """MQTT-3.3.1-9, -10, -11."""
    broker = Broker()
    client = broker.client("client", V5)
    client.publish("a", retain=True)
    client.got()
    assert client.subscribe("a", retain_handling=2) == []
    assert client.subscribe("a", retain_handling=1) == []
    assert len(client.subscribe("a", retain_handling=0)) == 1
    assert len(client.subscribe("+", retain_handling=1)) == 1


def test_subscription_identifiers() -> None:
    """MQTT-3.3.4-3, -4."""
    broker = Broker()
    client = broker.client("client", V5)
    client.subscribe("a/+", 1, identifier=7)
    client.subscribe("a/b", 0, identifier=300)
    client.subscribe("#", 0)
    broker.client("writer").publish("a/b", b"x", 1)
    [got] = client.got()
    assert isinstance(got, Publish)
    assert sorted((got.properties or {}).get("subscription_identifiers", [])) == [7, 300]
    assert got.qos == 1


def test_shared_subscriptions_go_in_turn_to_those_who_are_there() -> None:
    """4.8.2: each message to one member; a member that is away gets what nobody else can take."""
    broker = Broker()
    members = [
        broker.client(f"m{number}", V5, clean_start=False, properties=Properties(session_expiry=100)) for number in range(3)
    ]
    for member in members:
        assert member.subscribe("$share/g/a/+", 1) == []
    writer = broker.client("writer", V5)
    for _ in range(9):
        writer.publish("a/b", b"x", 1)
    assert [len(member.messages()) for member in members] == [3, 3, 3]
    members[0].lose()
    for _ in range(4):
        writer.publish("a/b", b"x", 1)
    assert sum(len(member.messages()) for member in members[1:]) == 4
    for member in members:
        member.lose()
    writer.publish("a/b", b"late", 1)
    back = [broker.client(f"m{number}", V5, clean_start=False).messages() for number in range(3)]
    assert sum(map(len, back)) == 1


def test_no_retained_message_for_a_shared_subscription() -> None:
    broker = Broker()
    client = broker.client("c", V5)
    client.publish("a", retain=True)
    assert client.subscribe("$share/g/a") == []


def test_a_message_expires_in_the_queue_and_tells_what_is_left() -> None:
    """MQTT-3.3.2-5, -6."""
    broker = Broker()
    stays = {"clean_start": False, "properties": Properties(session_expiry=1000)}
    broker.client("c", V5, **stays).subscribe("a", 1)
    broker.core.lost(next(iter(broker.core.links)), broker.now)
    writer = broker.client("writer", V5)
    writer.publish("a", b"short", 1, properties=Properties(message_expiry=10))
    writer.publish("a", b"long", 1, properties=Properties(message_expiry=100))
    writer.publish("a", b"kept", 1, retain=True, properties=Properties(message_expiry=20))
    broker.pass_time(15)
    late = broker.client("late", V5)
    assert len(late.subscribe("a")) == 1
    broker.pass_time(15)
    client = broker.client("c", V5, **stays)
    [got] = [each for each in client.got() if isinstance(each, Publish)]
    assert (got.payload, (got.properties or {}).get("message_expiry")) == (b"long", 70)
    assert broker.core.counters.dropped == {"expired": 2}
    assert broker.client("later", V5).subscribe("a") == []
    assert len(broker.core.router.retained) == 0


def test_the_clients_receive_maximum_is_kept() -> None:
    """MQTT-3.3.4-9."""
    broker = Broker()
    client, writer = broker.client("c", V5, properties=Properties(receive_maximum=2)), broker.client("w", V5)
    client.subscribe("a", 2)
    for number in range(5):
        writer.publish("a", b"%d" % number, 1 + number % 2)
    first, second = client.got()
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    client.send(PubRec(second.packet_id))
    assert client.one() == PubRel(second.packet_id)
    client.send(PubComp(second.packet_id))
    assert isinstance(client.one(), Publish)
    client.send(PubAck(first.packet_id))
    assert isinstance(client.one(), Publish)


def test_our_receive_maximum_is_held() -> None:
    """MQTT-3.3.4-7."""
    broker = Broker(Limits(receive_maximum=2))
    client = broker.client("c", V5)
    assert client.terms.get("receive_maximum") == 2
    client.send(*[Publish("a", qos=2, packet_id=number) for number in (1, 2, 3)])
    assert client.got()[-1] == Disconnect(Reason.RECEIVE_MAXIMUM_EXCEEDED)


def test_topic_aliases() -> None:
    """MQTT-3.3.2-7, -8, -12."""
    broker = Broker(Limits(topic_aliases=2))
    reader, writer = broker.client("reader"), broker.client("writer", V5)
    reader.subscribe("#")
    assert writer.terms.get("topic_alias_maximum") == 2
    one, two = Properties(topic_alias=1), Properties(topic_alias=2)
    writer.send(
        Publish("a", properties=one), Publish("b", properties=two), Publish("", properties=one), Publish("", properties=two)
    )
    writer.send(Publish("c", properties=one), Publish("", properties=one))
    assert [topic for topic, _, _ in reader.messages()] == ["a", "b", "a", "b", "c", "c"]
    writer.send(Publish("d", properties=Properties(topic_alias=3)))
    assert writer.one() == Disconnect(Reason.TOPIC_ALIAS_INVALID)
    again = broker.client("writer", V5)
    again.send(Publish("", properties=one))
    assert again.one() == Disconnect(Reason.TOPIC_ALIAS_INVALID)
    assert reader.messages() == []


def test_a_message_too_large_for_a_client_is_not_sent_to_it() -> None:
    """MQTT-3.1.2-24, -25."""
    broker = Broker()
    small, writer = broker.client("small", V5, properties=Properties(maximum_packet_size=100)), broker.client("writer")
    small.subscribe("a", 2)
    for qos in (0, 1, 2):
        writer.publish("a", bytes(200), qos)
        writer.publish("a", bytes(50), qos)
    assert [len(payload) for _, payload, _ in small.messages()] == [50, 50, 50]
    assert broker.core.counters.dropped == {"too large": 3}
    assert not broker.core.clients.sessions["small"].in_flight


def test_the_server_sets_the_keep_alive() -> None:
    """MQTT-3.1.2-21."""
    broker = Broker(Limits(keep_alive=60))
    assert broker.client("a", V5).terms.get("server_keep_alive") == 60
    assert broker.client("b", V5, keep_alive=30).terms.get("server_keep_alive") is None
    client = broker.client("c", V5, keep_alive=600)
    assert client.terms.get("server_keep_alive") == 60
    broker.pass_time(91)
    assert client.closed


def test_a_shorter_session_expiry_is_told() -> None:
    broker = Broker(Limits(session_expiry=60))
    assert broker.client("a", V5, properties=Properties(session_expiry=600)).terms.get("session_expiry") == 60
    assert broker.client("b", V5, properties=Properties(session_expiry=6)).terms.get("session_expiry") is None


def test_reasons() -> None:
    broker = Broker()
    client = broker.client("c", V5)
    client.send(Publish("nobody", qos=1, packet_id=1), Publish("nobody", qos=2, packet_id=2), PubRel(2), PubRel(3))
    assert client.got() == [
        PubAck(1, Reason.NO_MATCHING_SUBSCRIBERS),
        PubRec(2, Reason.NO_MATCHING_SUBSCRIBERS),
        PubComp(2),
        PubComp(3, Reason.PACKET_IDENTIFIER_NOT_FOUND),
    ]
    client.send(PubRec(77))
    assert client.one() == PubRel(77, Reason.PACKET_IDENTIFIER_NOT_FOUND)
    client.subscribe("a")
    client.send(Unsubscribe(9, ["a", "b"]))
    assert client.one() == UnsubAck(9, [Reason.SUCCESS, Reason.NO_SUBSCRIPTION_EXISTED])
    client.send(Subscribe(9, [Subscription("$share/x"), Subscription("a/#/b")]))
    [ack] = client.got()
    assert getattr(ack, "reasons", None) == [Reason.TOPIC_FILTER_INVALID] * 2


def test_a_client_may_refuse_a_qos_2_message() -> None:
    broker = Broker()
    client = broker.client("c", V5)
    client.subscribe("a", 2)
    broker.client("w").publish("a", qos=2)
    client.got()
    client.send(PubRec(1, Reason.QUOTA_EXCEEDED))
    assert client.got() == []
    assert not broker.core.clients.sessions["c"].in_flight


@pytest.mark.parametrize("data", [b"\x30\x04\x00\x01a\x02", b"\x82\x02\x00\x01", b"\x20\x03\x00\x00\x00"])
def test_what_breaks_the_protocol_is_answered_with_a_reason(data: bytes) -> None:
    broker = Broker()
    client = broker.client("c", V5)
    client.raw(data)
    [goodbye] = client.got()
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason.failed
    assert client.closed


def test_extended_authentication_is_refused() -> None:
    broker = Broker()
    ack = broker.stranger(V5).connect("c", properties=Properties(authentication_method="SCRAM"))
    assert ack.reason is Reason.BAD_AUTHENTICATION_METHOD
    client = broker.client("c", V5)
    client.send(Auth(Reason.REAUTHENTICATE, Properties(authentication_method="SCRAM")))
    assert client.one() == Disconnect(Reason.PROTOCOL_ERROR)
