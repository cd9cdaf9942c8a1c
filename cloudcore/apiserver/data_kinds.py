"""ConfigMaps and Secrets: keys, sizes, immutability, base64."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from cloudcore.apiserver import names
from cloudcore.apiserver.kinds import Kind
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object

_LIMIT: Final = 1024 * 1024
_IMMUTABLE: Final = "field is immutable when `immutable` is set"


def _key_problems(block: dict[str, str], path: str) -> list[FieldError]:
    return [
        field_errors.invalid(f"{path}[{key}]", key, why) for key in block if (why := names.config_key_problem(key)) is not None
    ]


def _base64_problem(block: dict[str, str], path: str) -> FieldError | None:
    for key, value in block.items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return field_errors.invalid(f"{path}[{key}]", "<value>", "illegal base64 data")
    return None


def _frozen(new: Object, old: Object, fields: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [field_errors.forbidden("immutable", _IMMUTABLE)]
    return found + [field_errors.forbidden(key, _IMMUTABLE) for key in fields if new.get(key, {}) != old.get(key, {})]


def _size(*blocks: dict[str, Any]) -> int:
    return sum(len(value) for block in blocks for value in block.values())


class ConfigMapKind(Kind):
    def problems(self, obj: Object) -> list[FieldError]:
        data, binary = obj.get("data", {}), obj.get("binaryData", {})
        found = _key_problems(data, "data") + _key_problems(binary, "binaryData")
        for key in sorted(set(data) & set(binary)):
            found.append(field_errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        if (problem := _base64_problem(binary, "binaryData")) is not None:
            found.append(problem)
        if _size(data, binary) > _LIMIT:
            found.append(field_errors.too_long("", _LIMIT))
        return found

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        return _frozen(new, old, ("data", "binaryData"))


class SecretKind(Kind):
    fields = frozenset({"type"})

    def defaults(self, obj: Object) -> None:
        obj.setdefault("type", "Opaque")
        if plain := obj.pop("stringData", None):
            data = obj.setdefault("data", {})
            for key, value in plain.items():
                data[key] = base64.b64encode(value.encode()).decode()

    def problems(self, obj: Object) -> list[FieldError]:
        data = obj.get("data", {})
        found = _key_problems(data, "data")
        if (problem := _base64_problem(data, "data")) is not None:
            found.append(problem)
        if _size(data) > _LIMIT * 4 // 3 + 4:
            found.append(field_errors.too_long("data", _LIMIT))
        return found

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        found = _frozen(new, old, ("data",))
        if new.get("type") != old.get("type"):
            found.append(field_errors.invalid("type", new.get("type"), "field is immutable"))
        return found
