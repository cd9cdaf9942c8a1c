"""The last words of a connection, and what must not come after them or instead of them."""

from __future__ import annotations

from brokers.conversation import Broker

from mqtt.packets import ConnAck, Connect, Disconnect, Publish, Subscribe, Subscription, Version, Will
from mqtt.properties import Properties
from mqtt.reasons import Reason

V5 = Version.V5
NONSENSE = b"\x30\xff\xff\xff\xff\x01"


def test_nothing_comes_behind_a_disconnect() -> None:
    """MQTT-3.14.4-1, also for messages that others publish before the shell has closed the connection."""
    broker = Broker()
    client, writer = broker.client("client", V5), broker.client("writer", V5)
    client.subscribe("a", 1)
    client.raw(NONSENSE)
    writer.publish("a", b"x", 1)
    assert client.got() == [Disconnect(Reason.MALFORMED_PACKET)]


def test_nothing_comes_behind_the_end_of_the_keep_alive() -> None:
    broker = Broker()
    client, writer = broker.client("client", V5, keep_alive=10), broker.client("writer", V5)
    client.subscribe("a", 1)
    broker.pass_time(20)
    writer.publish("a", b"x", 1)
    assert client.got() == [Disconnect(Reason.KEEP_ALIVE_TIMEOUT)]


def test_messages_that_come_behind_an_error_wait_for_the_next_connection() -> None:
    broker = Broker()
    stays = Properties(session_expiry=60)
    client, writer = broker.client("client", V5, properties=stays), broker.client("writer", V5)
    client.subscribe("a", 1)
    client.raw(NONSENSE)
    writer.publish("a", b"x", 1)
    again = broker.client("client", V5, clean_start=False, properties=stays)
    assert again.messages() == [("a", b"x", 1)]


def test_will_is_published_after_a_disconnect_with_any_reason_but_success() -> None:
    """MQTT-3.1.2-10, 3.14.4-3."""
    for reason, told in ((Reason.SUCCESS, False), (Reason.DISCONNECT_WITH_WILL, True), (Reason.UNSPECIFIED_ERROR, True)):
        broker = Broker()
        reader = broker.client("reader")
        reader.subscribe("will")
        client = broker.client("client", V5, will=Will("will", b"gone"))
        client.send(Disconnect(reason))
        client.lose()
        assert [each.payload for each in reader.got() if isinstance(each, Publish)] == [b"gone"] * told


def test_answer_that_is_too_large_ends_the_connection() -> None:
    """MQTT-3.1.2-24."""
    broker = Broker()
    client = broker.client("client", V5, properties=Properties(maximum_packet_size=30))
    client.send(Subscribe(1, [Subscription(f"a/{number}") for number in range(40)]))
    assert client.got() == []
    assert client.closed


def test_connack_that_is_too_large_ends_the_connection() -> None:
    """MQTT-3.1.2-24; nothing is left of the client."""
    broker = Broker()
    client = broker.stranger(V5)
    client.send(Connect(V5, "client", properties=Properties(maximum_packet_size=10)))
    broker.answer()
    assert client.got() == []
    assert client.closed
    assert "client" not in broker.core.clients.sessions


def test_names_are_not_given_again_after_a_restart() -> None:
    names = set()
    for _ in range(2):
        client = Broker().stranger(V5)
        ack = client.connect("")
        assert isinstance(ack, ConnAck)
        names.add((ack.properties or {})["assigned_client_id"])
    assert len(names) == 2
