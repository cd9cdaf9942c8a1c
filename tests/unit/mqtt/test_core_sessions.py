"""Connecting, take-over, sessions that outlive connections, wills, time."""

from __future__ import annotations

import pytest
from brokers.conversation import Broker

from mqtt.limits import Limits
from mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Version,
    Will,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason


def keeps(version: Version, seconds: int = 3600) -> dict[str, object]:
    """The arguments of a CONNECT whose session stays."""
    properties = Properties(session_expiry=seconds) if version == Version.V5 else None
    return {"clean_start": False, "properties": properties}


@pytest.mark.parametrize("version", list(Version))
def test_a_session_that_stays_gets_what_came_meanwhile(version: Version) -> None:
    """MQTT-3.1.2-4, -5; QoS 0 is not kept."""
    broker = Broker()
    writer = broker.client("writer")
    reader = broker.client("reader", version, **keeps(version))
    assert not reader.present
    reader.subscribe("a", 2)
    reader.leave()
    for qos in (0, 1, 2):
        writer.publish("a", b"%d" % qos, qos)
    back = broker.client("reader", version, **keeps(version))
    assert back.present is (version != Version.V31), "3.1 cannot say it"
    assert [payload for _, payload, _ in back.messages()] == [b"1", b"2"]
    back.leave()
    clean = broker.client("reader", version)
    assert not clean.present
    writer.publish("a", b"3", 1)
    assert clean.messages() == []


def test_a_clean_session_ends_with_its_connection() -> None:
    broker = Broker()
    client = broker.client("c")
    client.subscribe("a", 1)
    client.lose()
    assert not broker.core.clients.sessions
    assert not broker.core.router.trie.match("a").recipients
    assert not broker.core.links


@pytest.mark.parametrize("version", list(Version))
def test_what_was_in_flight_is_sent_again_as_it_was(version: Version) -> None:
    """MQTT-4.4.0-1, 3.3.1-1: the same identifiers, the same order, marked as duplicates; after PUBREC only PUBREL."""
    broker = Broker()
    writer = broker.client("writer")
    reader = broker.client("reader", version, **keeps(version))
    reader.subscribe("a", 2)
    for number, qos in enumerate((1, 2, 2, 1)):
        writer.publish("a", b"%d" % number, qos)
    sent = [each for each in reader.got() if isinstance(each, Publish)]
    assert [each.dup for each in sent] == [False] * 4
    reader.send(PubAck(sent[0].packet_id), PubRec(sent[1].packet_id))
    reader.lose()
    back = broker.client("reader", version, **keeps(version))
    first, second, third = back.got()
    assert first == PubRel(sent[1].packet_id)
    assert isinstance(second, Publish)
    assert isinstance(third, Publish)
    assert (second.packet_id, second.payload, second.dup) == (sent[2].packet_id, b"2", True)
    assert (third.packet_id, third.payload, third.dup) == (sent[3].packet_id, b"3", True)
    back.send(PubComp(first.packet_id), PubRec(second.packet_id), PubAck(third.packet_id))
    back.send(PubComp(second.packet_id))
    assert not broker.core.clients.sessions["reader"].in_flight


def test_qos_2_from_a_client_is_once_across_connections() -> None:
    broker = Broker()
    reader = broker.client("reader")
    reader.subscribe("a", 2)
    writer = broker.client("writer", clean_start=False)
    writer.send(Publish("a", b"1", 2, packet_id=9))
    writer.lose()
    writer = broker.client("writer", clean_start=False)
    writer.send(Publish("a", b"1", 2, dup=True, packet_id=9), PubRel(9))
    assert writer.got() == [PubRec(9), PubComp(9)]
    assert len(reader.messages()) == 1


@pytest.mark.parametrize("version", [Version.V311, Version.V5])
def test_a_second_connection_takes_over(version: Version) -> None:
    """MQTT-3.1.4-2 (3.1.1), 3.1.4-3 (5.0)."""
    broker = Broker()
    first = broker.client("c", version, **keeps(version))
    first.subscribe("a", 1)
    second = broker.client("c", version, **keeps(version))
    assert second.present
    assert first.closed
    assert first.got() == ([Disconnect(Reason.SESSION_TAKEN_OVER)] if version == Version.V5 else [])
    first.lose()
    broker.client("writer").publish("a", b"1", 1)
    assert len(second.messages()) == 1


def test_a_refused_connect_touches_nothing() -> None:
    """Authentication comes before anything is done with a session."""
    broker = Broker()
    holder = broker.client("c", clean_start=False)
    holder.subscribe("a", 1)
    broker.answers["c"] = Reason.BAD_USER_NAME_OR_PASSWORD
    for clean in (True, False):
        thief = broker.stranger()
        assert thief.connect("c", clean_start=clean).reason is Reason.BAD_USER_NAME_OR_PASSWORD
        assert thief.closed
        thief.lose()
    assert not holder.closed
    broker.client("writer").publish("a", b"1", 1)
    assert len(holder.messages()) == 1
    assert sorted(broker.core.clients.sessions) == ["c", "writer"]


def test_a_session_is_not_given_to_another_user() -> None:
    broker = Broker()
    ann = broker.client("c", clean_start=False, username="ann")
    ann.subscribe("a", 1)
    ann.leave()
    broker.client("writer").publish("a", b"for ann", 1)
    bob = broker.client("c", clean_start=False, username="bob")
    assert not bob.present
    assert bob.messages() == []


def test_packets_behind_a_connect_wait_for_the_answer() -> None:
    broker = Broker()
    client = broker.stranger()
    client.send(Connect(client_id="c"), PingReq())
    assert client.got() == []
    broker.answer()
    first, second = client.got()
    assert isinstance(first, ConnAck)
    assert second.type.name == "PINGRESP"


def test_only_connect_may_be_first() -> None:
    broker = Broker()
    client = broker.stranger()
    client.send(PingReq())
    assert client.closed
    assert client.got() == []


def test_before_a_client_is_known_packets_are_small() -> None:
    broker = Broker(Limits(unknown_packet=1000))
    client = broker.stranger()
    client.raw(b"\x10\xff\xff\x7f")
    assert client.closed


def test_a_packet_over_the_limit_is_refused_by_its_header() -> None:
    broker = Broker(Limits(packet=1000))
    client = broker.client("c", Version.V5)
    assert client.terms.get("maximum_packet_size") == 1000
    client.raw(b"\x30\xff\xff\x7f")
    assert client.one() == Disconnect(Reason.PACKET_TOO_LARGE)
    assert client.closed


@pytest.mark.parametrize("version", list(Version))
def test_clients_without_identifier(version: Version) -> None:
    """MQTT-3.1.3-6, -7, -8 (3.1.1: only with a clean session); 3.1 has no such clients."""
    broker = Broker()
    clean = broker.stranger(version).connect("", clean_start=True)
    assert clean.reason is (Reason.CLIENT_IDENTIFIER_NOT_VALID if version == Version.V31 else Reason.SUCCESS)
    kept = broker.stranger(version).connect("", clean_start=False)
    assert kept.reason is (Reason.SUCCESS if version == Version.V5 else Reason.CLIENT_IDENTIFIER_NOT_VALID)
    if version == Version.V5:
        assert (kept.properties or {}).get("assigned_client_id") in broker.core.clients.sessions


def test_sessions_are_bounded() -> None:
    broker = Broker(Limits(sessions=1))
    broker.client("a")
    assert broker.stranger(Version.V5).connect("b").reason is Reason.QUOTA_EXCEEDED
    broker.client("a")


# Wills.


@pytest.mark.parametrize("version", list(Version))
def test_a_will_is_published_when_a_client_is_lost(version: Version) -> None:
    """MQTT-3.1.2-8, -10, 3.14.4-3."""
    broker = Broker()
    reader = broker.client("reader")
    reader.subscribe("w", 1)
    will = Will("w", b"lost", 1, True)
    broker.client("c", version, will=will).lose()
    assert reader.messages() == [("w", b"lost", 1)]
    assert len(broker.client("late").subscribe("w")) == 1
    broker.client("c", version, will=will).leave()
    assert reader.messages() == []
    broken = broker.client("c", version, will=will)
    broken.raw(b"\x00\x00")
    assert broken.closed
    broken.lose()
    assert len(reader.messages()) == 1


def test_a_client_of_5_may_leave_with_its_will() -> None:
    """MQTT-3.14.4-3: not with reason 0x04."""
    broker = Broker()
    reader = broker.client("reader")
    reader.subscribe("w")
    client = broker.client("c", Version.V5, will=Will("w", b"1"))
    client.send(Disconnect(Reason.DISCONNECT_WITH_WILL))
    client.lose()
    assert len(reader.messages()) == 1


def test_a_will_is_published_at_take_over() -> None:
    broker = Broker()
    reader = broker.client("reader")
    reader.subscribe("w")
    broker.client("c", will=Will("w", b"1"))
    broker.client("c")
    assert len(reader.messages()) == 1


def test_a_delayed_will() -> None:
    """MQTT-3.1.3-9: after its delay, or when the session ends, and not if the client is back before."""
    broker = Broker()
    reader = broker.client("reader")
    reader.subscribe("w")
    will = Will("w", b"1", properties=Properties(will_delay=10))
    broker.client("c", Version.V5, will=will, **keeps(Version.V5)).lose()
    broker.pass_time(9.9)
    assert reader.messages() == []
    back = broker.client("c", Version.V5, will=will, **keeps(Version.V5))
    assert back.present
    broker.pass_time(100)
    assert reader.messages() == []
    back.lose()
    broker.pass_time(10.1)
    assert len(reader.messages()) == 1
    broker.client("c", Version.V5, will=will, **keeps(Version.V5, 5)).lose()
    broker.pass_time(5.1)
    assert len(reader.messages()) == 1, "the session has ended before"
    broker.client("c", Version.V5, will=will, **keeps(Version.V5)).lose()
    broker.client("c", Version.V5, clean_start=True)
    assert len(reader.messages()) == 1, "the session was thrown away"


# Time.


def test_a_session_expires() -> None:
    """MQTT-3.1.2-23."""
    broker = Broker()
    broker.client("c", Version.V5, **keeps(Version.V5, 100)).leave()
    broker.pass_time(99)
    assert "c" in broker.core.clients.sessions
    broker.client("c", Version.V5, **keeps(Version.V5, 100)).leave()
    broker.pass_time(99)
    assert "c" in broker.core.clients.sessions
    broker.pass_time(1.1)
    assert not broker.core.clients.sessions


def test_a_session_of_3_1_1_waits_for_ever_unless_limited() -> None:
    broker = Broker()
    broker.client("c", clean_start=False).leave()
    broker.pass_time(1e9)
    assert broker.client("c", clean_start=False).present
    broker = Broker(Limits(session_expiry=50))
    broker.client("c", clean_start=False).leave()
    broker.pass_time(51)
    assert not broker.core.clients.sessions


def test_a_disconnect_may_change_the_expiry() -> None:
    """3.14.2.2.2: not from 0."""
    broker = Broker()
    client = broker.client("c", Version.V5, **keeps(Version.V5))
    client.send(Disconnect(properties=Properties(session_expiry=0)))
    client.lose()
    assert not broker.core.clients.sessions
    client = broker.client("c", Version.V5)
    client.send(Disconnect(properties=Properties(session_expiry=10)))
    assert client.one() == Disconnect(Reason.PROTOCOL_ERROR)


@pytest.mark.parametrize("version", [Version.V311, Version.V5])
def test_silence_beyond_the_keep_alive_ends_a_connection(version: Version) -> None:
    """MQTT-3.1.2-24 (3.1.1), 3.1.2-22 (5.0): after one and a half times of it."""
    broker = Broker()
    reader = broker.client("reader")
    reader.subscribe("w")
    client = broker.client("c", version, keep_alive=100, will=Will("w", b"1"))
    for _ in range(20):
        broker.pass_time(100)
        client.send(PingReq())
        client.got()
    broker.pass_time(149)
    assert not client.closed
    broker.pass_time(2)
    assert client.closed
    assert client.got() == ([Disconnect(Reason.KEEP_ALIVE_TIMEOUT)] if version == Version.V5 else [])
    client.lose()
    assert len(reader.messages()) == 1


def test_a_short_keep_alive_is_kept_too() -> None:
    broker = Broker()
    client = broker.client("c", keep_alive=1)
    broker.pass_time(1.4)
    assert not client.closed
    broker.pass_time(0.2)
    assert client.closed


def test_without_keep_alive_silence_is_allowed() -> None:
    broker = Broker()
    client = broker.client("c")
    broker.pass_time(1e6)
    assert not client.closed


def test_who_does_not_say_connect_is_not_kept() -> None:
    broker = Broker()
    silent, slow, asking = broker.stranger(), broker.stranger(), broker.stranger()
    slow.raw(b"\x10\x20\x00\x04MQ")
    asking.send(Connect(client_id="c"))
    broker.pass_time(9)
    slow.raw(b"T")
    assert not silent.closed
    broker.pass_time(2)
    assert silent.closed
    assert slow.closed
    assert asking.closed
    broker.answer()
    assert not broker.core.clients.sessions, "the answer came too late"


def test_what_has_gone_does_not_stay() -> None:
    broker = Broker()
    for number in range(200):
        broker.client(f"c{number}", keep_alive=60000).leave()
    broker.pass_time(61)
    assert broker.core.deadline() == float("inf")
    assert not broker.core._due


def test_a_session_whose_time_is_over_is_not_found_though_the_clock_was_not_looked_at() -> None:
    """After the machine has slept, clients may be served before what was due meanwhile (MQTT 5.0, 3.1.2.11.2)."""
    broker = Broker()
    reader = broker.client("reader", Version.V5, **keeps(Version.V5, 10))
    reader.subscribe("a", 1)
    reader.leave()
    broker.client("writer").publish("a", b"1", 1)
    broker.now += 10
    back = broker.client("reader", Version.V5, **keeps(Version.V5, 10))
    assert not back.present
    assert back.messages() == []


def test_a_will_that_is_due_is_published_though_the_clock_was_not_looked_at() -> None:
    """Only who comes back before the delay is over calls it off (MQTT-3.1.3-9)."""
    broker = Broker()
    watcher = broker.client("watcher")
    watcher.subscribe("w")
    will = Will("w", b"gone", properties=Properties(will_delay=5))
    for late, expected in ((4.9, []), (5.0, [("w", b"gone", 0)])):
        broker.client("c", Version.V5, will=will, **keeps(Version.V5)).lose()
        broker.now += late
        client = broker.client("c", Version.V5, **keeps(Version.V5))
        assert client.present
        assert watcher.messages() == expected
        client.leave()
