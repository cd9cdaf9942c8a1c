"""Printer columns of custom resources.

Rules: Kubernetes 1.34: apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
"""

from __future__ import annotations

import json
from typing import Any, Final

from cloudcore.apiserver.crd import jsonpath
from cloudcore.apiserver.crd.numbers import shown
from cloudcore.apiserver.kinds import Printer
from cloudcore.apiserver.table_parts import Column, column, duration
from kube.objects import Object, parse_timestamp

_AGE: Final[Object] = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": "Time since the object was created.",
}
_NAME: Final = column("Name", "Name must be unique within a namespace.", format="name")


def printer(wanted: list[Object]) -> Printer:
    """``wanted``: additionalPrinterColumns; without any there is the age."""
    chosen = wanted or [_AGE]
    head: tuple[Column, ...] = (_NAME, *(_column(one) for one in chosen))

    def cells(obj: Object, now: float) -> list[Any]:
        return [obj["metadata"]["name"], *(_cell(one, obj, now) for one in chosen)]

    return head, cells


def _column(wanted: Object) -> Column:
    path = wanted.get("jsonPath", "")
    return {
        "name": wanted.get("name", ""),
        "type": wanted.get("type", "string"),
        "format": wanted.get("format", ""),
        "description": wanted.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        "priority": wanted.get("priority", 0),
    }


def _cell(wanted: Object, obj: Object, now: float) -> Any:  # noqa: PLR0911 - a table of types
    found = jsonpath.find(obj, wanted.get("jsonPath", ""))
    if not found:
        return None
    value = found[0]
    match wanted.get("type"), value:
        case "string", _:
            return _text(value)
        case "date", str():
            try:
                return duration(now - parse_timestamp(value))
            except ValueError:
                return "<invalid>"
        case "boolean", bool():
            return value
        case (("integer" | "number"), bool()):
            return None
        case "integer", int() | float():
            return int(value)
        case "number", int() | float():
            return value
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return shown(value)
    return "<nil>" if value is None else json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
