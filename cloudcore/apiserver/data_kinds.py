"""ConfigMaps and Secrets: keys, sizes, immutability, base64."""

from __future__ import annotations

import base64
import json
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
        if _size(data, binary) > _LIMIT:
            found.append(field_errors.too_long("[]", _LIMIT))
        return found

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        return _frozen(new, old, ("data", "binaryData"))


_REQUIRED: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
"""What a Secret of a type must have. Kubernetes 1.34: pkg/apis/core/validation, ValidateSecret."""


def _type_problems(secret: Object) -> list[FieldError]:
    type_, data = secret.get("type", ""), secret.get("data", {})
    found = [field_errors.required(f"data[{key}]") for key in _REQUIRED.get(type_, ()) if key not in data]
    if type_ == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        found += [field_errors.required(f"data[{key}]") for key in ("username", "password")]
    if type_ == "kubernetes.io/service-account-token":
        key = "kubernetes.io/service-account.name"
        if not secret["metadata"].get("annotations", {}).get(key):
            found.append(field_errors.required(f"metadata.annotations[{key}]"))
    for key in (".dockercfg", ".dockerconfigjson"):
        if key in _REQUIRED.get(type_, ()) and key in data:
            try:
                json.loads(base64.b64decode(data[key]))
            except ValueError as error:
                found.append(field_errors.invalid(f"data[{key}]", "<secret contents redacted>", str(error)))
    return found


class ServiceAccountKind(Kind):
    returns_deleted = True


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
        found += _type_problems(obj)
        if _size(data) > _LIMIT * 4 // 3 + 4:
            found.append(field_errors.too_long("data", _LIMIT))
        return found

    def update_problems(self, new: Object, old: Object) -> list[FieldError]:
        found = _frozen(new, old, ("data",))
        if new.get("type") != old.get("type"):
            found.append(field_errors.invalid("type", new.get("type"), "field is immutable"))
        return found
