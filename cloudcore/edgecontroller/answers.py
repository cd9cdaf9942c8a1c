"""The forms of an answer to a node, byte for byte as KubeEdge 1.23 edges expect them (application-path 1.5). Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from beehive.message import Message, fail, respond
from kube import objects
from kube.objects import Object
from kube.status import ApiError

SOURCE: Final = "edgecontroller"
GROUP: Final = "resource"

_EMPTY: Final[dict[str, Object]] = {
    "lease": {"metadata": {"creationTimestamp": None}, "spec": {}},
}
_EMPTY_OBJECT: Final[Object] = {"metadata": {"creationTimestamp": None}, "spec": {}, "status": {}}
_DETAILS: Final = ("name", "group", "kind", "uid", "causes", "retryAfterSeconds")


def err_status(error: ApiError) -> dict[str, Any]:
    """A metav1.Status as Go writes it inside ``ErrStatus``: no kind, fields in this order."""
    status: dict[str, Any] = {"metadata": {}, "status": "Failure", "message": error.message}
    if error.reason:
        status["reason"] = error.reason
    if error.details:
        status["details"] = {key: error.details[key] for key in _DETAILS if key in error.details}
    status["code"] = error.code
    return {"ErrStatus": status}


def object_resp(request: Message, obj: Object) -> Message:
    """``{"Object": .., "Err": null}``. The object is never null: that makes a Go edge crash."""
    return respond(
        request, {"Object": obj, "Err": None}, source=SOURCE, group=GROUP, resource_version=objects.resource_version(obj)
    )


def object_resp_failure(request: Message, type_: str, error: ApiError) -> Message:
    """The same on failure, always with a full Status: ``{}`` would count as success."""
    content = {"Object": _EMPTY.get(type_, _EMPTY_OBJECT), "Err": err_status(error)}
    return respond(request, content, source=SOURCE, group=GROUP)


def bare(request: Message, obj: Object) -> Message:
    """The object itself, for queries of ConfigMaps, Secrets, volumes and tokens."""
    return respond(request, obj, source=SOURCE, group=GROUP, resource_version=objects.resource_version(obj))


def bare_failure(request: Message, error: ApiError) -> Message:
    """Operation ``error`` with plain text: a Go edge would store any other failure as if it were the object (7b.8)."""
    return fail(request, error.message, source=SOURCE, group=GROUP)


def absent(request: Message, error: ApiError) -> Message:
    """The same where no pod minds: the text reads as an object without data too.

    A Go edge cannot tell "not found" from other failures. Of this text it stores nothing, as of any operation ``error``,
    but decodes it to an empty object, so that a pod with an optional reference starts (edge/pkg/metamanager/client).
    """
    return fail(request, json.dumps(err_status(error), separators=(",", ":")), source=SOURCE, group=GROUP)


def ok(request: Message, *, resource_version: str = "") -> Message:
    return respond(request, "OK", source=SOURCE, group=GROUP, resource_version=resource_version)


def status_failure(request: Message, error: ApiError) -> Message:
    """``{"ErrStatus": ..}`` alone, as the answer to a pod deletion carries it."""
    return respond(request, err_status(error), source=SOURCE, group=GROUP)
