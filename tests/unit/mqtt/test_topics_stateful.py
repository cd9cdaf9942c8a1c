"""Subscriptions and retained messages in any order, against models that are nothing but dictionaries and regular expressions.

``STATEFUL=1000`` is how many histories; 30 in an ordinary run.
"""

from __future__ import annotations

import os
import re
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqtt.topics import Retained, Subscription, Trie

LEVELS = st.sampled_from(["a", "b", "", "$x"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(LEVELS | st.just("+"), min_size=0, max_size=4))
    if draw(st.booleans()) or not levels:
        levels.append("#")
    name = "/".join(levels) or "a"
    group = draw(st.sampled_from(["", "", "$share/g/", "$share/h/"]))
    return group + name


def plain(name: str) -> tuple[str | None, str]:
    found = re.fullmatch(r"\$share/([^/]+)/(.*)", name, re.S)
    return (found[1], found[2]) if found else (None, name)


def means(name: str, topic: str) -> bool:
    """MQTT 5.0, 4.7, as a regular expression."""
    if topic.startswith("$") and name[0] in "+#":
        return False
    if name == "#":
        return True
    pattern = re.escape(name).replace(r"\+", "[^/]*")
    if name.endswith("/#"):
        pattern = pattern.removesuffix(r"/\#") + "(/.*)?"
    return re.fullmatch(pattern, topic) is not None


class Subscribing(RuleBasedStateMachine):
    """held: what a client of these has subscribed to, by client and filter."""

    def __init__(self) -> None:
        super().__init__()
        self.trie: Trie[Any] = Trie(cached_topics=3)
        self.held: dict[tuple[str, str], Subscription[Any]] = {}

    @rule(client=st.sampled_from("XYZ"), name=filters(), qos=st.integers(0, 2), identifier=st.none() | st.integers(1, 3))
    def subscribe(self, client: str, name: str, qos: int, identifier: int | None) -> None:
        subscription = Subscription(client, name, qos, identifier=identifier)
        new = self.trie.subscribe(subscription)
        assert new == ((client, name) not in self.held)
        self.held[client, name] = subscription

    @rule(client=st.sampled_from("XYZ"), name=filters(), data=st.data())
    def unsubscribe(self, client: str, name: str, data: st.DataObject) -> None:
        if self.held and data.draw(st.booleans()):
            client, name = data.draw(st.sampled_from(sorted(self.held)))
        assert self.trie.unsubscribe(client, name) == ((client, name) in self.held)
        self.held.pop((client, name), None)

    @rule(topics=st.lists(TOPICS, min_size=1, max_size=6))
    def match(self, topics: list[str]) -> None:
        for topic in topics:
            found = self.trie.match(topic)
            wanted: dict[str, list[Subscription[Any]]] = {}
            groups: dict[tuple[str, str], set[str]] = {}
            for (client, name), each in self.held.items():
                group, inner = plain(name)
                if means(inner, topic):
                    if group is None:
                        wanted.setdefault(client, []).append(each)
                    else:
                        groups.setdefault((group, inner), set()).add(client)
            assert len(found.recipients) == len(wanted)
            for recipient in found.recipients:
                several = wanted[recipient.client]
                assert recipient.qos == max(each.qos for each in several)
                identifiers = sorted(each.identifier for each in several if each.identifier is not None)
                assert sorted(recipient.identifiers) == identifiers
            assert sorted(sorted(each.members) for each in found.groups) == sorted(sorted(each) for each in groups.values())

    @invariant()
    def nothing_is_left_of_nothing(self) -> None:
        if not self.held:
            assert not self.trie._root.children


class Retaining(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.retained: Retained[int] = Retained()
        self.held: dict[str, int] = {}

    @rule(topic=TOPICS, value=st.integers())
    def keep(self, topic: str, value: int) -> None:
        self.retained.set(topic, value)
        self.held[topic] = value

    @rule(topic=TOPICS, data=st.data())
    def remove(self, topic: str, data: st.DataObject) -> None:
        if self.held and data.draw(st.booleans()):
            topic = data.draw(st.sampled_from(sorted(self.held)))
        assert self.retained.remove(topic) == (topic in self.held)
        self.held.pop(topic, None)

    @rule(name=filters())
    def match(self, name: str) -> None:
        name = plain(name)[1]
        assert sorted(self.retained.match(name)) == sorted(each for each in self.held.items() if means(name, each[0]))

    @rule(topic=TOPICS)
    def get(self, topic: str) -> None:
        assert self.retained.get(topic) == self.held.get(topic)

    @invariant()
    def is_counted(self) -> None:
        assert len(self.retained) == len(self.held)
        levels = [topic.split("/") for topic in self.held]
        assert self.retained.levels == len({tuple(each[:end]) for each in levels for end in range(1, len(each) + 1)})


TestSubscribing = Subscribing.TestCase
TestRetaining = Retaining.TestCase
TestSubscribing.settings = TestRetaining.settings = settings(
    max_examples=int(os.environ.get("STATEFUL", "30")), stateful_step_count=30, deadline=None
)
