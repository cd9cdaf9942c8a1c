from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube import selectors
from kube.selectors import LabelSelector, Requirement, SelectorError, parse_fields, parse_labels


def labelled(**found: str) -> dict[str, Any]:
    return {"metadata": {"labels": found}}


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("", [{}, {"a": "b"}], []),
        ("a=b", [{"a": "b"}], [{}, {"a": "c"}]),
        ("a==b", [{"a": "b"}], [{}, {"a": "c"}]),
        ("a!=b", [{}, {"a": "c"}], [{"a": "b"}]),
        ("a in (x, y)", [{"a": "x"}, {"a": "y"}], [{}, {"a": "z"}]),
        ("a notin (x,y)", [{}, {"a": "z"}], [{"a": "x"}]),
        ("a in (,x)", [{"a": ""}, {"a": "x"}], [{}, {"a": "z"}]),
        ("a in ()", [{"a": ""}], [{}, {"a": "z"}]),
        ("a", [{"a": ""}, {"a": "x"}], [{}]),
        ("!a", [{}], [{"a": ""}]),
        ("a>5", [{"a": "6"}], [{"a": "5"}, {"a": "x"}, {}]),
        ("a<5", [{"a": "4"}], [{"a": "5"}, {}]),
        ("a=", [{"a": ""}], [{}, {"a": "x"}]),
        ("a=b,c!=d,!e", [{"a": "b"}], [{"a": "b", "c": "d"}, {"a": "b", "e": ""}]),
        ("node-role.kubernetes.io/edge=", [{"node-role.kubernetes.io/edge": ""}], [{}]),
        ("in in (in,notin)", [{"in": "notin"}], [{"in": "x"}]),
    ],
)
def test_labels(text: str, yes: list[dict[str, str]], no: list[dict[str, str]]) -> None:
    selector = parse_labels(text)
    assert all(selector.matches(labelled(**found)) for found in yes)
    assert not any(selector.matches(labelled(**found)) for found in no)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a=b,", "found '', expected: identifier after ','"),
        (",a", "found ','"),
        ("a in b", "found 'b' expected: '('"),
        ("a in (b", "found '', expected: ',' or ')'"),
        ("=b", "found '='"),
        ("!", "found ''"),
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=b=c", "found '='"),
        ("a>b", "the value must be an integer"),
        ("-a=b", "name part must consist of"),
        ("A/b/c=d", "name part must consist of"),
        ("a=-b", "a valid label must be"),
        ("a=" + "b" * 64, "a valid label must be"),
    ],
)
def test_label_selectors_that_cannot_be_read(text: str, fault: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_labels(text)
    assert fault in str(caught.value)


_words = st.from_regex(r"[a-z]([a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True)
_requirements = st.one_of(
    st.builds(Requirement, _words, st.sampled_from(["exists", "!"])),
    st.builds(Requirement, _words, st.sampled_from(["=", "!="]), st.tuples(_words)),
    st.builds(
        Requirement, _words, st.sampled_from(["in", "notin"]), st.lists(_words, min_size=1, unique=True).map(sorted).map(tuple)
    ),
    st.builds(Requirement, _words, st.sampled_from(["gt", "lt"]), st.tuples(st.integers(0, 99).map(str))),
)


@given(st.lists(_requirements, max_size=4))
def test_a_selector_reads_back(requirements: list[Requirement]) -> None:
    text = ",".join(str(requirement) for requirement in requirements)
    parsed = parse_labels(text)
    assert sorted(map(str, parsed.requirements)) == sorted(map(str, requirements))
    assert parse_labels(str(parsed)) == parsed


@given(st.text(alphabet="ab=!(), <>innotin/\\\x00", max_size=30))
def test_no_text_does_harm(text: str) -> None:
    for parse in (parse_labels, parse_fields):
        try:
            parse(text)
        except SelectorError:
            pass


def test_selector_objects() -> None:
    selector = selectors.from_object(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "zone", "operator": "NotIn", "values": ["c"]},
                {"key": "app", "operator": "Exists"},
            ],
        }
    )
    assert selector.matches(labelled(app="web", tier="a"))
    assert not selector.matches(labelled(app="web", tier="c"))
    assert not selector.matches(labelled(app="web", tier="a", old=""))
    assert not selector.matches(labelled(app="web", tier="a", zone="c"))


def test_no_selector_object_matches_nothing_an_empty_one_everything() -> None:
    assert not selectors.from_object(None).matches({})
    assert selectors.from_object({}).matches({})
    assert not LabelSelector()
    assert selectors.from_object(None)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"key": "a", "operator": "Is"},
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["b"]},
    ],
)
def test_selector_objects_that_cannot_be_read(entry: object) -> None:
    with pytest.raises(SelectorError):
        selectors.from_object({"matchExpressions": [entry]})


POD = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"nodeName": "edge-1"}, "status": {"phase": "Running"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metadata.name=web", True),
        ("metadata.name==web,spec.nodeName=edge-1", True),
        ("spec.nodeName!=edge-1", False),
        ("spec.nodeName=", False),
        ("status.podIP=", True),
        ("spec.unschedulable=false", True),
        ("spec.nodeName.deeper=", True),
    ],
)
def test_fields(text: str, expected: bool) -> None:
    assert parse_fields(text).matches(POD) is expected


@pytest.mark.parametrize("text", ["metadata.name", "a=b,c"])
def test_field_selectors_that_cannot_be_read(text: str) -> None:
    with pytest.raises(SelectorError, match="invalid selector: "):
        parse_fields(text)


@given(st.lists(st.tuples(st.sampled_from(["a.b", "c"]), st.text(), st.booleans()), max_size=3).map(tuple))
def test_a_field_selector_reads_back(terms: tuple[tuple[str, str, bool], ...]) -> None:
    assert parse_fields(str(selectors.FieldSelector(terms))).terms == terms


def test_what_a_field_selector_asks_for() -> None:
    selector = parse_fields("metadata.name=web,spec.nodeName!=x")
    assert selector.keys == {"metadata.name", "spec.nodeName"}
    assert selector.required("metadata.name") == "web"
    assert selector.required("spec.nodeName") is None
