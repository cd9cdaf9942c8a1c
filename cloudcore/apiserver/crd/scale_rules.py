"""What the scale of a custom resource reads must be numbers, and a selector a string.

Texts: Kubernetes 1.34: apiextensions-apiserver/pkg/registry/customresource/validator.go.
"""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver.kinds import ScalePaths
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object

_MOST: Final = 2**31 - 1
_GO_TYPES: Final = {str: "string", bool: "bool", float: "float64", list: "[]interface {}", dict: "map[string]interface {}"}


def problems(obj: Object, paths: ScalePaths | None) -> list[FieldError]:
    """Of a whole object."""
    if paths is None:
        return []
    return _number(obj, paths.replicas) + status_problems(obj, paths)


def status_problems(obj: Object, paths: ScalePaths | None) -> list[FieldError]:
    """Of its status."""
    if paths is None:
        return []
    found = _number(obj, paths.present)
    if paths.selector and (selector := _at(obj, paths.selector)) is not None and not isinstance(selector, str):
        where = "." + ".".join(paths.selector)
        found.append(field_errors.invalid(where, "", _mistaken(where, selector, "string")))
    return found


def _number(obj: Object, path: tuple[str, ...]) -> list[FieldError]:
    value, where = _at(obj, path), "." + ".".join(path)
    if value is None:
        return []
    if not isinstance(value, int) or isinstance(value, bool):
        return [field_errors.invalid(where, 0, _mistaken(where, value, "int64"))]
    if value < 0:
        return [field_errors.invalid(where, value, "should be a non-negative integer")]
    if value > _MOST:
        return [field_errors.invalid(where, value, f"should be less than or equal to {_MOST}")]
    return []


def _mistaken(where: str, value: Any, wanted: str) -> str:
    shown = str(value).lower() if isinstance(value, bool) else value
    return f"{where} accessor error: {shown} is of the type {_GO_TYPES.get(type(value), 'int64')}, expected {wanted}"


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
