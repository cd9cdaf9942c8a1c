"""Brings outside JSON into the shape that a kind has: after it, every known field has its type and null is absent.

A shape is written as ``Name: field=type field=type``; types are ``s`` string, ``i`` and ``l`` integer of 32 and of 64 bits,
``n`` number, ``b`` boolean, ``o`` any object, ``a`` anything, ``x`` integer or string, ``q`` quantity, ``t`` time with
microseconds, ``m`` map of strings, ``mb`` map of base64, ``mq`` map of quantities, ``[type]`` a list, ``{type}`` a map of them,
``b|type`` a boolean or it, or the name of another shape. Unknown fields are dropped
and told, as kube-apiserver does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

from cloudcore.apiserver.shapes import SHAPES

Shape: TypeAlias = dict[str, str]

DEPTH: Final = 128
"""How deep outside JSON may be nested. Kubernetes' own kinds need about 15, definitions twice what their objects have."""


_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_MICRO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,9}(Z|[+-]\d\d:\d\d)")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")
_LEFT_OUT_EMPTY: Final = "m[{"
"""Lists and maps: an empty one is the same as none."""


class WrongType(Exception):
    """path, what was wanted and what was there."""

    def __init__(self, path: str, wanted: str, value: Any) -> None:
        super().__init__(f"{path.lstrip('.') or 'body'}: expected {wanted}, got {kind_of(value)}")


class Malformed(WrongType):
    """The right JSON type, but not what is written in it."""

    def __init__(self, why: str) -> None:
        Exception.__init__(self, why)


def kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


@cache
def shapes() -> dict[str, Shape]:
    """Every shape by name."""
    found: dict[str, Shape] = {}
    for line in SHAPES.strip().splitlines():
        name, _, fields = line.partition(":")
        shape = found.setdefault(name.strip(), {})
        for field in fields.split():
            key, _, kind = field.partition("=")
            shape[key] = kind
    return found


def conform(shape: str, value: Any) -> tuple[dict[str, Any], list[str]]:
    """A clean copy of ``value`` and the paths of the unknown fields that were left out.

    Raises WrongType.
    """
    unknown: list[str] = []
    clean = _convert(shape, value, "", unknown)
    return clean, unknown


def _integer(value: Any, path: str, bits: int = 32) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise WrongType(path, "an integer", value)
    number = int(value)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise WrongType(path, f"an integer of {bits} bits", value)
    return number


def _long(value: Any, path: str) -> int:
    return _integer(value, path, 64)


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise WrongType(path, "string", value)
    return value


def _number(value: Any, path: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongType(path, "number", value)
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise WrongType(path, "boolean", value)
    return value


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WrongType(path, "an object", value)
    return value


def _integer_or_string(value: Any, path: str) -> int | str:
    return value if isinstance(value, str) else _integer(value, path)


def _quantity(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise WrongType(path, 'a quantity such as "500m" or "64Mi"', value)
    text = value if isinstance(value, str) else str(value)
    if not _QUANTITY.fullmatch(text):
        raise Malformed(f"quantities must match the regular expression '^{_QUANTITY.pattern}$'")
    return text


def _micro_time(value: Any, path: str) -> str:
    text = _string(value, path)
    if not _MICRO_TIME.fullmatch(text):
        rest, missing = text, "2006"
        if _MICRO_TIME.fullmatch(text.replace("Z", ".000000Z")):
            rest, missing = "Z", ".000000"
        raise Malformed(f'parsing time "{text}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "{rest}" as "{missing}"')
    return text


def _strings(value: Any, path: str) -> dict[str, str]:
    entries = _object(value, path).items()
    return {key: "" if item is None else _string(item, f"{path}.{key}") for key, item in entries}


def _encoded(value: Any, path: str) -> dict[str, str]:
    found = _strings(value, path)
    for text in found.values():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            fault = _NOT_BASE64.search(text)
            raise Malformed(f"illegal base64 data at input byte {fault.start() if fault else len(text)}") from None
    return found


def _quantities(value: Any, path: str) -> dict[str, str]:
    return {key: _quantity(item, f"{path}.{key}") for key, item in _object(value, path).items() if item is not None}


_SIMPLE: Final[dict[str, Callable[[Any, str], Any]]] = {
    "s": _string,
    "i": _integer,
    "l": _long,
    "n": _number,
    "b": _boolean,
    "o": _object,
    "a": lambda value, _path: value,
    "x": _integer_or_string,
    "q": _quantity,
    "t": _micro_time,
    "m": _strings,
    "mb": _encoded,
    "mq": _quantities,
}


def _convert(kind: str, value: Any, path: str, unknown: list[str]) -> Any:
    if kind in _SIMPLE:
        return _SIMPLE[kind](value, path)
    if kind.startswith("["):
        if not isinstance(value, list):
            raise WrongType(path, "an array", value)
        return [_convert(kind[1:-1], item, f"{path}[{place}]", unknown) for place, item in enumerate(value)]
    if kind.startswith("{"):
        entries = _object(value, path).items()
        return {key: _convert(kind[1:-1], item, f"{path}.{key}", unknown) for key, item in entries if item is not None}
    if kind.startswith("b|"):
        return value if isinstance(value, bool) else _convert(kind[2:], value, path, unknown)
    shape = shapes()[kind]
    clean: dict[str, Any] = {}
    for key, item in _object(value, path).items():
        if key not in shape:
            unknown.append(f"{path}.{key}".lstrip("."))
        elif item is not None:
            found = _convert(shape[key], item, f"{path}.{key}", unknown)
            if found or shape[key][0] not in _LEFT_OUT_EMPTY:
                clean[key] = found
    return clean


def too_deep(value: Any, limit: int = DEPTH) -> bool:
    """Whether ``value`` is nested deeper than ``limit``; it needs no stack to find out."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
