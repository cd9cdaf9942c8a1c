"""Leaves out of an object what its schema does not know.

Rules: Kubernetes 1.34: apiextensions-apiserver/pkg/apiserver/schema/pruning.
"""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver.crd.structural import Schema

META: Final = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: dict[str, Any], schema: Schema) -> tuple[dict[str, Any], list[str]]:
    """A pruned copy of a whole object, and the paths of what was left out, sorted. Its metadata are kept as they are."""
    unknown: list[str] = []
    clean: dict[str, Any] = {key: inner for key, inner in value.items() if key in META}
    rest = {key: inner for key, inner in value.items() if key not in META}
    clean |= _object(rest, schema, "", unknown)
    return clean, sorted(unknown)


def _prune(value: Any, schema: Schema | None, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        return _object(value, schema, path, unknown)
    if isinstance(value, list):
        items = schema.items if schema is not None else None
        if schema is not None and schema.preserve and items is None:
            return value
        return [_prune(inner, items, f"{path}[{place}]", unknown) for place, inner in enumerate(value)]
    return value


def _object(value: dict[str, Any], schema: Schema | None, path: str, unknown: list[str]) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if schema is None:
            unknown.append(where)
        elif schema.embedded and key in META:
            clean[key] = inner
        elif key in schema.properties:
            clean[key] = _prune(inner, schema.properties[key], where, unknown)
        elif isinstance(schema.additional, Schema):
            clean[key] = _prune(inner, schema.additional, where, unknown)
        elif schema.preserve:
            clean[key] = inner
        elif schema.additional:
            clean[key] = _prune(inner, None, where, unknown)
        else:
            unknown.append(where)
    return clean


def prune_value(value: Any, schema: Schema) -> tuple[Any, list[str]]:
    """The same for a part of an object."""
    unknown: list[str] = []
    return _prune(value, schema, "", unknown), sorted(unknown)
