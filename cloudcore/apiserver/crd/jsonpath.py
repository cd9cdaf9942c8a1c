"""The part of JSONPath that printer columns and scale subresources use: keys, indices, ``[*]`` and filters.

Grammar: Kubernetes 1.34: client-go/util/jsonpath.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

Step: TypeAlias = Callable[[Any], Iterable[Any]]

_TOKEN: Final = re.compile(
    r"""\.(?P<key>(?:\\.|[^.\[\]\\])+)
      |\[(?P<index>-?\d{1,9})\]
      |\[(?P<start>-?\d{1,9})?:(?P<end>-?\d{1,9})?\]
      |\[['"](?P<quoted>[^'"]*)['"]\]
      |(?P<all>\.?\[?\*\]?)
      |\[\?\((?P<filter>[^()]*)\)\]""",
    re.VERBOSE,
)
_FILTER: Final = re.compile(r"""\s*@(?P<path>[^\s=!<>]*)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*""")


class JsonPathError(ValueError):
    """Not a path that is understood."""


@lru_cache(1024)
def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path such as ``.status.conditions[?(@.type=="Ready")].status``.

    Raises JsonPathError.
    """
    steps: list[Step] = []
    at = 0
    while at < len(text) and text != ".":
        found = _TOKEN.match(text, at)
        if found is None:
            raise JsonPathError(f"{text}: not understood from {text[at:]!r} on")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def find(value: Any, path: str) -> list[Any]:
    """Everything that the path leads to; nothing where it leads nowhere, or is not understood."""
    try:
        steps = parse(path)
    except JsonPathError:
        return []
    found = [value]
    for step in steps:
        found = [inner for outer in found for inner in step(outer)]
    return found


def _step(found: re.Match[str]) -> Step:
    if found["key"] is not None and found["key"] != "*":
        return _key(re.sub(r"\\(.)", r"\1", found["key"]))
    if found["quoted"] is not None:
        return _key(found["quoted"])
    if found["index"] is not None:
        place = int(found["index"])
        return lambda value: value[place : place + 1 or None] if isinstance(value, list) else ()
    if found["filter"] is not None:
        return _filter(found["filter"])
    if found["all"] is not None or found["key"] == "*":
        return _each
    start, end = (int(found[name]) if found[name] else None for name in ("start", "end"))
    return lambda value: value[start:end] if isinstance(value, list) else ()


def _key(name: str) -> Step:
    return lambda value: (value[name],) if isinstance(value, dict) and name in value else ()


def _each(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _filter(text: str) -> Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise JsonPathError(f"the filter {text!r} is not understood")
    path, operator, wanted = found["path"], found["operator"], _literal(found["value"] or "")
    parse(path)

    def keep(value: Any) -> Iterator[Any]:
        for item in _each(value):
            left = find(item, path)
            if left and (operator is None or _holds(left[0], operator, wanted)):
                yield item

    return keep


def _literal(text: str) -> Any:
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        return text[1:-1]
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise JsonPathError(f"{text!r} is no value") from None


def _holds(left: Any, operator: str, right: Any) -> bool:
    if operator in ("==", "!="):
        return bool(left == right) is (operator == "==")
    try:
        return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])
    except TypeError:
        return False
