"""A YAML file as a typed struct: unknown keys, wrong types and broken YAML are errors with file, line and hint.

Keys keep their defaults when absent (a block set to ``null`` counts as absent); lists replace, blocks merge.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union

import msgspec
import yaml

T = TypeVar("T", bound=msgspec.Struct)

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class SettingsError(Exception):
    """The configuration cannot be used. One line for a person: file, line, what is wrong, what would be right."""


def load(path: Path, type_: type[T]) -> T:
    """Reads ``path`` into ``type_``.

    Raises SettingsError when the file is missing, is not YAML, has an unknown key or a value of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no such file. Write one with --defaultconfig, or name another with --config") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error
    return parse(text, type_, origin=str(path))


def parse(text: str, type_: type[T], *, origin: str) -> T:
    """Like ``load`` for a text; ``origin`` names it in errors."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(_yaml_problem(error, origin)) from error
    except RecursionError as error:
        raise SettingsError(f"{origin}: nested too deeply") from error
    if data is None:
        data, tree = {}, None
    if not isinstance(data, dict):
        raise SettingsError(f"{origin}: line 1: the file must be a block of `key: value` lines, not a {type(data).__name__}")
    _check(data, tree, type_, origin, "")
    try:
        return msgspec.convert(_without_null(data), type_, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_type_problem(error, tree, origin)) from error


def _yaml_problem(error: yaml.YAMLError, origin: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "broken YAML"
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    hint = " (YAML is indented with spaces, never tabs)" if "\\t" in str(problem) else ""
    return f"{origin}: {where}not valid YAML: {problem}{hint}"


def _type_problem(error: msgspec.ValidationError, tree: yaml.Node | None, origin: str) -> str:
    match = _PATH.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    node = tree
    for key, index in _STEP.findall(path):
        node = _child(node, key or int(index))
    line = f"line {node.start_mark.line + 1}: " if node is not None else ""
    name = f"`{path.lstrip('.')}`: " if path else ""
    return f"{origin}: {line}{name}{what[:1].lower()}{what[1:]}"


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value if isinstance(value, yaml.Node) else None
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found = node.value[step]
        return found if isinstance(found, yaml.Node) else None
    return None


def _check(data: Any, tree: yaml.Node | None, type_: Any, origin: str, prefix: str) -> None:
    """Raises SettingsError at the first key that the struct does not have."""
    inner = _struct_of(type_)
    if isinstance(data, list):
        (item_type, *_) = typing.get_args(type_) or (Any,)
        for index, item in enumerate(data):
            _check(item, _child(tree, index), item_type, origin, f"{prefix}[{index}]")
        return
    if inner is None or not isinstance(data, dict):
        return
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(inner)}
    for key, value in data.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if key not in fields:
            raise SettingsError(_unknown_key(str(key), path, fields, tree, origin))
        _check(value, _child(tree, str(key)), fields[key], origin, path)


def _unknown_key(key: str, path: str, fields: dict[str, Any], tree: yaml.Node | None, origin: str) -> str:
    line = ""
    if isinstance(tree, yaml.MappingNode):
        for node, _ in tree.value:
            if node.value == key:
                line = f"line {node.start_mark.line + 1}: "
    near = difflib.get_close_matches(key, fields, n=1) or [name for name in fields if name.lower() == key.lower()]
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(fields))}"
    return f"{origin}: {line}unknown key `{path}`; {hint}"


def _struct_of(type_: Any) -> type[msgspec.Struct] | None:
    """The struct inside ``X``, ``X | None``; None for anything else."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return type_
    if typing.get_origin(type_) in (Union, types.UnionType):
        for option in typing.get_args(type_):
            if (found := _struct_of(option)) is not None:
                return found
    return None


def _without_null(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_null(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [_without_null(item) for item in data]
    return data


def dump(settings: msgspec.Struct) -> str:
    """The struct as YAML, every default spelled out."""
    return yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False, allow_unicode=True)
