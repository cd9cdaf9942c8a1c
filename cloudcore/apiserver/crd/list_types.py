"""Lists that are sets or maps hold everything once.

Rules: Kubernetes 1.34: apiextensions-apiserver/pkg/apiserver/schema/listtype/validation.go.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cloudcore.apiserver.crd.structural import Schema
from kube import field_errors
from kube.field_errors import FieldError


def problems(value: Any, schema: Schema | None, path: str = "") -> list[FieldError]:
    """What stands twice in one list."""
    if schema is None:
        return []
    found: list[FieldError] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in schema.properties:
                found += problems(inner, schema.properties[key], f"{path}.{key}" if path else key)
            elif isinstance(schema.additional, Schema):
                found += problems(inner, schema.additional, f"{path}[{key}]")
    elif isinstance(value, list):
        found += _doubles(value, schema, path)
        for place, inner in enumerate(value):
            found += problems(inner, schema.items, f"{path}[{place}]")
    return found


def _doubles(value: list[Any], schema: Schema, path: str) -> list[FieldError]:
    if schema.list_type == "map":
        for place, item in enumerate(value):
            if item is not None and not isinstance(item, dict):
                return [field_errors.invalid(f"{path}[{place}]", item, "must be an object for an array of list-type map")]
        keys = [{key: item[key] for key in schema.list_keys if key in item} if item is not None else None for item in value]
    elif schema.list_type == "set":
        keys = value
    else:
        return []
    times: dict[bytes, int] = {}
    found = []
    for place, key in enumerate(keys):
        identity = msgspec.json.encode(key, order="deterministic")
        times[identity] = times.get(identity, 0) + 1
        if times[identity] == 2:
            found.append(field_errors.duplicate(f"{path}[{place}]", key))
    return found
