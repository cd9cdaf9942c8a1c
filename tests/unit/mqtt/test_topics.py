from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt.topics import Recipient, Retained, Subscription, TopicError, Trie, check_filter, check_topic, matches, split_shared

LEVELS = ["a", "b", "", "$x"]
topic_names = st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map("/".join).filter(bool)
filters = (
    st.tuples(st.lists(st.sampled_from([*LEVELS, "+"]), min_size=0, max_size=3), st.booleans())
    .map(lambda pair: "/".join(pair[0] + ["#"] * pair[1]))
    .filter(bool)
)


@pytest.mark.parametrize(
    ("name", "topic", "expected"),
    [
        ("sport/tennis/#", "sport/tennis", True),
        ("sport/#", "sport", True),
        ("#", "a/b/c", True),
        ("+", "a", True),
        ("+", "/a", False),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/+", "$SYS/uptime", True),
        ("a/#", "a/$x", True),
        ("a/+", "a/$x", True),
        ("A", "a", False),
    ],
)
def test_filters_of_the_standard(name: str, topic: str, expected: bool) -> None:
    """MQTT-4.7.1-1 to 4.7.3-4 and the examples of section 4.7."""
    assert matches(name, topic) is expected
    trie: Trie[str] = Trie()
    trie.subscribe(Subscription("c", name))
    assert bool(trie.match(topic).recipients) is expected
    retained: Retained[int] = Retained()
    retained.set(topic, 1)
    assert bool(retained.match(name)) is expected


@pytest.mark.parametrize(
    "name", ["", "a#", "a/#/b", "#/a", "a/b+", "+a", "a\0", "$share/g", "$share//a", "$share/g/", "$share/+/a", "a/" * 9]
)
def test_filters_that_are_refused(name: str) -> None:
    with pytest.raises(TopicError):
        check_filter(name, max_levels=8)


@pytest.mark.parametrize("name", ["", "a/+", "#", "a\0b", "ä" * 33, "a/" * 9])
def test_topics_that_are_refused(name: str) -> None:
    with pytest.raises(TopicError):
        check_topic(name, max_bytes=64, max_levels=8)


def test_names_that_are_allowed() -> None:
    for name in ["a", "/", "//", " ", "a/+/#", "$share/g/#", "$sharex", "+/+"]:
        check_filter(name)
    for name in ["a", "/", "a//b", "$SYS/x", "ä"]:
        check_topic(name)
    assert split_shared("$share/g/a/b") == ("g", "a/b")
    assert split_shared("a") == (None, "a")


def test_overlapping_subscriptions_are_one_copy_with_the_highest_qos_and_all_identifiers() -> None:
    trie: Trie[str] = Trie()
    trie.subscribe(Subscription("c", "a/#", qos=2, identifier=7, no_local=True))
    trie.subscribe(Subscription("c", "a/b", qos=1, identifier=9))
    [recipient] = trie.match("a/b").recipients
    assert (recipient.qos, sorted(recipient.identifiers)) == (2, [7, 9])
    assert recipient.of("d") is recipient
    own = recipient.of(recipient.client)
    assert own is not None
    assert (own.qos, own.identifiers) == (1, (9,))


def test_a_second_subscription_to_a_filter_replaces_the_first() -> None:
    trie: Trie[str] = Trie()
    assert trie.subscribe(Subscription("c", "a", qos=0))
    assert trie.match("a").recipients[0].qos == 0
    assert not trie.subscribe(Subscription("c", "a", qos=2))
    assert trie.match("a").recipients[0].qos == 2
    assert trie.unsubscribe("c", "a")
    assert not trie.unsubscribe("c", "a")
    assert not trie.match("a").recipients


def test_shared_subscriptions_take_turns_and_stand_beside_plain_ones() -> None:
    trie: Trie[str] = Trie()
    for member in "xyz":
        trie.subscribe(Subscription(member, "$share/g/a/+"))
    trie.subscribe(Subscription("x", "a/b"))
    found = trie.match("a/b")
    assert [each.client for each in found.recipients] == ["x"]
    [group] = found.groups
    assert sorted(next(group.in_turn()).client for _ in range(6)) == ["x", "x", "y", "y", "z", "z"]
    assert sorted(each.client for each in group.in_turn()) == ["x", "y", "z"]
    for member in "xyz":
        assert trie.unsubscribe(member, "$share/g/a/+")
    assert not trie.match("a/b").groups


def test_the_cache_is_bounded() -> None:
    trie: Trie[str] = Trie(cached_topics=10)
    trie.subscribe(Subscription("c", "#"))
    for number in range(100):
        assert trie.match(f"t/{number}").recipients
    assert len(trie.cache) <= 10


class Subscriptions(RuleBasedStateMachine):
    """The trie against a list that is looked through."""

    def __init__(self) -> None:
        super().__init__()
        self.trie: Trie[str] = Trie(cached_topics=3)
        self.naive: dict[tuple[str, str], Subscription[str]] = {}

    @rule(
        client=st.sampled_from("xyz"), name=filters, group=st.sampled_from(["", "$share/g/", "$share/h/"]), qos=st.integers(0, 2)
    )
    def subscribe(self, client: str, name: str, group: str, qos: int) -> None:
        subscription = Subscription(client, group + name, qos)
        assert self.trie.subscribe(subscription) is ((client, group + name) not in self.naive)
        self.naive[client, group + name] = subscription

    @rule(client=st.sampled_from("xyz"), name=filters, group=st.sampled_from(["", "$share/g/"]))
    def unsubscribe(self, client: str, name: str, group: str) -> None:
        existed = self.naive.pop((client, group + name), None) is not None
        assert self.trie.unsubscribe(client, group + name) is existed

    @rule(topic=topic_names)
    def match(self, topic: str) -> None:
        expected: dict[str, list[Subscription[str]]] = {}
        groups: dict[str, set[str]] = {}
        for (client, full), subscription in self.naive.items():
            group, name = split_shared(full)
            if not matches(name, topic):
                continue
            if group is None:
                expected.setdefault(client, []).append(subscription)
            else:
                groups.setdefault(full, set()).add(client)
        found = self.trie.match(topic)
        assert {each.client: each.qos for each in found.recipients} == {
            client: Recipient(each).qos for client, each in expected.items()
        }
        assert sorted(sorted(each.members) for each in found.groups) == sorted(sorted(each) for each in groups.values())

    @invariant()
    def nothing_is_left_when_nobody_subscribes(self) -> None:
        if not self.naive:
            assert self.trie._root.empty()


TestSubscriptions = Subscriptions.TestCase
TestSubscriptions.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(topic_names, st.booleans()), max_size=20), filters)
@settings(max_examples=200, deadline=None)
def test_retained_messages_against_a_plain_dict(steps: list[tuple[str, bool]], name: str) -> None:
    retained: Retained[int] = Retained()
    naive: dict[str, int] = {}
    for number, (topic, keep) in enumerate(steps):
        if keep:
            retained.set(topic, number)
            naive[topic] = number
        else:
            assert retained.remove(topic) is (naive.pop(topic, None) is not None)
    assert len(retained) == len(naive)
    assert sorted(retained.match(name)) == sorted((topic, value) for topic, value in naive.items() if matches(name, topic))
    if not naive:
        assert not retained._root.children
