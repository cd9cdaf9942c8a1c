"""The ``--set`` grammar: ``path=value,path=value``, applied to a configuration tree (KubeEdge 1.23: keadm/cmd/.../util/set.go).

Pure. One difference: KubeEdge drops an item with two ``=`` silently; here it is an error.
"""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r"([^.\[\]]+)((?:\[\d+\])*)")
_INDEX = re.compile(r"\[(\d+)\]")


class SetError(Exception):
    """An item of ``--set`` cannot be used; the text names it."""


def apply(tree: dict[str, Any], expression: str) -> None:
    """Writes every item of ``expression`` into ``tree``.

    Blocks on the way are made when absent; whether a key exists is checked afterwards, when the tree is read as a
    configuration. Raises SetError.
    """
    for item in split(expression):
        path, value = _item(item)
        _put(tree, path, value, item)


def split(expression: str) -> list[str]:
    """The items between the commas that stand outside of quotes and braces."""
    items, depth, quote, current = [], 0, "", ""
    for char in expression:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "{}":
            depth += 1 if char == "{" else -1
        if char == "," and depth == 0 and not quote:
            items.append(current)
            current = ""
        else:
            current += char
    if quote or depth:
        raise SetError(f"--set {expression}: a quote or brace is not closed")
    return [item.strip() for item in [*items, current] if item.strip()]


def _item(item: str) -> tuple[list[str | int], Any]:
    path, found, value = item.partition("=")
    if not found or _outside_quotes(value, "=") or not path.strip():
        raise SetError(f"--set {item}: it must be path=value with exactly one `=` (put a value that contains `=` in quotes)")
    return _path(path.strip(), item), _value(value.strip(), item)


def _outside_quotes(text: str, wanted: str) -> bool:
    return wanted in re.sub(r"\"[^\"]*\"|'[^']*'", "", text)


def _path(path: str, item: str) -> list[str | int]:
    steps: list[str | int] = []
    for part in path.split("."):
        match = _STEP.fullmatch(part)
        if match is None:
            raise SetError(f"--set {item}: `{path}` is not a path such as modules.edgeStream.enable or list[0].field")
        steps.append(match[1])
        steps.extend(int(index) for index in _INDEX.findall(match[2]))
    return steps


def _value(text: str, item: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.startswith("{") and text.endswith("}"):
        return _braces(text[1:-1], item)
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _braces(inner: str, item: str) -> Any:
    """``{a,b}`` is a list, ``{k:v}`` a block."""
    parts = split(inner)
    if parts and all(re.match(r"[\w./-]+:(?!//)", part) for part in parts):
        return {key.strip(): _value(value.strip(), item) for key, _, value in (part.partition(":") for part in parts)}
    return [_value(part, item) for part in parts]


def _put(tree: dict[str, Any], path: list[str | int], value: Any, item: str) -> None:
    node: Any = tree
    for step, following in zip(path, [*path[1:], None], strict=True):
        last = following is None
        if isinstance(step, int):
            node = _list_step(node, step, value if last else None, item, last=last)
            continue
        if not isinstance(node, dict):
            raise SetError(f"--set {item}: `{step}` stands below something that is not a block")
        if last:
            node[step] = value
        elif not isinstance(node.get(step), dict | list):
            node[step] = [] if isinstance(following, int) else {}
        node = node[step]


def _list_step(node: Any, index: int, value: Any, item: str, *, last: bool) -> Any:
    if not isinstance(node, list) or index > len(node):
        raise SetError(f"--set {item}: there is no list with an element [{index}] to set there (a list grows by one at a time)")
    if index == len(node):
        node.append(value if last else {})
    elif last:
        node[index] = value
    return node[index]
