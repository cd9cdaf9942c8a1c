"""Structural schemas: no JSON breaks them, and what went through once comes through again unchanged."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcore.apiserver import schema as shapes
from cloudcore.apiserver.crd import defaulting, embedded, jsonpath, list_types, pruning, schema_rules, validation
from cloudcore.apiserver.crd.automaton import TooMuchWork
from cloudcore.apiserver.crd.columns import printer
from cloudcore.apiserver.crd.structural import compile_schema

KEYS = st.sampled_from(["a", "b", "c", "name", "metadata", "kind", "apiVersion", "spec"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "bb"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "minimum": st.integers(-2, 2),
        "maximum": st.floats(-2, 2),
        "exclusiveMaximum": st.booleans(),
        "multipleOf": st.sampled_from([0, 1, 0.5, 1e-320]),
        "maxLength": st.integers(0, 2),
        "minLength": st.integers(0, 2),
        "pattern": st.sampled_from(["a", "^b+$", "("]),
        "maxItems": st.integers(0, 2),
        "minProperties": st.integers(0, 2),
        "required": st.lists(KEYS, max_size=2),
        "enum": st.lists(JSON, max_size=2),
        "format": st.sampled_from(["date-time", "uri", "ipv4", "int32", "unheard", "byte"]),
    },
)
TYPES = st.sampled_from(["", "object", "array", "string", "integer", "number", "boolean"])


def _nodes(inner: Any) -> Any:
    return st.builds(
        lambda conditions, rest, type_: {**conditions, **rest, **({"type": type_} if type_ else {})},
        CONDITIONS,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(KEYS, inner, max_size=3),
                "additionalProperties": inner | st.booleans(),
                "items": inner,
                "nullable": st.booleans(),
                "default": JSON,
                "x-kubernetes-preserve-unknown-fields": st.booleans(),
                "x-kubernetes-embedded-resource": st.booleans(),
                "x-kubernetes-int-or-string": st.booleans(),
                "x-kubernetes-list-type": st.sampled_from(["set", "map", "atomic"]),
                "x-kubernetes-list-map-keys": st.just(["name"]),
                "oneOf": st.lists(CONDITIONS, max_size=2),
                "anyOf": st.lists(CONDITIONS, max_size=2),
                "not": CONDITIONS,
            },
        ),
        TYPES,
    )


SCHEMAS = st.recursive(CONDITIONS, _nodes, max_leaves=6)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)


@settings(max_examples=60, deadline=None)
@given(props=SCHEMAS, value=OBJECTS, before=OBJECTS)
def test_no_object_breaks_a_schema(props: dict[str, Any], value: dict[str, Any], before: dict[str, Any]) -> None:
    schema = compile_schema(props)
    untouched = copy.deepcopy(value)
    clean, unknown = pruning.prune(value, schema)
    assert value == untouched
    assert unknown == sorted(unknown)
    again, nothing = pruning.prune(clean, schema)
    assert (again, nothing) == (clean, [])
    filled = copy.deepcopy(clean)
    defaulting.fill(filled, schema)
    for one in (value, filled):
        for fault in validation.problems(one, schema) + list_types.problems(one, schema) + embedded.problems(one, schema):
            assert str(fault)
            json.dumps(fault.to_cause())
    assert validation.problems(value, schema, copy.deepcopy(value)) == [], "what has not changed is not held against its writer"
    validation.problems(value, schema, before)


PLAIN_DEFAULTS = st.recursive(
    st.fixed_dictionaries({}, optional={"default": st.integers(-3, 3) | st.text(max_size=2), "nullable": st.booleans()}),
    lambda inner: st.fixed_dictionaries(
        {"properties": st.dictionaries(KEYS, inner, max_size=3)}, optional={"items": inner, "default": st.just({})}
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(props=PLAIN_DEFAULTS, value=OBJECTS)
def test_defaults_are_filled_in_once(props: dict[str, Any], value: dict[str, Any]) -> None:
    schema = compile_schema(props)
    defaulting.fill(value, schema)
    filled = copy.deepcopy(value)
    defaulting.fill(value, schema)
    assert value == filled


@settings(max_examples=60, deadline=None)
@given(props=SCHEMAS)
def test_no_schema_breaks_the_rules_of_schemas(props: dict[str, Any]) -> None:
    clean, _ = shapes.conform("JSONSchemaProps", props)
    for fault in schema_rules.problems(clean, "schema"):
        assert str(fault).startswith("schema")


@settings(max_examples=60, deadline=None)
@given(
    value=OBJECTS,
    path=st.text(alphabet=".ab[]?@=\"'*()0-1:\\", max_size=12),
    type_=st.sampled_from(["string", "integer", "date"]),
)
def test_no_path_breaks_a_table(value: dict[str, Any], path: str, type_: str) -> None:
    _, cells = printer([{"name": "x", "type": type_, "jsonPath": path}])
    assert len(cells({**value, "metadata": {"name": "a"}}, 0.0)) == 2


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        (".list[0].k", ["x"]),
        (".list[-1].k", ["y"]),
        (".list[*].k", ["x", "y"]),
        ('.list[?(@.k=="y")].v', [2]),
        (".list[?(@.v>1)].k", ["y"]),
        (".list[?(@.w)].k", []),
        (".a['b']", [1]),
        (".labels.example\\.com/a", ["z"]),
        (".nothing.here", []),
        ("a b", []),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    obj = {"a": {"b": 1}, "list": [{"k": "x", "v": 1}, {"k": "y", "v": 2}], "labels": {"example.com/a": "z"}}
    assert jsonpath.find(obj, path) == found


def test_the_order_of_keys_makes_no_difference() -> None:
    schema = compile_schema({"type": "object", "enum": [{"a": 1, "b": 2}]})
    assert not validation.problems({"b": 2, "a": 1}, schema)
    assert validation.problems({"b": 2, "a": True}, schema)
    assert not validation.problems({"b": 5, "a": 1}, schema, old={"a": 1, "b": 5}), "what was there before is not held against it"


def test_no_object_costs_more_than_one_object_may(monkeypatch: pytest.MonkeyPatch) -> None:
    alternatives = [{"required": [f"f{number}"]} for number in range(20)]
    schema = compile_schema({"type": "array", "items": {"type": "object", "oneOf": alternatives}})
    items = [{"f19": 1}] * 100
    assert not validation.problems(items, schema)
    monkeypatch.setattr(validation, "CHECKS", 2000)
    assert "asks more than" in str(validation.problems(items, schema)[0])


def test_all_patterns_of_one_object_share_their_steps() -> None:
    """Each string alone may cost half a second."""
    schema = compile_schema({"type": "array", "items": {"type": "string", "pattern": "^[ab]*a[ab]{14}$"}})
    texts = [f"{number:016b}".replace("0", "a").replace("1", "b") for number in range(3)]
    assert len(validation.problems(texts, schema)) < len(texts), "some of them match"
    budget = [10_000]
    assert schema.items is not None
    assert schema.items.matcher is not None
    with pytest.raises(TooMuchWork):
        for number in range(10_000):
            schema.items.matcher.search(f"{number:0100b}".replace("0", "a").replace("1", "b"), budget)
    assert budget[0] < 0
