"""What a broker tells about itself: figures, and the texts of ``$SYS``."""

from __future__ import annotations

import pytest
from brokers.conversation import Broker
from brokers.ledger import Ledger
from hypothesis import given
from hypothesis import strategies as st

from mqtt.limits import Limits
from mqtt.message import Message
from mqtt.packets import Publish, Version
from mqtt.statistics import Figures, SysTopics, figures, slices
from mqtt.topics import Subscription, Trie


def look(broker: Broker) -> Figures:
    found = figures(broker.core, broker.now)
    for some in slices(broker.core):
        found.look(some)
    return found


def told(messages: list[Message]) -> dict[str, str]:
    return {each.topic.removeprefix("$SYS/broker/"): each.packet.payload.decode() for each in messages}


def test_the_state_of_a_broker() -> None:
    broker = Broker(Limits(queued_messages=3, in_flight=2))
    broker.core.started = broker.now
    reader, writer = broker.client("reader"), broker.client("writer")
    broker.stranger()
    away = broker.client("away", clean_start=False)
    reader.subscribe("a", 1)
    reader.subscribe("$share/g/b")
    away.subscribe("a", 1)
    away.lose()
    writer.publish("kept", b"12345", retain=True)
    for _ in range(5):
        writer.publish("a", b"x", 1)
    broker.pass_time(90.5)
    topics = told(SysTopics("mqtt 1").update(look(broker)))
    expected = {
        "version": "mqtt 1",
        "uptime": "90 seconds",
        "clients/total": "3",
        "clients/connected": "2",
        "clients/disconnected": "1",
        "clients/maximum": "2",
        "connections": "3",
        "subscriptions/count": "3",
        "shared_subscriptions/count": "1",
        "retained messages/count": "1",
        "messages/inflight": "2",
        "messages/queued": "6",
        "messages/stored": "9",
        "publish/messages/received": "6",
        "publish/messages/sent": "2",
        "publish/messages/dropped": "2",
        "publish/messages/dropped/queue full": "2",
    }
    assert {name: topics.get(name) for name in expected} == expected


def test_what_counts_over_time() -> None:
    broker = Broker()
    client = broker.client("c", Version.V5, clean_start=True, properties={"session_expiry": 10})
    before = look(broker)
    client.raw(b"\xc0\x00" * 7)
    client.raw(b"\x0f\x00")
    client.lose()
    broker.pass_time(11)
    found = look(broker)
    assert found.bytes_received - before.bytes_received == 16
    assert (found.accepted, found.admitted, found.expired, found.sessions) == (1, 1, 1, 0)
    assert found.closed == {"malformed packet": 1}
    assert told(SysTopics("").update(found))["connections/closed/malformed packet"] == "1"


def test_only_what_has_changed_is_told_again() -> None:
    broker = Broker()
    topics = SysTopics("x")
    assert len(topics.update(look(broker))) > 30
    assert topics.update(look(broker)) == []
    broker.client("c")
    changed = told(topics.update(look(broker))).keys()
    assert "clients/connected" in changed
    assert "version" not in changed


def test_loads_are_those_of_mosquitto() -> None:
    """The numbers are what mosquitto 2.0.11 said 11 seconds after its start, of 2 messages."""
    broker = Broker()
    broker.core.started = broker.now
    topics = SysTopics("")
    topics.update(look(broker))
    broker.core.counters.received = 2
    broker.pass_time(11)
    found = told(topics.update(look(broker)))
    assert [found[f"load/publish/received/{minutes}min"] for minutes in (1, 5, 15)] == ["1.83", "0.39", "0.13"]
    for _ in range(400):
        broker.core.counters.received += 20
        broker.pass_time(10)
        found |= told(topics.update(look(broker)))
    assert found["load/publish/received/1min"] == found["load/publish/received/5min"] == "120.00"


def test_sys_takes_no_room_and_no_disk_and_wildcards_do_not_mean_it() -> None:
    ledger = Ledger()
    broker = Broker(Limits(retained_messages=1, retained_bytes=1000), ledger)
    reader = broker.client("reader", clean_start=False)
    reader.subscribe("#", 2)
    reader.subscribe("$SYS/#", 2)
    records = ledger.records
    messages = SysTopics("x").update(look(broker))
    for message in messages:
        broker.core.router.publish(message, None, broker.now)
    assert len(reader.messages()) == len(messages)
    assert ledger.records == records
    assert not broker.core.counters.dropped
    assert look(broker).retained == look(broker).retained_bytes == 0
    writer = broker.client("writer")
    writer.publish("kept", b"1", retain=True)
    assert [topic for topic, *_ in reader.messages()] == ["kept"]
    assert look(broker).retained == 1, "there is room for it"
    reader.lose()
    for message in messages:
        broker.core.router.publish(message, None, broker.now)
    assert not broker.core.clients.sessions["reader"].queue
    late = broker.client("late")
    assert len([each for each in late.subscribe("$SYS/broker/clients/+") if isinstance(each, Publish)]) == 7, "retained"
    late.publish("$SYS/broker/version", b"lie", retain=True)
    again = broker.client("again")
    assert len([each for each in again.subscribe("#") if isinstance(each, Publish)]) == 1
    found = again.subscribe("$SYS/broker/version")
    assert [each.payload for each in found if isinstance(each, Publish)] == [b"x"]


FILTERS = st.sampled_from(["a", "a/b", "+", "#", "a/#", "$share/g/a", "$share/h/a", "$share/g/+"])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), FILTERS)))
def test_subscriptions_are_counted(steps: list[tuple[bool, int, str]]) -> None:
    trie: Trie[int] = Trie()
    known: set[tuple[int, str]] = set()
    for adds, client, name in steps:
        if adds:
            trie.subscribe(Subscription(client, name))
            known.add((client, name))
        else:
            trie.unsubscribe(client, name)
            known.discard((client, name))
    assert trie.count == len(known)
    assert trie.shared == sum(name.startswith("$share/") for _, name in known)


@pytest.mark.parametrize("size", [0, 1, 1000, 1001])
def test_every_session_is_looked_at_once(size: int) -> None:
    broker = Broker()
    for number in range(size):
        broker.core.clients.sessions[str(number)] = object()  # type: ignore[assignment]
    assert sum(map(len, slices(broker.core))) == size


def test_a_message_of_the_broker_itself_counts_as_none() -> None:
    broker = Broker()
    broker.core.router.publish(Message(Publish("$SYS/x", b"1", retain=True)), None, broker.now)
    assert look(broker).received == 0
