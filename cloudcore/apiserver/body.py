"""Request bodies: bounded, decoded, checked against the shape of their kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from cloudcore.apiserver import protobuf, schema
from cloudcore.apiserver.kinds import Kind
from kube import field_errors, status
from kube.objects import Object
from kube.resources import Resource

LIMIT: Final = 3 * 1024 * 1024
"""Bytes; the same as kube-apiserver's."""


_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")


def decode(data: bytes, media: str = "application/json") -> Any:
    """Raises ApiError: 415 for another form than JSON or protobuf, 400 for what is not UTF-8, broken or nested too deeply."""
    if media == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(data)
        except protobuf.ProtobufError as error:
            raise status.bad_request(f"the body of the request is not valid protobuf: {error}") from error
    if media not in ("application/json", *_PATCHES):
        raise status.unsupported_media_type(("application/json", protobuf.MEDIA_TYPE))
    try:
        value = msgspec.json.decode(data)
        data.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise status.bad_request(f"the body of the request is not valid JSON: {error}") from error
    except RecursionError as error:
        raise status.bad_request("the body of the request is nested too deeply") from error
    if schema.too_deep(value):
        raise status.bad_request(f"the body of the request is nested more than {schema.DEPTH} levels deep")
    return value


def shaped(shape: str, value: Any, *, api_version: str = "") -> tuple[Object, list[str]]:
    """A clean object and its unknown fields.

    Raises ApiError (400).
    """
    return _conform(shape, lambda found: schema.conform(shape, found), value, api_version)


def _conform(
    shape: str, conform: Callable[[Object], tuple[Object, list[str]]], value: Any, api_version: str
) -> tuple[Object, list[str]]:
    where = f' in version "{api_version}"' if api_version else ""
    if not isinstance(value, dict):
        raise status.bad_request(f"the object provided is not a {shape}: expected a JSON object")
    try:
        return conform(value)
    except schema.WrongType as error:
        raise status.bad_request(f"{shape}{where} cannot be handled as a {shape}: {error}") from error


def clean(kind: Kind, value: Any, validation: str) -> tuple[Object, tuple[str, ...]]:
    """An object of this kind, and warnings about what was left out of it. ``validation``: Strict, Warn or Ignore.

    Raises ApiError (400): another kind, wrong types, or, when strict, unknown fields.
    """
    resource = kind.resource
    obj, unknown = _conform(resource.kind, kind.conform, value, resource.api_version)
    if kind.unstructured:
        _check_custom(resource, obj)
    for key, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if obj.get(key, wanted) != wanted:
            raise status.bad_request(
                f"the API version or kind in the data ({obj.get('apiVersion')}, Kind={obj.get('kind')}) does not match the "
                f"expected one ({resource.api_version}, Kind={resource.kind})"
            )
    messages = tuple(f'unknown field "{path}"' for path in unknown)
    if messages and validation == "Strict":
        text = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise status.bad_request(f"{text}: strict decoding error: {', '.join(messages)}")
    obj.setdefault("metadata", {})
    return obj, () if validation == "Ignore" else messages


def _check_custom(resource: Resource, obj: Object) -> None:
    """Kubernetes has words of its own for custom resources of another version or kind."""
    version, kind = obj.get("apiVersion", resource.api_version), obj.get("kind", resource.kind)
    if version != resource.api_version:
        text = f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        raise status.bad_request(text)
    if kind != resource.kind:
        fault = field_errors.invalid("kind", kind, f"must be {resource.kind}")
        raise status.invalid(replace(resource, kind=kind), str(obj.get("metadata", {}).get("name", "")), [fault])
