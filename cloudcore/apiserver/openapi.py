"""OpenAPI v3 documents: enough for kubectl to see that fields are validated here, and for ``kubectl explain``."""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver import schema
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.registry import Registry
from kube.objects import Object

_TYPES: Final[dict[str, Object]] = {
    "s": {"type": "string"},
    "i": {"type": "integer", "format": "int32"},
    "l": {"type": "integer", "format": "int64"},
    "n": {"type": "number"},
    "b": {"type": "boolean"},
    "o": {"type": "object"},
    "a": {"x-kubernetes-preserve-unknown-fields": True},
    "x": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    "q": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "m": {"type": "object", "additionalProperties": {"type": "string"}},
    "t": {"type": "string", "format": "date-time"},
    "mb": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
    "mq": {"type": "object", "additionalProperties": {"type": "string"}},
}


def _paths(registry: Registry) -> dict[str, tuple[str, str]]:
    return {
        (f"apis/{group}/{version}" if group else f"api/{version}"): (group, version) for group, version in registry.group_versions
    }


def index(registry: Registry) -> Object:
    """``GET /openapi/v3``."""
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in _paths(registry)}}


def document(registry: Registry, path: str) -> Object | None:
    """``GET /openapi/v3/<path>``; None when there is no such group and version."""
    place = _paths(registry).get(path)
    if place is None:
        return None
    kinds = [kind for kind in registry if (kind.resource.group, kind.resource.version) == place]
    paths: Object = {}
    for kind in kinds:
        resource = kind.resource
        namespace = "{namespace}" if resource.namespaced else ""
        collection = resource.path().replace(
            f"/{resource.plural}", f"/namespaces/{namespace}/{resource.plural}" if namespace else f"/{resource.plural}"
        )
        paths[collection] = {"get": _operation(kind, "list"), "post": _operation(kind, "post")}
        paths[collection + "/{name}"] = {verb: _operation(kind, verb) for verb in ("get", "put", "patch", "delete")}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths,
        "components": {"schemas": _schemas(kinds)},
    }


def _operation(kind: Kind, action: str) -> Object:
    parameters = []
    if action in ("post", "put", "patch"):
        parameters = [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for name in ("dryRun", "fieldManager", "fieldValidation")
        ]
    return {
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _identity(kind),
    }


def _identity(kind: Kind) -> Object:
    return {"group": kind.resource.group, "kind": kind.resource.kind, "version": kind.resource.version}


def _schemas(kinds: list[Kind]) -> Object:
    found: Object = {}
    for kind in kinds:
        if (described := kind.described) is not None:
            _add("ObjectMeta", found)
            found[defined_name(kind)] = {**described, "x-kubernetes-group-version-kind": [_identity(kind)]}
            continue
        _add(kind.resource.kind, found)
        found[kind.resource.kind]["x-kubernetes-group-version-kind"] = [_identity(kind)]
    return found


def defined_name(kind: Kind) -> str:
    """Kubernetes writes the group backwards: com.example.v1.Widget."""
    group = ".".join(reversed(kind.resource.group.split(".")))
    return f"{group}.{kind.resource.version}.{kind.resource.kind}"


def _add(name: str, found: Object) -> None:
    if name in found:
        return
    found[name] = {"type": "object"}
    properties = {field: _type(kind, found) for field, kind in schema.shapes()[name].items()}
    found[name]["properties"] = properties


def _type(kind: str, found: Object) -> Any:
    if kind in _TYPES:
        return _TYPES[kind]
    if kind.startswith("["):
        return {"type": "array", "items": _type(kind[1:-1], found)}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": _type(kind[1:-1], found)}
    if kind.startswith("b|"):
        return {"description": f"A boolean or {kind[2:]}."}
    _add(kind, found)
    return {"$ref": f"#/components/schemas/{kind}"}
