"""RFC 6902; the cases A.1 to A.16 are those of the RFC's appendix."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.patch import MalformedPatch, PatchDoesNotApply, PatchError, json_patch, merge_patch


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        pytest.param({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}, id="A.1"),
        pytest.param(
            {"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}, id="A.2"
        ),
        pytest.param({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}, id="A.3"),
        pytest.param({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}, id="A.4"),
        pytest.param({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}, id="A.5"),
        pytest.param(
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
            id="A.6",
        ),
        pytest.param(
            {"foo": [1, 2, 3, 4]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}], {"foo": [1, 3, 4, 2]}, id="A.7"
        ),
        pytest.param(
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
            {"baz": "qux", "foo": ["a", 2, "c"]},
            id="A.8",
        ),
        pytest.param(
            {"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"x": {}}}], {"foo": "bar", "child": {"x": {}}}, id="A.10"
        ),
        pytest.param(
            {"foo": "bar"}, [{"op": "add", "path": "/baz", "value": 1, "xyz": 123}], {"foo": "bar", "baz": 1}, id="A.11"
        ),
        pytest.param({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}, id="A.14"),
        pytest.param({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["a"]}], {"foo": ["bar", ["a"]]}, id="A.16"),
        pytest.param({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}, id="whole"),
        pytest.param(
            {"a": {"b": 1}},
            [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "replace", "path": "/c/b", "value": 2}],
            {"a": {"b": 1}, "c": {"b": 2}},
            id="a copy is its own",
        ),
        pytest.param({}, [{"op": "test", "path": "/gone", "value": None}], {}, id="absent is null"),
        pytest.param({"": 1}, [{"op": "remove", "path": "/"}], {}, id="an empty key"),
        pytest.param([1, 2], [{"op": "add", "path": "/2", "value": 3}], [1, 2, 3], id="at the end"),
    ],
)
def test_patches(document: Any, operations: Any, expected: Any) -> None:
    before = copy.deepcopy(document)
    assert json_patch(document, operations) == expected
    assert document == before


@pytest.mark.parametrize(
    ("document", "operation"),
    [
        ({"baz": "qux"}, {"op": "test", "path": "/baz", "value": "bar"}),
        ({"foo": "bar"}, {"op": "add", "path": "/baz/bat", "value": "qux"}),
        ({"~1": 10}, {"op": "test", "path": "/~01", "value": "10"}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": True}),
        ({"a": [1]}, {"op": "test", "path": "/a", "value": [True]}),
        ({"a": {"b": 1}}, {"op": "test", "path": "/a", "value": {"b": True}}),
        ({}, {"op": "remove", "path": "/a"}),
        ({"a": [1]}, {"op": "remove", "path": "/a/1"}),
        ({"a": [1]}, {"op": "remove", "path": "/a/-"}),
        ({"a": [1]}, {"op": "remove", "path": "/a/00"}),
        ({"a": [1]}, {"op": "remove", "path": "/a/-2"}),
        ({"a": []}, {"op": "remove", "path": "/a/-1"}),
        ({}, {"op": "replace", "path": "/a/b", "value": 1}),
        ({"a": [1]}, {"op": "add", "path": "/a/2", "value": 1}),
        ({"a": [1]}, {"op": "add", "path": "/a/x", "value": 1}),
        ({"a": [1]}, {"op": "add", "path": "/a/\u0661", "value": 1}),
        ({"a": "text"}, {"op": "add", "path": "/a/0", "value": 1}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a", "path": "/a/b"}),
        ({"a": 1}, {"op": "copy", "from": "/b", "path": "/c"}),
    ],
)
def test_patches_that_do_not_fit(document: Any, operation: Any) -> None:
    with pytest.raises(PatchDoesNotApply):
        json_patch(document, [operation])


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        ({}, {"op": "replace", "path": "/a", "value": 1}, {"a": 1}),
        ({}, {"op": "add", "path": "/a"}, {"a": None}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/-1"}, {"a": [1]}),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/-1", "value": 3}, {"a": [1, 2, 3]}),
    ],
)
def test_where_kubernetes_is_more_lenient_than_the_rfc(document: Any, operation: Any, expected: Any) -> None:
    assert json_patch(document, [operation]) == expected


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ({"op": "test", "path": "/data/k", "value": "w"}, "testing value /data/k failed: test failed"),
        ({"op": "test", "path": "/data/z", "value": "w"}, "testing value /data/z failed: test failed"),
        (
            {"op": "remove", "path": "/data/z"},
            "error in remove for path: '/data/z': Unable to remove nonexistent key: z: missing value",
        ),
        ({"op": "add", "path": "/no/z", "value": 1}, 'add operation does not apply: doc is missing path: "/no/z": missing value'),
        (
            {"op": "add", "path": "/list/5", "value": 1},
            "error in add for path: '/list/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        (
            {"op": "add", "path": "/list/x", "value": 1},
            "error in add for path: '/list/x': value was not a proper array index: 'x': "
            'strconv.Atoi: parsing "x": invalid syntax',
        ),
        ({"op": "frob", "path": "/data"}, "Unexpected kind: frob"),
    ],
)
def test_the_texts_are_those_of_kubernetes(operation: Any, text: str) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"data": {"k": "v"}, "list": [1]}, [operation])
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "operations",
    [
        None,
        {},
        "text",
        [1],
        [{}],
        [{"op": "merge", "path": "/a"}],
        [{"op": ["add"], "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": 1, "value": 1}],
        [{"op": "add", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "remove", "path": "/a"}] * 10_001,
    ],
)
def test_what_is_no_patch(operations: Any) -> None:
    with pytest.raises(MalformedPatch):
        json_patch({"a": 1}, operations)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
_pointers = st.lists(st.sampled_from(["a", "b", "0", "1", "-", ""]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
_operations = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "?"]), "path": _pointers},
        optional={"value": _json, "from": _pointers},
    ),
    max_size=4,
)


@given(_json, _operations | _json)
def test_a_patch_applies_or_says_why_and_harms_nothing(document: Any, operations: Any) -> None:
    before, asked = copy.deepcopy(document), copy.deepcopy(operations)
    try:
        json_patch(document, operations)
    except PatchError as error:
        assert str(error)
    assert (document, operations) == (before, asked)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_rfc(document: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(document, patch) == expected


@given(_json, _json)
def test_a_merge_patch_is_idempotent_and_harms_nothing(document: Any, patch: Any) -> None:
    before, asked = copy.deepcopy(document), copy.deepcopy(patch)
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
    assert (document, patch) == (before, asked)
