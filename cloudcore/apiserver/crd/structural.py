"""Structural schemas, compiled once from a definition so that objects are checked without looking at raw JSON again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cloudcore.apiserver.crd.automaton import Pattern, compiled
from cloudcore.apiserver.crd.pattern import PatternError
from kube.objects import Object

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
"""Stands for "not there", which is not null."""

_BOUNDS = ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


@dataclass(slots=True)
class Schema:
    """One node. ``type`` "" is any; ``additional`` None: unknown keys are pruned, a schema: they are checked by it."""

    type: str = ""
    nullable: bool = False
    properties: dict[str, Schema] = field(default_factory=dict)
    additional: Schema | bool | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    preserve: bool = False
    embedded: bool = False
    int_or_string: bool = False
    default: Any = MISSING
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    format: str = ""
    enum: list[Any] | None = None
    allowed: frozenset[bytes] = frozenset()
    """The identities of what is in enum."""
    pattern: str = ""
    matcher: Pattern | None = None
    bounds: dict[str, float] = field(default_factory=dict)
    """Of minimum, maxLength and their like, those that are set."""
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    all_of: tuple[Schema, ...] = ()
    any_of: tuple[Schema, ...] = ()
    one_of: tuple[Schema, ...] = ()
    not_: Schema | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """What a value may be; () for anything."""
        if self.int_or_string:
            return ("integer", "string")
        return (self.type,) if self.type else ()


def identity(value: Any) -> bytes:
    """The same for equal values of the same types, in whatever order their keys stand: 1 is not true."""
    return msgspec.json.encode(value, order="deterministic")


def anywhere(schema: Schema, holds: Callable[[Schema], bool]) -> bool:
    """Whether something holds of any node that objects are walked by: rules that concern none need not be asked."""
    below = [*schema.properties.values(), schema.items, schema.additional]
    return holds(schema) or any(anywhere(inner, holds) for inner in below if isinstance(inner, Schema))


def compile_schema(props: Object) -> Schema:
    """``props`` is a JSONSchemaProps that has passed its shape."""
    additional = props.get("additionalProperties")
    return Schema(
        type=props.get("type", ""),
        nullable=props.get("nullable", False),
        properties={key: compile_schema(inner) for key, inner in props.get("properties", {}).items()},
        additional=compile_schema(additional) if isinstance(additional, dict) else additional,
        items=compile_schema(props["items"]) if "items" in props else None,
        required=tuple(props.get("required", ())),
        preserve=props.get("x-kubernetes-preserve-unknown-fields", False),
        embedded=props.get("x-kubernetes-embedded-resource", False),
        int_or_string=props.get("x-kubernetes-int-or-string", False),
        default=props.get("default", MISSING),
        list_type=props.get("x-kubernetes-list-type", "atomic"),
        list_keys=tuple(props.get("x-kubernetes-list-map-keys", ())),
        format=props.get("format", ""),
        enum=props.get("enum"),
        allowed=frozenset(map(identity, props.get("enum") or ())),
        pattern=props.get("pattern", ""),
        matcher=_matcher(props.get("pattern", "")),
        bounds={key: props[key] for key in _BOUNDS if key in props},
        exclusive_minimum=props.get("exclusiveMinimum", False),
        exclusive_maximum=props.get("exclusiveMaximum", False),
        all_of=_each(props, "allOf"),
        any_of=_each(props, "anyOf"),
        one_of=_each(props, "oneOf"),
        not_=compile_schema(props["not"]) if "not" in props else None,
    )


def _each(props: Object, key: str) -> tuple[Schema, ...]:
    return tuple(compile_schema(inner) for inner in props.get(key, ()))


def _matcher(pattern: str) -> Pattern | None:
    """A stored definition may hold a pattern that an older version of this program took: it matches everything."""
    try:
        return compiled(pattern) if pattern else None
    except PatternError:
        return None
