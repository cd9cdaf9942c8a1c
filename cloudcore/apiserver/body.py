"""Request bodies: bounded, decoded, checked against the shape of their kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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


class NotJson(ValueError):
    """Why it is none, in the words of Go's decoder where there is one way to say it."""


class Unfit(Exception):
    """A JSON value is no object of the wanted kind; the text says why."""


def decode(data: bytes, media: str = "application/json") -> Any:
    """Raises ApiError: 415 for another form than JSON or protobuf, 400 for what is not UTF-8, broken or nested too deeply."""
    if media == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(data)
        except protobuf.ProtobufError as error:
            raise status.bad_request(f"the body of the request is not valid protobuf: {error}") from error
    if media != "application/json":
        raise status.unsupported_media_type(("application/json", protobuf.MEDIA_TYPE))
    try:
        return decode_json(data)
    except NotJson as error:
        raise status.bad_request(f"the body of the request is not valid JSON: {error}") from error


def decode_json(data: bytes) -> Any:
    """Raises NotJson, also for what is nested too deeply."""
    try:
        value = msgspec.json.decode(data)
        data.decode("utf-8")
    except msgspec.DecodeError as error:
        raise NotJson("unexpected end of JSON input" if "truncated" in str(error) else str(error)) from error
    except UnicodeDecodeError as error:
        raise NotJson(str(error)) from error
    except RecursionError as error:
        raise NotJson("it is nested too deeply") from error
    if schema.too_deep(value):
        raise NotJson(f"it is nested more than {schema.DEPTH} levels deep")
    return value


def duplicates(data: bytes, media: str) -> tuple[str, ...]:
    """The paths of fields that stand twice in one JSON object; the last one counts. ``data`` has been decoded before."""
    if media != "application/json":
        return ()
    twice = False

    def look(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        nonlocal twice
        twice = twice or len({key for key, _ in pairs}) < len(pairs)
        return pairs

    found = json.loads(data, object_pairs_hook=look)
    return tuple(_twice(found, "")) if twice else ()


def _twice(value: Any, path: str) -> Iterator[str]:
    """``value``: objects as lists of pairs, thus to be told from arrays by what is in them."""
    if not isinstance(value, list):
        return
    if not all(isinstance(item, tuple) for item in value):
        for place, item in enumerate(value):
            yield from _twice(item, f"{path}[{place}]")
        return
    seen = set()
    for key, item in value:
        below = f"{path}.{key}".lstrip(".")
        if key in seen:
            yield below
        else:
            yield from _twice(item, below)
        seen.add(key)


def shaped(shape: str, value: Any, *, api_version: str = "") -> tuple[Object, list[str]]:
    """A clean object and its unknown fields.

    Raises ApiError (400).
    """
    where = f' in version "{api_version}"' if api_version else ""
    try:
        return _conform(shape, lambda found: schema.conform(shape, found), value)
    except Unfit as error:
        raise status.bad_request(f"{shape}{where} cannot be handled as a {shape}: {error}") from error


def _conform(shape: str, conform: Callable[[Object], tuple[Object, list[str]]], value: Any) -> tuple[Object, list[str]]:
    if not isinstance(value, dict):
        raise Unfit(f"the object provided is not a {shape}: expected a JSON object")
    try:
        return conform(value)
    except schema.WrongType as error:
        raise Unfit(str(error)) from error


def clean(kind: Kind, value: Any, validation: str, twice: tuple[str, ...] = ()) -> tuple[Object, tuple[str, ...]]:
    """An object of this kind, and warnings about what was left out of it. ``validation``: Strict, Warn or Ignore.

    twice: fields that stood twice. Raises ApiError (400): another kind, wrong types, or, when strict, unknown fields.
    """
    try:
        return fit(kind, value, validation, twice)
    except Unfit as error:
        named, version = kind.resource.kind, kind.resource.version
        if isinstance(value, dict) and isinstance(value.get("kind", ""), str) and isinstance(value.get("apiVersion", ""), str):
            named, version = value.get("kind") or named, (value.get("apiVersion") or version).rpartition("/")[2]
        text = f'{named} in version "{version}" cannot be handled as a {kind.resource.kind}'
        raise status.bad_request(f"{text}: {error}") from error


def fit(
    kind: Kind, value: Any, validation: str, twice: tuple[str, ...] = (), *, in_order: bool = True
) -> tuple[Object, tuple[str, ...]]:
    """As ``clean``, but raises Unfit. in_order: name fields in the order of the document, and not of the alphabet."""
    resource = kind.resource
    if isinstance(value, dict) and not kind.unstructured:
        _check_identity(kind, value)
    obj, unknown = _conform(resource.kind, kind.conform, value)
    if kind.unstructured:
        _check_custom(resource, obj)
    if not in_order:
        unknown.sort()
    messages = (*(f'duplicate field "{path}"' for path in twice), *(f'unknown field "{path}"' for path in unknown))
    if messages and validation == "Strict":
        raise Unfit(f"strict decoding error: {', '.join(messages)}")
    obj.setdefault("metadata", {})
    return obj, () if validation == "Ignore" else messages


def _check_identity(kind: Kind, value: Object) -> None:
    wanted = kind.resource
    named, version = value.get("kind") or wanted.kind, value.get("apiVersion") or wanted.api_version
    if (named, version) != (wanted.kind, wanted.api_version):
        raise Unfit(f'no kind "{named}" is registered for version "{version}" here')


def _check_custom(resource: Resource, obj: Object) -> None:
    """Kubernetes has words of its own for custom resources of another version or kind."""
    version, kind = obj.get("apiVersion", resource.api_version), obj.get("kind", resource.kind)
    if version != resource.api_version:
        text = f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        raise status.bad_request(text)
    if kind != resource.kind:
        fault = field_errors.invalid("kind", kind, f"must be {resource.kind}")
        raise status.invalid(replace(resource, kind=kind), str(obj.get("metadata", {}).get("name", "")), [fault])
