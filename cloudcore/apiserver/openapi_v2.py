"""The OpenAPI v2 document in protobuf form: what kubectl before 1.27 validates with, and computes patches from.

Field numbers: gnostic's openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from cloudcore.apiserver import schema
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.openapi import defined_name
from cloudcore.apiserver.registry import Registry
from kube.objects import Object
from kube.strategies import PLAIN, Strategy, strategy_for

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_TYPES: Final = {
    "s": ("string", ""),
    "t": ("string", "date-time"),
    "i": ("integer", "int32"),
    "l": ("integer", "int64"),
    "n": ("number", "double"),
    "b": ("boolean", ""),
    "o": ("object", ""),
    "a": ("", ""),
    "x": ("string", "int-or-string"),
    "q": ("string", "int-or-string"),
}
_MAPS: Final = {"m": "s", "mb": "s", "mq": "q"}


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _extension(name: str, value: Any, *, place: int = 31) -> bytes:
    return _field(place, _field(1, name) + _field(2, _field(2, json.dumps(value) + "\n")))


def _type(name: str) -> bytes:
    return _field(22, _field(1, name)) if name else b""


def document(registry: Registry) -> bytes:
    """Swagger 2.0 with the definitions of every kind."""
    return _document(registry, registry.generation)


@lru_cache(2)
def _document(registry: Registry, _generation: int) -> bytes:
    definitions: dict[str, bytes] = {}
    for kind in registry:
        if kind.described is not None:
            _add("ObjectMeta", PLAIN, definitions)
            identity = _extension("x-kubernetes-group-version-kind", [_identity(kind)])
            definitions[defined_name(kind)] = _described(kind.described) + identity
            continue
        _add(kind.resource.kind, strategy_for(kind.resource.api_version, kind.resource.kind) or PLAIN, definitions, kind)
    named = b"".join(_field(1, _field(1, name) + _field(2, value)) for name, value in definitions.items())
    info = _field(1, "Kubernetes") + _field(2, "v1.32.0")
    paths = b"".join(_field(2, _path(kind)) for kind in registry)
    return _field(1, "2.0") + _field(2, info) + _field(8, paths) + _field(9, named)


def _described(props: Object) -> bytes:
    """A schema of a custom resource, without what version 2 cannot say: what may be of several types is of any.

    Kubernetes 1.34: apiextensions-apiserver/pkg/controller/openapi/v2/conversion.go.
    """
    if (reference := props.get("$ref")) is not None:
        return _field(1, reference.replace("#/components/schemas/", "#/definitions/"))
    found = _field(4, props["description"]) if props.get("description") else b""
    if props.get("x-kubernetes-int-or-string") or props.get("x-kubernetes-preserve-unknown-fields") or props.get("nullable"):
        return found
    found += _type(props.get("type", ""))
    if isinstance(props.get("additionalProperties"), dict):
        found += _field(21, _field(1, _described(props["additionalProperties"])))
    if "items" in props:
        found += _field(23, _field(1, _described(props["items"])))
    if properties := props.get("properties"):
        named = (_field(1, _field(1, key) + _field(2, _described(inner))) for key, inner in properties.items())
        found += _field(25, b"".join(named))
    return found


def _path(kind: Kind) -> bytes:
    """That a PATCH of this kind takes ``dryRun``: kubectl looks for nothing else."""
    parameter = _field(1, _field(2, _field(3, _field(2, "query") + _field(4, "dryRun"))))
    identity = _extension("x-kubernetes-group-version-kind", _identity(kind), place=13)
    address = kind.resource.path("{namespace}" if kind.resource.namespaced else "") + "/{name}"
    return _field(1, address) + _field(2, _field(8, _field(8, parameter) + identity))


def _identity(kind: Kind) -> dict[str, str]:
    return {"group": kind.resource.group, "version": kind.resource.version, "kind": kind.resource.kind}


def _add(name: str, strategy: Strategy, found: dict[str, bytes], kind: Kind | None = None) -> None:
    if name in found:
        return
    found[name] = b""
    properties = []
    for field, type_ in schema.shapes()[name].items():
        inner = strategy.of(field)
        described = _describe(type_, inner, found)
        if inner.merges_lists:
            described += _extension("x-kubernetes-patch-strategy", "merge")
            if inner.merge_key:
                described += _extension("x-kubernetes-patch-merge-key", inner.merge_key)
        properties.append(_field(1, _field(1, field) + _field(2, described)))
    body = _type("object") + _field(25, b"".join(properties))
    if kind is not None:
        body += _extension("x-kubernetes-group-version-kind", [_identity(kind)])
    found[name] = body


def _describe(type_: str, strategy: Strategy, found: dict[str, bytes]) -> bytes:
    if type_ in _TYPES:
        name, format_ = _TYPES[type_]
        return (_field(2, format_) if format_ else b"") + _type(name)
    if type_ in _MAPS:
        return _type("object") + _field(21, _field(1, _describe(_MAPS[type_], PLAIN, found)))
    if type_.startswith("["):
        return _type("array") + _field(23, _field(1, _describe(type_[1:-1], strategy, found)))
    if type_.startswith("{"):
        return _type("object") + _field(21, _field(1, _describe(type_[1:-1], PLAIN, found)))
    if type_.startswith("b|"):
        return b""
    _add(type_, strategy, found)
    return _field(1, f"#/definitions/{type_}")
