"""What is wrong with an object by its schema, in the words of an API server.

Texts: Kubernetes 1.34: kube-openapi/pkg/validation/errors, apiextensions-apiserver/pkg/apiserver/validation. On an update
what has not changed is not held against the writer (KEP-4008, ratcheting).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from cloudcore.apiserver.crd import formats
from cloudcore.apiserver.crd.automaton import WORK, TooMuchWork
from cloudcore.apiserver.crd.numbers import shown
from cloudcore.apiserver.crd.structural import MISSING, Schema, identity
from kube import field_errors
from kube.field_errors import FieldError

_TYPES = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}
"""What most values are at first sight."""
CHECKS: Final = 4_000_000
"""How often a value of one object may be held against a part of the schema: some ten seconds. 3 MiB of JSON hold 1.5 million
values, so that it takes many alternatives for each of them to ask for more."""
STEPS: Final = 20 * WORK
"""Of all patterns on all strings of one object."""
FAULTS = 100
"""How many faults of one object are told; one list of many wrong items would fill a message otherwise."""


def problems(value: Any, schema: Schema, old: Any = MISSING) -> list[FieldError]:
    """``old`` is the state before an update."""
    found = _Found(_Budget(CHECKS, [STEPS]))
    try:
        _check(value, schema, "", found, old)
    except _Spent:
        found.faults.insert(0, field_errors.invalid("<nil>", "", f"the schema asks more than {CHECKS} questions about it"))
    return found.faults[:FAULTS]


class _Spent(Exception):
    """An object costs more than one object may."""


@dataclass
class _Budget:
    """What is left of the checks, and of the steps of patterns, for one object."""

    checks: int
    steps: list[int]

    def take(self) -> None:
        self.checks -= 1
        if self.checks < 0:
            raise _Spent


@dataclass
class _Found:
    budget: _Budget
    faults: list[FieldError] = field(default_factory=list)
    good: int = 0
    """Checks that went well: the alternative with the most of them is the one that was meant."""

    def invalid(self, path: str, value: Any, text: str) -> None:
        self.faults.append(field_errors.invalid(path, value, text))

    def add(self, other: _Found) -> None:
        self.faults += other.faults
        self.good += other.good


def type_of(value: Any) -> str:
    """The JSON type; a whole number is an integer however it is written."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _same(one: Any, other: Any) -> bool:
    """Equal also in type: 1 is not true."""
    return bool(one == other) and identity(one) == identity(other)


def _check(value: Any, schema: Schema, path: str, found: _Found, old: Any = MISSING) -> None:
    found.budget.take()
    if old is not MISSING and _same(value, old):
        return
    if schema.type == "" or _TYPES.get(type(value)) != schema.type:
        _check_type(value, schema, path, found)
    if schema.enum is not None:
        _check_enum(value, schema, path, found)
    if value is None:
        return
    if schema.any_of or schema.one_of or schema.all_of or schema.not_ is not None:
        _check_alternatives(value, schema, path, found)
    match value:
        case bool():
            pass
        case str():
            _check_string(value, schema, path, found)
        case int() | float():
            _check_number(value, schema, path, found)
        case list():
            _check_list(value, schema, path, found, old)
        case dict():
            _check_object(value, schema, path, found, old)
    found.good += 1


def _check_type(value: Any, schema: Schema, path: str, found: _Found) -> None:
    wanted, actual = schema.types, type_of(value)
    if not wanted or actual in wanted or (actual == "integer" and "number" in wanted):
        return
    if value is None and schema.nullable:
        return
    actual = "number" if isinstance(value, float) else actual
    names = ",".join(wanted)
    text = f'{path} in body must be of type {names}: "{actual}"'
    found.faults.append(field_errors.wrong_type(path, actual, text))


def _check_enum(value: Any, schema: Schema, path: str, found: _Found) -> None:
    if schema.enum is None or identity(value) in schema.allowed:
        return
    allowed = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in schema.enum]
    found.faults.append(field_errors.not_supported(path, value, allowed))


def _check_string(value: str, schema: Schema, path: str, found: _Found) -> None:
    bounds = schema.bounds
    if len(value) > bounds.get("maxLength", math.inf):
        found.faults.append(field_errors.too_long(path, int(bounds["maxLength"])))
    elif len(value) < bounds.get("minLength", 0):
        found.invalid(path, value, f"{path} in body should be at least {int(bounds['minLength'])} chars long")
    elif schema.matcher is not None and not _matches(schema, value, found.budget):
        found.invalid(path, value, f"{path} in body should match '{schema.pattern}'")
    if schema.format and schema.type in ("string", "") and not formats.fits(schema.format, value):
        text = f"{path} in body must be of type {schema.format}: {json.dumps(value, ensure_ascii=False)}"
        found.faults.append(field_errors.wrong_type(path, value, text))


def _matches(schema: Schema, value: str, budget: _Budget) -> bool:
    try:
        return schema.matcher is None or schema.matcher.search(value, budget.steps)
    except TooMuchWork:
        return False  # what cannot be matched in bounded time is refused, not believed


def _check_number(value: float, schema: Schema, path: str, found: _Found) -> None:
    bounds = schema.bounds
    low, high, step = bounds.get("minimum"), bounds.get("maximum"), bounds.get("multipleOf")
    if step and not _is_multiple(value, step):
        found.invalid(path, value, f"{path} in body should be a multiple of {shown(step)}")
    if high is not None and (value > high or (schema.exclusive_maximum and value == high)):
        word = "less than" if schema.exclusive_maximum else "less than or equal to"
        found.invalid(path, value, f"{path} in body should be {word} {shown(high)}")
    if low is not None and (value < low or (schema.exclusive_minimum and value == low)):
        word = "greater than" if schema.exclusive_minimum else "greater than or equal to"
        found.invalid(path, value, f"{path} in body should be {word} {shown(low)}")


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and float(step).is_integer():
        return value % int(step) == 0
    try:
        return (value / step).is_integer()
    except (OverflowError, ZeroDivisionError):
        return False


def _check_list(value: list[Any], schema: Schema, path: str, found: _Found, old: Any) -> None:
    bounds, size = schema.bounds, len(value)
    if size < bounds.get("minItems", 0):
        found.invalid(path, size, f"{path} in body should have at least {int(bounds['minItems'])} items")
    if size > bounds.get("maxItems", math.inf):
        found.faults.append(field_errors.too_many(path, size, int(bounds["maxItems"])))
    if schema.items is None:
        return
    before = _by_key(old, schema)
    for place, inner in enumerate(value):
        if len(found.faults) > FAULTS:
            return
        partner = before.get(_key_of(inner, schema), MISSING) if before else MISSING
        _check(inner, schema.items, f"{path}[{place}]", found, partner)


def _by_key(old: Any, schema: Schema) -> dict[bytes, Any]:
    """Items of the old list by what makes them the same: only lists of type map have that."""
    if schema.list_type != "map" or not isinstance(old, list):
        return {}
    return {_key_of(inner, schema): inner for inner in old}


def _key_of(item: Any, schema: Schema) -> bytes:
    if not isinstance(item, dict):
        return b""
    return msgspec.json.encode([item.get(key) for key in schema.list_keys])


def _check_object(value: dict[str, Any], schema: Schema, path: str, found: _Found, old: Any) -> None:
    bounds, size = schema.bounds, len(value)
    if size < bounds.get("minProperties", 0):
        found.invalid(path, size, f"{path} in body should have at least {int(bounds['minProperties'])} properties")
    if size > bounds.get("maxProperties", math.inf):
        found.faults.append(field_errors.too_many(path, size, int(bounds["maxProperties"])))
    before = old if isinstance(old, dict) else {}
    for key, inner in value.items():
        if len(found.faults) > FAULTS:
            return
        where = f"{path}.{key}" if path else key
        if key in schema.properties:
            _check(inner, schema.properties[key], where, found, before.get(key, MISSING))
        elif isinstance(schema.additional, Schema):
            _check(inner, schema.additional, where, found, before.get(key, MISSING))
        elif schema.additional is False:
            found.invalid(path, "", f"{path}.{key} in body is a forbidden property")
    for key in schema.required:
        if key not in value:
            found.faults.append(field_errors.required(f"{path}.{key}" if path else key))


def _check_alternatives(value: Any, schema: Schema, path: str, found: _Found) -> None:
    if schema.any_of:
        results = [_tried(value, inner, path, found.budget) for inner in schema.any_of]
        if all(result.faults for result in results):
            _composite(found, f'"{path}" must validate at least one schema (anyOf)')
            found.add(max(results, key=lambda result: result.good))
    if schema.one_of:
        results = [_tried(value, inner, path, found.budget) for inner in schema.one_of]
        valid = sum(not result.faults for result in results)
        if valid != 1:
            how = f"Found {valid} valid alternatives" if valid else "Found none valid"
            _composite(found, f'"{path}" must validate one and only one schema (oneOf). {how}')
            if not valid:
                found.add(max(results, key=lambda result: result.good))
    if schema.all_of:
        results = [_tried(value, inner, path, found.budget) for inner in schema.all_of]
        for result in results:
            found.add(result)
        if failed := sum(bool(result.faults) for result in results):
            none = ". None validated" if failed == len(results) else ""
            _composite(found, f'"{path}" must validate all the schemas (allOf){none}')
    if schema.not_ is not None and not _tried(value, schema.not_, path, found.budget).faults:
        _composite(found, f'"{path}" must not validate the schema (not)')


def _tried(value: Any, schema: Schema, path: str, budget: _Budget) -> _Found:
    found = _Found(budget)
    _check(value, schema, path, found)
    return found


def _composite(found: _Found, text: str) -> None:
    """Kubernetes does not say at which field; its text does."""
    found.invalid("<nil>", "", text)
