"""Kubernetes' own patch, which knows how the lists of the core types are to be merged.

Source: Kubernetes 1.32: apimachinery/pkg/util/strategicpatch/patch.go.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Hashable
from typing import Any

from kube.patch_errors import MalformedPatch
from kube.strategies import PLAIN, Strategy


def strategic_merge(document: dict[str, Any], patch: Any, strategy: Strategy = PLAIN) -> dict[str, Any]:
    """Kubernetes' own patch: as a merge patch, but lists that have a merge key are merged element by element, and
    ``$patch``, ``$setElementOrder/``, ``$deleteFromPrimitiveList/`` and ``$retainKeys`` steer it.

    Raises MalformedPatch.
    """
    if not isinstance(patch, dict):
        raise MalformedPatch(f"cannot unmarshal {_type(patch)} into Go value of type map[string]interface {{}}")
    return _merge_map(copy.deepcopy(document), copy.deepcopy(patch), strategy)


_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def _merge_map(original: dict[str, Any], patch: dict[str, Any], strategy: Strategy) -> dict[str, Any]:
    directive = patch.pop("$patch", "merge")
    if directive == "replace":
        return {key: _without_directives(value) for key, value in patch.items() if value is not None}
    if directive == "delete":
        return {}
    if directive != "merge":
        raise MalformedPatch(f"unknown patch type found: {directive} in map: {_brief(patch)}")
    _retain_keys(original, patch)
    orders = {key: patch.pop(key) for key in [*patch] if key.startswith(_ORDER)}
    deletions = {key: patch.pop(key) for key in [*patch] if key.startswith(_DELETE)}
    before = {key.removeprefix(_ORDER): original.get(key.removeprefix(_ORDER)) for key in orders}
    for key, values in deletions.items():
        _delete_values(original, key.removeprefix(_DELETE), values)
    for key, value in patch.items():
        _merge_field(original, key, value, strategy.of(key))
    for key, order in orders.items():
        field = key.removeprefix(_ORDER)
        _set_order(original, field, order, before[field], strategy.of(field).merge_key)
    return original


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    if "$retainKeys" not in patch:
        return
    retained = _expect_list(patch.pop("$retainKeys"), "$retainKeys")
    if any(key not in retained for key in patch if not key.startswith("$")):
        raise MalformedPatch("some keys in the patch are not present in the $retainKeys list")
    for key in [key for key in original if key not in retained]:
        del original[key]


def _delete_values(original: dict[str, Any], field: str, values: Any) -> None:
    unwanted = {_token(value) for value in _expect_list(values, f"{_DELETE}{field}")}
    found = original.get(field)
    if isinstance(found, list):
        original[field] = [item for item in found if _token(item) not in unwanted]


def _merge_field(original: dict[str, Any], key: str, value: Any, strategy: Strategy) -> None:
    if value is None:
        original.pop(key, None)
        return
    present = original.get(key)
    if isinstance(value, dict):
        original[key] = _merge_map(present if isinstance(present, dict) else {}, value, strategy)
    elif isinstance(value, list) and strategy.merges_lists:
        original[key] = _merge_list(present if isinstance(present, list) else [], value, strategy)
    else:
        original[key] = _without_directives(value)


def _merge_list(original: list[Any], patch: list[Any], strategy: Strategy) -> list[Any]:
    if strategy.primitives:
        together = {_token(item): item for item in reversed([*original, *patch])}
        return _ordered([*reversed(together.values())], patch, original, "")
    key = strategy.merge_key
    plain, original = _apply_list_directives(original, patch, key)
    merged = list(original)
    places = _places(merged, key)
    for item in plain:
        at = places.setdefault(_token(item, key), len(merged))
        if at == len(merged):
            merged.append({})
        merged[at] = _merge_map(merged[at], item, strategy)
    return _ordered(merged, plain, original, key)


def _apply_list_directives(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carries out the elements with ``$patch``; returns the other ones of the patch, and what remains of the original."""
    plain: list[Any] = []
    deleted: set[Hashable] = set()
    replace = False
    for item in patch:
        directive = item.get("$patch") if isinstance(item, dict) else None
        if directive == "replace":
            replace = True
            item = {name: value for name, value in item.items() if name != "$patch"}  # noqa: PLW2901
            if not item:
                continue
        if not isinstance(item, dict) or item.get(key) is None:
            raise MalformedPatch(f"map: {_brief(item)} does not contain declared merge key: {key}")
        if directive == "delete":
            deleted.add(_token(item, key))
        else:
            plain.append(item)
    return plain, [] if replace else [item for item in original if _token(item, key) not in deleted]


def _set_order(original: dict[str, Any], field: str, order: Any, server: Any, key: str) -> None:
    wanted = _expect_list(order, f"{_ORDER}{field}")
    found = original.get(field)
    if isinstance(found, list):
        original[field] = _ordered(found, wanted, server if isinstance(server, list) else [], key)


def _ordered(merged: list[Any], wanted: list[Any], server: list[Any], key: str) -> list[Any]:
    """Elements named in ``wanted`` stand in that order; the others keep their place before those that they preceded."""
    rank = _places(wanted, key)
    before = _places(server, key)
    named = deque(sorted((item for item in merged if _token(item, key) in rank), key=lambda item: rank[_token(item, key)]))
    others = deque(item for item in merged if _token(item, key) not in rank)
    result: list[Any] = []
    while named and others:
        left, right = before.get(_token(others[0], key), -1), before.get(_token(named[0], key), -1)
        result.append(others.popleft() if 0 <= left < right else named.popleft())
    return [*result, *named, *others]


def _places(items: list[Any], key: str) -> dict[Hashable, int]:
    """Where each element stands first."""
    return {_token(item, key): at for at, item in reversed([*enumerate(items)])}


def _token(item: Any, key: str = "") -> Hashable:
    """What tells elements apart: the value of the merge key, or the whole plain value. Equality of JSON: true is not 1."""
    if key:
        item = item.get(key) if isinstance(item, dict) else item
    return (isinstance(item, bool), item if isinstance(item, str | int | float) else repr(item))


def _without_directives(value: Any) -> Any:
    """A new value, as it may be stored: no directives, no nulls in maps."""
    if isinstance(value, dict):
        return {
            key: _without_directives(inner)
            for key, inner in value.items()
            if inner is not None and key not in ("$patch", "$retainKeys") and not key.startswith((_ORDER, _DELETE))
        }
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not (isinstance(item, dict) and item.get("$patch") == "delete")]
    return value


def _expect_list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedPatch(f"expected a list for {field}, got {_type(value)}")
    return value


def _type(value: Any) -> str:
    names = {type(None): "null", bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
