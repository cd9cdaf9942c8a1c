"""Objects inside of objects (x-kubernetes-embedded-resource) say what they are, and have metadata as all objects have.

Rules: Kubernetes 1.34: apiextensions-apiserver/pkg/apiserver/schema/objectmeta/validation.go.
"""

from __future__ import annotations

from typing import Any

from cloudcore.apiserver import names, schema
from cloudcore.apiserver.crd.structural import Schema
from cloudcore.apiserver.metadata import label_problems
from kube import field_errors
from kube.field_errors import FieldError


def problems(value: Any, of: Schema | None, path: str = "") -> list[FieldError]:
    """What is wrong with the embedded objects in a value."""
    if of is None:
        return []
    found: list[FieldError] = []
    if isinstance(value, dict):
        if of.embedded:
            found += _object(value, path)
        for key, inner in value.items():
            if key in of.properties:
                found += problems(inner, of.properties[key], f"{path}.{key}" if path else key)
            elif isinstance(of.additional, Schema):
                found += problems(inner, of.additional, f"{path}[{key}]")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            found += problems(inner, of.items, f"{path}[{place}]")
    return found


def _object(value: dict[str, Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key in ("apiVersion", "kind"):
        word, where = value.get(key), f"{path}.{key}"
        if key not in value:
            found.append(field_errors.required(where))
        elif not isinstance(word, str):
            found.append(field_errors.invalid(where, word, "must be a string"))
        elif not word:
            found.append(field_errors.invalid(where, word, "must not be empty"))
        elif key == "apiVersion" and word.count("/") > 1:
            found.append(field_errors.invalid(where, word, f"unexpected GroupVersion string: {word}"))
        elif key == "kind" and (why := names.dns_label_problem(word.lower())) is not None:
            found.append(field_errors.invalid(where, word, f"may have mixed case, but should otherwise match: {why}"))
    if value.get("metadata") is not None:
        try:
            metadata, _ = schema.conform("ObjectMeta", value["metadata"])
        except schema.WrongType as error:
            return [*found, field_errors.invalid(f"{path}.metadata", value["metadata"], str(error))]
        found += label_problems(metadata.get("labels", {}), f"{path}.metadata.labels")
    return found
