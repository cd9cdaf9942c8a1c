from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beehive.message import MalformedMessage, Message, build
from edgecore.metamanager import rules
from edgecore.metamanager.rules import Action, Arrival, Doubt, Version, arrival, decide, decide_answer


def upsert(uid: str = "u", version: str = "5", *, message: str = "m1", elsewhere: bool = False) -> Arrival:
    return Arrival(message, False, Version(uid, version), elsewhere)


def delete(uid: str = "u") -> Arrival:
    return Arrival("m1", True, Version(uid, ""))


@pytest.mark.parametrize(
    ("stored", "new", "action", "notify"),
    [
        (None, upsert(), Action.STORE, True),
        (None, upsert(elsewhere=True), Action.NOTHING, False),
        (Version("u", "4"), upsert(), Action.STORE, True),
        (Version("u", "5"), upsert(), Action.NOTHING, False),
        (Version("u", "6"), upsert(), Action.NOTHING, False),
        (Version("u", "10"), upsert(version="9"), Action.NOTHING, False),
        (Version("other", "6"), upsert(), Action.STORE, True),
        (Version("u", ""), upsert(), Action.STORE, True),
        (Version("u", "x"), upsert(version="x"), Action.STORE, True),
        (Version(), upsert(), Action.STORE, True),
        (None, delete(), Action.NOTHING, True),
        (Version("u", "9"), delete(), Action.DELETE, True),
        (Version("u", "9"), delete(""), Action.DELETE, True),
        (Version("", "9"), delete(), Action.DELETE, True),
        (Version("new", "9"), delete("old"), Action.NOTHING, False),
    ],
)
def test_the_table(stored: Version | None, new: Arrival, action: Action, notify: bool) -> None:
    effect = decide(stored, new)
    assert (effect.action, effect.notify) == (action, notify)


@pytest.mark.parametrize(
    ("doubt", "now", "believed"),
    [
        (None, 100.0, False),
        (Doubt("5", "m1", 0.0), 100.0, False),  # the same message, resent
        (Doubt("5", "m0", 95.0), 100.0, False),  # too soon
        (Doubt("4", "m0", 0.0), 100.0, False),  # another version
        (Doubt("5", "m0", 0.0), 100.0, True),
    ],
)
def test_an_older_version_is_believed_when_the_cloud_insists(doubt: Doubt | None, now: float, believed: bool) -> None:
    for effect in (
        decide(Version("u", "9"), upsert(), doubt=doubt, now=now),
        decide(None, upsert(), buried=True, doubt=doubt, now=now),
    ):
        assert (effect.action is Action.STORE) == believed
        assert effect.doubt != believed


versions = st.builds(Version, st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2", "10", "x", "٣"]))


@given(st.none() | versions, versions, st.booleans(), st.booleans(), st.booleans())
def test_a_stored_version_never_goes_back_without_insistence(
    stored: Version | None, new: Version, is_delete: bool, elsewhere: bool, buried: bool
) -> None:
    effect = decide(stored, Arrival("m", is_delete, new, elsewhere and not is_delete), buried=buried)
    assert (effect.action is Action.DELETE) <= is_delete
    if effect.action is Action.STORE and stored is not None and stored.uid == new.uid:
        assert rules.is_older(new.resource_version, stored.resource_version) is not True
    if effect.action is Action.STORE:
        assert effect.notify


@pytest.mark.parametrize(
    ("stored", "answer", "must_exist", "buried", "kept"),
    [
        (None, Version("u", "5"), True, False, False),
        (None, Version("u", "5"), False, False, True),
        (None, Version("u", "5"), False, True, False),
        (Version("u", "4"), Version("u", "5"), True, False, True),
        (Version("u", "6"), Version("u", "5"), True, False, False),
        (Version("other", "4"), Version("u", "5"), True, False, False),
        (Version("other", "4"), Version("u", "5"), False, False, True),
    ],
)
def test_answers(stored: Version | None, answer: Version, must_exist: bool, buried: bool, kept: bool) -> None:
    assert decide_answer(stored, answer, must_exist=must_exist, buried=buried) == kept


def message(operation: str, content: object, version: str = "") -> Message:
    return build(source="s", group="resource", operation=operation, resource="d/pod/p", content=content, resource_version=version)


def test_arrival_reads_the_object_and_falls_back_to_the_header() -> None:
    found = arrival(message("update", {"metadata": {"uid": "u"}, "spec": {"nodeName": "n"}}, "7"), "pod", "n")
    assert found.version == Version("u", "7")
    assert not found.elsewhere
    assert arrival(message("update", {"metadata": {"uid": "u"}, "spec": None}), "pod", "n").elsewhere
    assert not arrival(message("update", {"metadata": {"uid": "u"}, "spec": None}), "configmap", "n").elsewhere
    assert arrival(message("delete", None), "pod", "n").delete


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metadata", "spec", "uid", "resourceVersion", "nodeName"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.sampled_from(["insert", "update", "delete"]), json_values)
def test_no_content_breaks_it(operation: str, content: object) -> None:
    try:
        found = arrival(message(operation, content), "pod", "n")
    except MalformedMessage:
        return
    assert isinstance(found.version.uid, str)


@given(st.binary(max_size=60))
def test_no_bytes_break_it(data: bytes) -> None:
    try:
        rules.version_of(data)
        rules.node_name_of(data)
    except MalformedMessage:
        return
    json.loads(data)
