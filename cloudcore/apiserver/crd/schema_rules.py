"""When a schema is structural, and what may stand in it.

Rules and texts: Kubernetes 1.34: apiextensions-apiserver/pkg/apiserver/schema/validation.go, pkg/apis/apiextensions/validation.
Expressions (x-kubernetes-validations) are taken as they are; they are not evaluated.
"""

# ruff: noqa: PERF401 - a rule per statement reads better than comprehensions

from __future__ import annotations

import copy
from typing import Any, Final

from cloudcore.apiserver.crd import validation
from cloudcore.apiserver.crd.automaton import compiled
from cloudcore.apiserver.crd.defaulting import fill
from cloudcore.apiserver.crd.pattern import PatternError
from cloudcore.apiserver.crd.pruning import META, prune_value
from cloudcore.apiserver.crd.structural import compile_schema
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_EITHER: Final = [{"type": "integer"}, {"type": "string"}]
_UNSUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_NESTED: Final = {
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "description": "must be empty to be structural",
    "title": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
}
_LEVELS: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}


def problems(props: Object, path: str) -> list[FieldError]:
    """Of a whole schema; ``path`` is that of openAPIV3Schema."""
    found = _structural(props, path, "root")
    if not found:
        found += _defaults(props, path, root=True)
    if props.get("nullable"):
        found.append(field_errors.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    return found + _supported(props, path)


def _structural(props: Object, path: str, level: str) -> list[FieldError]:
    found: list[FieldError] = []
    if props.get("type") == "array" and "items" not in props:
        found.append(field_errors.required(f"{path}.items", "must be specified"))
    if "items" in props:
        found += _structural(props["items"], f"{path}.items", "item")
    for key, inner in props.get("properties", {}).items():
        found += _structural(inner, f"{path}.properties[{key}]", "field")
    additional = props.get("additionalProperties")
    if additional is not None and level == "root":
        found.append(field_errors.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
    if isinstance(additional, dict):
        found += _structural(additional, f"{path}.additionalProperties", "field")
    return found + _extensions(props, path) + _junctors(props, path) + _type(props, path, level) + _metadata(props, path, level)


def _extensions(props: Object, path: str) -> list[FieldError]:
    found = []
    if props.get("x-kubernetes-int-or-string"):
        for key in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if props.get(key):
                found.append(field_errors.invalid(f"{path}.{key}", True, "must be false if x-kubernetes-int-or-string is true"))
    return found


def _type(props: Object, path: str, level: str) -> list[FieldError]:
    found, type_ = [], props.get("type", "")
    embedded, preserve = (props.get(f"x-kubernetes-{key}") for key in ("embedded-resource", "preserve-unknown-fields"))
    if embedded and type_ != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        found.append(field_errors.invalid(f"{path}.type", type_, why) if type_ else field_errors.required(f"{path}.type", why))
    elif not type_ and not props.get("x-kubernetes-int-or-string") and not preserve:
        found.append(field_errors.required(f"{path}.type", _LEVELS[level]))
    if embedded and "additionalProperties" in props:
        why = "must not be used if x-kubernetes-embedded-resource is set"
        found.append(field_errors.forbidden(f"{path}.additionalProperties", why))
    if level == "root" and type_ and type_ != "object":
        found.append(field_errors.invalid(f"{path}.type", type_, "must be object at the root"))
    if embedded and not preserve and not props.get("properties"):
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        found.append(field_errors.required(f"{path}.properties", why))
    return found


def _metadata(props: Object, path: str, level: str) -> list[FieldError]:
    if level != "root" and not props.get("x-kubernetes-embedded-resource"):
        return []
    found, properties = [], props.get("properties", {})
    for key in ("kind", "apiVersion"):
        if key in properties and properties[key].get("type") != "string":
            where = f"{path}.properties[{key}].type"
            found.append(field_errors.invalid(where, properties[key].get("type", ""), "must be string"))
    if "metadata" in properties:
        block, where = properties["metadata"], f"{path}.properties[metadata]"
        if block.get("type") != "object":
            found.append(field_errors.invalid(f"{where}.type", block.get("type", ""), "must be object"))
        plain = set(block) <= {"type", "description", "properties", "default", "title"}
        if level == "root" and not (plain and set(block.get("properties", {})) <= {"name", "generateName"}):
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            found.append(field_errors.forbidden(where, why))
    return found


def _junctors(props: Object, path: str) -> list[FieldError]:
    """anyOf, allOf, oneOf and not may hold conditions on values only; integer-or-string has two forms that are let pass."""
    found: list[FieldError] = []
    either = bool(props.get("x-kubernetes-int-or-string"))
    if not (either and props.get("anyOf") == _EITHER):
        found += _each_nested(props, "anyOf", path)
    for place, inner in enumerate(props.get("allOf", [])):
        skip = either and place == 0 and inner.get("anyOf") == _EITHER
        found += _nested(inner, f"{path}.allOf[{place}]", skip=skip)
    found += _each_nested(props, "oneOf", path)
    if "not" in props:
        found += _nested(props["not"], f"{path}.not")
    if pattern := props.get("pattern"):
        try:
            compiled(pattern)
        except PatternError as error:
            why = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            found.append(field_errors.invalid(f"{path}.pattern", pattern, why))
    return found


def _each_nested(props: Object, key: str, path: str) -> list[FieldError]:
    return [fault for place, one in enumerate(props.get(key, [])) for fault in _nested(one, f"{path}.{key}[{place}]")]


def _nested(props: Object, path: str, *, skip: bool = False) -> list[FieldError]:
    found = []
    if props.get("type"):
        found.append(field_errors.forbidden(f"{path}.type", "must be empty to be structural"))
    for key, why in _NESTED.items():
        if props.get(key) or (key in ("default", "additionalProperties") and key in props):
            found.append(field_errors.forbidden(f"{path}.{key}", why))
    if "metadata" in props.get("properties", {}):
        found.append(field_errors.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    for key, inner in props.get("properties", {}).items():
        found += _nested(inner, f"{path}.properties[{key}]")
    if "items" in props:
        found += _nested(props["items"], f"{path}.items")
    return found + ([] if skip else _junctors(props, path))


def _supported(props: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    type_ = props.get("type")
    if type_ == "null":
        found.append(field_errors.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative"))
    elif type_ and type_ not in _TYPES:
        found.append(field_errors.not_supported(f"{path}.type", type_, _TYPES))
    for key in _UNSUPPORTED:
        if props.get(key):
            found.append(field_errors.forbidden(f"{path}.{key}", f"{key} is not supported"))
    if props.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(field_errors.forbidden(f"{path}.uniqueItems", why))
    additional = props.get("additionalProperties", True)
    if props.get("properties") and additional is not True:
        why = "additionalProperties and properties are mutual exclusive"
        found.append(field_errors.forbidden(f"{path}.additionalProperties", why))
    if props.get("x-kubernetes-preserve-unknown-fields") is False:
        key = f"{path}.x-kubernetes-preserve-unknown-fields"
        found.append(field_errors.invalid(key, False, "must be true or undefined"))
    found += _list_rules(props, path) + _map_rules(props, path) + _expressions(props, path)
    for where, inner in children(props, path):
        found += _supported(inner, where)
    return found


def children(props: Object, path: str) -> list[tuple[str, Object]]:
    """Every schema right below this one, with its path."""
    found = [(f"{path}.properties[{key}]", inner) for key, inner in props.get("properties", {}).items()]
    found += [(f"{path}.{key}", props[key]) for key in ("items", "not") if key in props]
    if isinstance(props.get("additionalProperties"), dict):
        found.append((f"{path}.additionalProperties", props["additionalProperties"]))
    for key in ("allOf", "oneOf", "anyOf"):
        found += [(f"{path}.{key}[{place}]", inner) for place, inner in enumerate(props.get(key, []))]
    return found


def _map_rules(props: Object, path: str) -> list[FieldError]:
    if (map_type := props.get("x-kubernetes-map-type")) is None:
        return []
    found, type_ = [], props.get("type", "")
    if type_ != "object":
        why = "must be object if x-kubernetes-map-type is specified"
        found.append(field_errors.invalid(f"{path}.type", type_, why) if type_ else field_errors.required(f"{path}.type", why))
    if map_type not in ("atomic", "granular"):
        found.append(field_errors.not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular")))
    return found


def _list_rules(props: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    list_type, keys, items = props.get("x-kubernetes-list-type"), props.get("x-kubernetes-list-map-keys", []), props.get("items")
    where = f"{path}.x-kubernetes-list-type"
    if list_type is not None:
        if (type_ := props.get("type", "")) != "array":
            why = "must be array if x-kubernetes-list-type is specified"
            found.append(
                field_errors.invalid(f"{path}.type", type_, why) if type_ else field_errors.required(f"{path}.type", why)
            )
        if list_type not in ("atomic", "set", "map"):
            found.append(field_errors.not_supported(where, list_type, ("atomic", "set", "map")))
    if list_type == "set" and items is not None:
        for kind, type_, standard in (("list", "array", "atomic"), ("map", "object", "granular")):
            if items.get("type") == type_ and items.get(f"x-kubernetes-{kind}-type", standard) != "atomic":
                why = "must be atomic as item of a list with x-kubernetes-list-type=set"
                value = items.get(f"x-kubernetes-{kind}-type")
                found.append(field_errors.invalid(f"{path}.items.x-kubernetes-{kind}-type", value, why))
    if keys and list_type != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        found.append(field_errors.required(where, why) if list_type is None else field_errors.invalid(where, list_type, why))
    if list_type in ("set", "map") and items is not None and items.get("nullable"):
        why = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        found.append(field_errors.forbidden(f"{path}.items.nullable", why))
    return found + (_list_map_rules(keys, items, path) if list_type == "map" else [])


def _list_map_rules(keys: list[str], items: Object | None, path: str) -> list[FieldError]:
    where = f"{path}.x-kubernetes-list-map-keys"
    found: list[FieldError] = []
    if not keys:
        found.append(field_errors.required(where, "must not be empty if x-kubernetes-list-type is map"))
    if items is None:
        return [*found, field_errors.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")]
    if items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        found.append(field_errors.invalid(f"{path}.items.type", items.get("type", ""), why))
    if len(set(keys)) != len(keys):
        found.append(field_errors.invalid(where, keys, "must not contain duplicate entries"))
    for key in keys:
        of = items.get("properties", {}).get(key)
        place = f"{path}.items.properties[{key}]"
        if of is None:
            found.append(field_errors.invalid(where, keys, "entries must all be names of item properties"))
            continue
        if of.get("type") in ("array", "object"):
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            found.append(field_errors.invalid(f"{place}.type", items.get("type", ""), why))
        if key not in items.get("required", []) and "default" not in of:
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            found.append(field_errors.required(f"{place}.default", why))
        if of.get("nullable"):
            why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            found.append(field_errors.forbidden(f"{place}.nullable", why))
    return found


def _expressions(props: Object, path: str) -> list[FieldError]:
    return [
        field_errors.required(f"{path}.x-kubernetes-validations[{place}].rule", "rule is not specified")
        for place, rule in enumerate(props.get("x-kubernetes-validations", []))
        if not rule.get("rule", "").strip()
    ]


def _defaults(props: Object, path: str, *, root: bool = False) -> list[FieldError]:
    """A default must fit its own schema."""
    found: list[FieldError] = []
    for key, inner in props.get("properties", {}).items():
        if root and key in META:
            continue
        found += _default(inner, f"{path}.properties[{key}]") + _defaults(inner, f"{path}.properties[{key}]")
    for key in ("items", "additionalProperties"):
        if isinstance(props.get(key), dict):
            found += _default(props[key], f"{path}.{key}") + _defaults(props[key], f"{path}.{key}")
    return found


def _default(props: Object, path: str) -> list[FieldError]:
    if "default" not in props:
        return []
    value: Any = copy.deepcopy(props["default"])
    schema, where = compile_schema(props), f"{path}.default"
    _, unknown = prune_value(value, schema)
    if unknown:
        return [field_errors.invalid(where, value, "must not have unknown fields")]
    fill(value, schema)
    return [
        FieldError(fault.reason, f"{where}.{fault.field}" if fault.field not in ("", "<nil>") else where, fault.body)
        for fault in validation.problems(value, schema)
    ]
