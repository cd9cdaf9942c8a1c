"""Access control lists: what lines mean, and which are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt.access import Identity
from mqtt.accessfile import AccessFileError
from mqtt.acl import Acl, parse
from mqtt.topics import covers, matches, overlap

ACL = """
# who has no name
topic read news/#

user ann
topic readwrite home/#
topic deny home/safe/#
topic read $SYS/#
topic write in box

user bob
topic home/+/light
pattern write up/%u/%c
pattern read down/%u/#
pattern deny down/+/secret
"""


@pytest.fixture
def acl() -> Acl:
    return Acl(parse(ACL.splitlines(), "acl"))


ANN, BOB, NOBODY = Identity("a1", "ann"), Identity("b1", "bob"), Identity("x")


@pytest.mark.parametrize(
    ("who", "topic", "read", "write"),
    [
        (NOBODY, "news/today", True, False),
        (NOBODY, "home/x", False, False),
        (NOBODY, "up//x", False, False),
        (ANN, "news/today", False, False),
        (ANN, "home/x", True, True),
        (ANN, "home", True, True),
        (ANN, "home/safe/code", False, False),
        (ANN, "$SYS/broker", True, False),
        (ANN, "in box", False, True),
        (ANN, "up/ann/a1", False, True),
        (ANN, "up/ann/b1", False, False),
        (ANN, "up/bob/a1", False, False),
        (ANN, "down/ann/x/y", True, False),
        (ANN, "down/ann/secret", False, False),
        (BOB, "home/hall/light", True, True),
        (BOB, "home/hall", False, False),
        (BOB, "down/bob", True, False),
        (Identity("b1", "+"), "up/ann/b1", False, False),
        (Identity("#", "ann"), "up/ann/x", False, False),
        (Identity("b1", "ann/x"), "down/ann/x/y", True, False),
        (Identity("c/1", "ann"), "up/ann/c/1", False, False),
        (Identity("c/1", "ann"), "down/ann/c", True, False),
    ],
)
def test_what_lines_allow(acl: Acl, who: Identity, topic: str, read: bool, write: bool) -> None:
    for _ in "twice", "remembered":
        assert acl.may_receive(who, topic) == read
        assert acl.may_publish(who, topic) == write


@pytest.mark.parametrize(
    ("who", "name", "allowed"),
    [
        (ANN, "home/#", True),
        (ANN, "#", True),
        (ANN, "+/safe/#", True),
        (ANN, "home/safe/+", False),
        (ANN, "home/safe", False),
        (ANN, "news/#", False),
        (ANN, "in box", False),
        (ANN, "$SYS/broker/#", True),
        (ANN, "down/ann/secret", False),
        (BOB, "home/+/+", True),
        (BOB, "home/hall", False),
        (BOB, "$SYS/#", False),
        (NOBODY, "+/today", True),
        (NOBODY, "home/#", False),
    ],
)
def test_a_filter_that_can_bring_nothing_is_refused(acl: Acl, who: Identity, name: str, allowed: bool) -> None:
    assert acl.may_subscribe(who, name) == allowed


def test_what_is_remembered_is_bounded(acl: Acl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqtt.acl._REMEMBERED", 100)
    monkeypatch.setattr("mqtt.acl._CLIENTS", 30)

    def remembered() -> int:
        return sum(len(client.decisions) for client in acl._clients.values())

    for number in range(250):
        assert acl.may_publish(ANN, f"home/{number}")
        assert remembered() == acl._decisions <= 100
    for number in range(100):
        assert acl.may_receive(Identity(f"c{number}", "bob"), "down/bob")
        assert remembered() == acl._decisions <= 100
        assert len(acl._clients) <= 30


def test_another_user_with_the_same_client_identifier_is_another_one(acl: Acl) -> None:
    for _ in "twice", "remembered":
        assert acl.may_publish(Identity("c", "ann"), "home/x")
        assert not acl.may_publish(Identity("c", "bob"), "home/x")
        assert not acl.may_publish(Identity("c"), "home/x")


LEVELS = st.sampled_from(["a", "b", "", "$x"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
FILTERS = st.tuples(st.lists(st.sampled_from(["a", "b", "", "$x", "+"]), max_size=3), st.sampled_from([["#"], ["+"], ["a"]])).map(
    lambda parts: "/".join([*parts[0], *parts[1]])
)


@given(FILTERS, FILTERS, TOPICS)
def test_relations_of_filters_agree_with_matching(one: str, other: str, topic: str) -> None:
    assert overlap(one, other) == overlap(other, one)
    if matches(one, topic) and matches(other, topic):
        assert overlap(one, other)
    if covers(one, other) and matches(other, topic):
        assert matches(one, topic)


RULES = st.lists(
    st.tuples(st.sampled_from(["topic", "pattern"]), st.sampled_from(["read", "write", "readwrite", "deny"]), FILTERS), max_size=5
)


@given(RULES, FILTERS, TOPICS)
def test_who_may_receive_may_subscribe(rules: list[tuple[str, str, str]], name: str, topic: str) -> None:
    acl = Acl(parse(["user x", *(" ".join(rule) for rule in rules)], "acl"))
    if matches(name, topic) and acl.may_receive(Identity("c", "x"), topic):
        assert acl.may_subscribe(Identity("c", "x"), name)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("topics read a", "`topics` is not known"),
        ("user", "`user` needs a name"),
        ("topic", "here is no topic"),
        ("topic read", "here is no topic"),
        ("topic reads a/b", "`reads` is not known"),
        ("topic read a/#/b", "`a/#/b` is no topic filter: # must be a whole level"),
        ("topic a+", "`a+` is no topic filter: + must be a whole level"),
        ("pattern read a/x%u", "%u must be a whole level"),
        ("pattern read %c%u", "%c must be a whole level"),
    ],
)
def test_what_is_refused_names_its_line(line: str, problem: str) -> None:
    with pytest.raises(AccessFileError) as refused:
        parse(["# rights", line], "acl")
    assert str(refused.value).startswith("acl: line 2: ")
    assert problem in str(refused.value)


def test_what_may_be_a_secret_in_the_wrong_file_is_not_shown() -> None:
    with pytest.raises(AccessFileError, match="line 1: what stands at the beginning is not known") as refused:
        parse(["ann:$7$101$c2FsdA==$aGFzaA=="], "passwords")
    assert "$7$" not in str(refused.value)


def test_a_client_that_calls_itself_a_dollar_topic_gets_none() -> None:
    acl = Acl(parse(["pattern readwrite %c/#", "pattern deny %c/x", "pattern read $SYS/%c/#"], "acl"))
    for name in ("$SYS", "$hw"):
        eve = Identity(name)
        assert not acl.may_publish(eve, f"{name}/events/upload/x")
        assert not acl.may_receive(eve, f"{name}/broker/version")
        assert acl.may_receive(eve, f"$SYS/{name}/load")
    assert not acl.may_subscribe(Identity("$hw"), "$hw/#")
    assert acl.may_publish(NOBODY, "x/y")


@given(st.text(max_size=60))
def test_any_line_is_taken_or_refused_with_its_number(line: str) -> None:
    try:
        parse([line], "acl")
    except AccessFileError as error:
        assert "line 1" in str(error)


@given(RULES, st.sampled_from([ANN, BOB, NOBODY]), TOPICS)
def test_rules_found_by_index_are_those_that_match(rules: list[tuple[str, str, str]], who: Identity, topic: str) -> None:
    lines = [" ".join(rule) for rule in rules]
    layers: dict[str, list[str]] = {"topic": [], "pattern": []}
    for word, kind, name in rules:
        if matches(name, topic) and (word == "pattern" or who is ANN):
            layers[word].append(kind)
    allowed: set[str] = set()
    for kinds in layers.values():
        if "deny" in kinds:
            break
        allowed |= {word for kind in kinds for word in ("read", "write") if word in kind}
    acl = Acl(parse(["user ann", *lines], "acl"))
    assert ("read" in allowed, "write" in allowed) == (acl.may_receive(who, topic), acl.may_publish(who, topic))
