"""Puts the defaults of a schema where an object says nothing, and takes away null where it may not stand.

Rules: Kubernetes 1.34: apiextensions-apiserver/pkg/apiserver/schema/defaulting.
"""

from __future__ import annotations

import copy
from typing import Any

from cloudcore.apiserver.crd.structural import MISSING, Schema


def fill(value: Any, schema: Schema | None) -> None:
    """In place."""
    if schema is None:
        return
    if isinstance(value, dict):
        _fill_object(value, schema)
    elif isinstance(value, list) and schema.items is not None:
        for place, inner in enumerate(value):
            if inner is None and not schema.items.nullable and schema.items.default is not MISSING:
                value[place] = copy.deepcopy(schema.items.default)
            fill(value[place], schema.items)


def _fill_object(value: dict[str, Any], schema: Schema) -> None:
    for key in [key for key, inner in value.items() if inner is None]:
        of = _schema_of(key, schema)
        if of is not None and not of.nullable:
            if of.default is MISSING:
                del value[key]
            else:
                value[key] = copy.deepcopy(of.default)
    for key, of in schema.properties.items():
        if key not in value and of.default is not MISSING:
            value[key] = copy.deepcopy(of.default)
    for key, inner in value.items():
        fill(inner, _schema_of(key, schema))


def _schema_of(key: str, schema: Schema) -> Schema | None:
    if key in schema.properties:
        return schema.properties[key]
    return schema.additional if isinstance(schema.additional, Schema) else None
