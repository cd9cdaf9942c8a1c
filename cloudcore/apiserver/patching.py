"""Patches: their form, what they make of an object, and their faults as answers."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from cloudcore.apiserver import body, schema
from cloudcore.apiserver.kinds import Kind
from kube import field_errors, patch, status
from kube.jsonpatch import MAX_OPERATIONS
from kube.objects import Object
from kube.strategies import PLAIN, Strategy, strategy_for

_JSON: Final = "application/json-patch+json"
_MERGE: Final = "application/merge-patch+json"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_APPLY: Final = ("application/apply-patch+yaml", "application/apply-patch+cbor")
_MAP: Final = "map[string]interface {}"
_OPERATION: Final = "handlers.jsonPatchOp"


def check_media(kind: Kind, media: str) -> str:
    """Raises ApiError (415)."""
    if media in _APPLY:
        text = "server-side apply is not supported by the embedded Kubernetes API; use kubectl apply without --server-side"
        raise status.make(415, "UnsupportedMediaType", text)
    if media not in (_JSON, _MERGE, _STRATEGIC):
        raise status.make(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if media == _STRATEGIC and not kind.strategic:
        raise status.unsupported_media_type((_JSON, _MERGE))
    return media


def decode(media: str, data: bytes) -> Any:
    """The patch as JSON values. Raises ApiError (400, 413)."""
    prefix = "" if media == _STRATEGIC else "error decoding patch: "
    try:
        found = body.decode_json(data)
    except body.NotJson as error:
        raise status.bad_request(f"{prefix}{error}") from error
    if media == _JSON:
        return _operations(found, prefix)
    if found is None and media == _MERGE:
        raise status.bad_request("Invalid JSON Patch")
    if found is not None and not isinstance(found, dict):
        raise status.bad_request(f"{prefix}json: cannot unmarshal {schema.kind_of(found)} into Go value of type {_MAP}")
    return found or {}


def _operations(found: Any, prefix: str) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise status.bad_request(f"{prefix}json: cannot unmarshal {schema.kind_of(found)} into Go value of type []{_OPERATION}")
    for operation in found:
        if not isinstance(operation, dict):
            why = f"json: cannot unmarshal {schema.kind_of(operation)} into Go value of type {_OPERATION}"
            raise status.bad_request(prefix + why)
    if len(found) > MAX_OPERATIONS:
        why = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(found)}"
        raise status.make(413, "RequestEntityTooLarge", f"Request entity too large: {why}")
    return found


def patched(kind: Kind, media: str, present: Object, change: Any, validation: str) -> tuple[Object, tuple[str, ...]]:
    """The object after the patch, and warnings about what was left out of it.

    Raises ApiError: a patch that does not fit (422), or is malformed (400).
    """
    result = apply(kind, media, present, change)
    try:
        return body.fit(kind, result, validation, in_order=False)
    except body.Unfit as error:
        shown = go_text(change) if media == _STRATEGIC else msgspec.json.encode(result).decode()
        fault = field_errors.invalid("patch", shown, str(error))
        raise status.make(422, "Invalid", f' "" is invalid: {fault}', {"causes": [fault.to_cause()]}) from error


def apply(kind: Kind, media: str, present: Object, change: Any) -> Any:
    """What is left of ``present`` after the patch; not checked yet. Raises ApiError (400, 422)."""
    try:
        if media == _JSON:
            return patch.json_patch(present, change)
        if media == _MERGE:
            return patch.merge_patch(present, change)
        return patch.strategic_merge(present, change, _strategy(kind))
    except patch.PatchDoesNotApply as error:
        raise status.make(422, "Invalid", status.describe(422), {}) from error
    except RecursionError as error:
        raise status.bad_request("the patch makes the object nest too deeply") from error
    except patch.PatchError as error:
        if media == _JSON:
            raise status.make(422, "Invalid", status.describe(422), {}) from error
        raise status.bad_request(str(error)) from error


def _strategy(kind: Kind) -> Strategy:
    return strategy_for(kind.resource.api_version, kind.resource.kind) or PLAIN


def go_text(value: Any) -> str:
    """A JSON value as Go prints it with %v."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
