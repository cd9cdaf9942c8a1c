"""RFC 6902: a list of operations on a JSON document, all of which apply or none.

Where Kubernetes is more lenient than the RFC, so is this: ``replace`` may add a key, a missing value counts as null, and a
negative index counts from the end. Source of that and of the texts: what kubectl 1.32 does and says
(``kubectl patch --local --type=json``); the API server uses the same library.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any, Final

from kube.patch_errors import MalformedPatch, PatchDoesNotApply

MAX_OPERATIONS: Final = 10_000
"""As the API server bounds it."""
MAX_COPIED: Final = 3 * 1024 * 1024
"""Bytes of JSON that all ``copy`` operations of a patch may add together, as the API server bounds it: twenty copies of a
document into itself would make it a million times larger."""
_INDEX: Final = re.compile(r"0|-?[1-9][0-9]{0,8}")


def json_patch(document: Any, operations: Any) -> Any:
    """Applies ``operations`` to a copy of ``document``.

    Raises MalformedPatch for what is no JSON patch, PatchDoesNotApply for one that does not fit the document.
    """
    if not isinstance(operations, list):
        raise MalformedPatch("a JSON patch is an array of operations")
    if len(operations) > MAX_OPERATIONS:
        raise MalformedPatch(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    result = copy.deepcopy(document)
    copied = 0
    for operation in operations:
        copied += _copied_size(result, operation)
        if copied > MAX_COPIED:
            why = f"the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
            raise PatchDoesNotApply(f"Unable to complete the copy, {why}")
        result = _apply(result, operation)
    return result


def _copied_size(document: Any, operation: Any) -> int:
    """What a ``copy`` is about to add; one that cannot be done adds nothing, and is told of later."""
    if not isinstance(operation, dict) or operation.get("op") != "copy":
        return 0
    try:
        source = _pointer(operation, "from")
        return len(json.dumps(_resolve(document, source, "copy", source), separators=(",", ":")))
    except (MalformedPatch, PatchDoesNotApply):
        return 0


def _apply(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict):
        raise MalformedPatch("an operation of a JSON patch is an object")
    name = operation.get("op")
    handler = _OPERATIONS.get(name) if isinstance(name, str) else None
    if handler is None:
        raise MalformedPatch(f"Unexpected kind: {name}")
    return handler(document, operation)


def _add(document: Any, operation: dict[str, Any]) -> Any:
    return _insert(document, _pointer(operation, "path"), copy.deepcopy(operation.get("value")), "add")


def _remove(document: Any, operation: dict[str, Any]) -> Any:
    return _take(document, _pointer(operation, "path"), "remove")[0]


def _replace(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation, "path")
    value = copy.deepcopy(operation.get("value"))
    if not path:
        return value
    parent = _resolve(document, path[:-1], "replace", path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        items = _as_list(parent, "replace", path)
        items[_index(items, path[-1], "replace", path)] = value
    return document


def _move(document: Any, operation: dict[str, Any]) -> Any:
    source, target = _pointer(operation, "from"), _pointer(operation, "path")
    if target[: len(source)] == source and len(target) > len(source):
        raise PatchDoesNotApply(f"move operation does not apply: {_show(source)} cannot be moved into itself")
    document, value = _take(document, source, "move")
    return _insert(document, target, value, "move")


def _copy(document: Any, operation: dict[str, Any]) -> Any:
    source, target = _pointer(operation, "from"), _pointer(operation, "path")
    return _insert(document, target, copy.deepcopy(_resolve(document, source, "copy", source)), "copy")


def _test(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation, "path")
    try:
        found = _resolve(document, path, "test", path)
    except PatchDoesNotApply:
        found = None
    if not _equal(found, operation.get("value")):
        raise PatchDoesNotApply(f"testing value {_show(path)} failed: test failed")
    return document


_OPERATIONS: Final[dict[str, Callable[[Any, dict[str, Any]], Any]]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _insert(document: Any, path: list[str], value: Any, name: str) -> Any:
    if not path:
        return value
    parent = _resolve(document, path[:-1], name, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
        return document
    items = _as_list(parent, name, path)
    at = len(items) if path[-1] == "-" else _index([*items, None], path[-1], name, path)
    items.insert(at, value)
    return document


def _take(document: Any, path: list[str], name: str) -> tuple[Any, Any]:
    if not path:
        return None, document
    parent = _resolve(document, path[:-1], name, path)
    if isinstance(parent, dict):
        if path[-1] not in parent:
            fault = f"Unable to remove nonexistent key: {path[-1]}: missing value"
            raise PatchDoesNotApply(f"error in {name} for path: '{_show(path)}': {fault}")
        return document, parent.pop(path[-1])
    items = _as_list(parent, name, path)
    return document, items.pop(_index(items, path[-1], name, path))


def _resolve(document: Any, path: list[str], name: str, whole: list[str]) -> Any:
    found = document
    for part in path:
        if isinstance(found, dict):
            if part not in found:
                raise _missing(name, whole)
            found = found[part]
        else:
            items = _as_list(found, name, whole)
            found = items[_index(items, part, name, whole)]
    return found


def _as_list(value: Any, name: str, path: list[str]) -> list[Any]:
    if not isinstance(value, list):
        raise _missing(name, path)
    return value


def _index(items: list[Any], part: str, name: str, path: list[str]) -> int:
    where = f"error in {name} for path: '{_show(path)}'"
    if not _INDEX.fullmatch(part):
        fault = f"value was not a proper array index: '{part}': strconv.Atoi: parsing \"{part}\": invalid syntax"
        raise PatchDoesNotApply(f"{where}: {fault}")
    at = int(part)
    if not -len(items) <= at < len(items):
        raise PatchDoesNotApply(f"{where}: Unable to access invalid index: {at}: invalid index referenced")
    return at % len(items)


def _missing(name: str, path: list[str]) -> PatchDoesNotApply:
    return PatchDoesNotApply(f'{name} operation does not apply: doc is missing path: "{_show(path)}": missing value')


def _pointer(operation: dict[str, Any], field: str) -> list[str]:
    """RFC 6901."""
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise MalformedPatch(f'{operation.get("op")} operation: "{field}" is not a JSON pointer')
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _show(path: list[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
