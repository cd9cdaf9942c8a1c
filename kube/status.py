"""Failures of the Kubernetes API: one exception, and its form on the wire (``kind: Status``).

Source of texts, reasons and codes: Kubernetes 1.32: apimachinery/pkg/api/errors/errors.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object
from kube.resources import Resource

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class ApiError(Exception):
    """The API said no. ``code`` is the HTTP status, ``reason`` the word for programs, ``details`` as in a Status."""

    warnings: tuple[str, ...] = ()
    """What else there is to say to the user, as ``Warning`` headers."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self._has_details = details is not None

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait before another attempt."""
        seconds = self.details.get("retryAfterSeconds")
        return float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0 else None

    def to_status(self, *, with_kind: bool = True) -> Object:
        """The body that an API server answers; without kind and apiVersion it is what KubeEdge calls ``ErrStatus``."""
        status: Object = {"kind": "Status", "apiVersion": "v1"} if with_kind else {}
        status |= {"metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            status["reason"] = self.reason
        if self.details or self._has_details:
            status["details"] = dict(self.details)
        return status | {"code": self.code}

    @staticmethod
    def from_status(status: Mapping[str, Any], *, code: int = 0) -> ApiError:
        """Reads a Status as any server may send it; ``code`` counts where the Status has none."""
        own = status.get("code")
        code = own if isinstance(own, int) and not isinstance(own, bool) and own else code or 500
        reason = _text(status.get("reason")) or _REASONS.get(code, "")
        message = _text(status.get("message")) or describe(code)
        details = status.get("details")
        return make(code, reason, message, details if isinstance(details, dict) else None)


class NotFound(ApiError):
    """404."""


class AlreadyExists(ApiError):
    """409, reason AlreadyExists."""


class Conflict(ApiError):
    """409, reason Conflict: another version or another uid than the caller thought."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is older than the server remembers. List again."""


class ApiUnreachable(ApiError):
    """No usable answer: not reached, cut off, or too slow. Whether a write was done is not known."""

    def __init__(self, message: str) -> None:
        super().__init__(503, "ServiceUnavailable", message)


class BadAnswer(ApiUnreachable):
    """Something answered, but not as a Kubernetes API does: no JSON, wrong types, or larger than the limit."""


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_MEANINGS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "the server does not allow access to the requested resource",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    410: "the server no longer has the requested version",
    413: "the request entity is too large",
    415: "the server does not support the media type of the request",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def describe(code: int) -> str:
    """What client-go says of a bare HTTP status code."""
    return _MEANINGS.get(code) or f"the server responded with the status code {code} but did not return more information"


def make(code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> ApiError:
    """An ApiError of the subclass that fits ``code`` and ``reason``."""
    if code == 404:
        return NotFound(code, reason, message, details)
    if code == 410:
        return Gone(code, reason, message, details)
    if code == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(code, reason, message, details)
    return ApiError(code, reason, message, details)


def success(resource: Resource, name: str, uid: str = "") -> Object:
    """What a completed deletion answers."""
    details = _details(resource, name)
    if uid:
        details["uid"] = uid
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def not_found(resource: Resource, name: str) -> ApiError:
    return make(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def no_such_resource() -> ApiError:
    """A path that the server does not serve at all."""
    return make(404, "NotFound", describe(404), {})


def no_such_method() -> ApiError:
    """A path that takes other methods."""
    return make(405, "MethodNotAllowed", describe(405), {})


def unexplained(code: int, message: str) -> ApiError:
    """What a server answers to a fault for which it has no reason: only a code and a text."""
    return make(code, "", message)


def already_exists(resource: Resource, name: str, *, deleting: bool = False) -> ApiError:
    start = "object is being deleted: " if deleting else ""
    return make(409, "AlreadyExists", f'{start}{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> ApiError:
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return make(409, "Conflict", message, _details(resource, name))


def uid_conflict(resource: Resource, name: str, wanted: str, actual: str) -> ApiError:
    """A uid precondition failed. KubeEdge recognises this by its text, and takes it as "already gone"."""
    why = f"the UID in the precondition ({wanted}) does not match the UID in record ({actual})."
    return _deletion_conflict(resource, name, f"{why} The object might have been deleted and then recreated")


def version_conflict(resource: Resource, name: str, wanted: str, actual: str) -> ApiError:
    """A resourceVersion precondition of a deletion failed."""
    why = f"the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({actual})."
    return _deletion_conflict(resource, name, f"{why} The object might have been modified")


def _deletion_conflict(resource: Resource, name: str, why: str) -> ApiError:
    """Named by the kind, and not by the resource as elsewhere."""
    details = {"name": name} | ({"group": resource.group} if resource.group else {}) | {"kind": resource.kind}
    return make(409, "Conflict", f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": {why}', details)


def other_object(resource: Resource, namespace: str, name: str, wanted: str, actual: str) -> ApiError:
    """An update was meant for an object of another uid."""
    key = "/".join(part for part in ("/registry", resource.plural, namespace, name) if part)
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
    text = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return conflict(resource, name, text)


def invalid(resource: Resource, name: str, faults: Sequence[FieldError]) -> ApiError:
    """422. Several faults stand in brackets, each once, as a Go aggregate prints them."""
    texts = list(dict.fromkeys(str(fault) for fault in faults))
    shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: dict[str, Any] = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.kind, "causes": [fault.to_cause() for fault in faults]}
    return make(422, "Invalid", f'{resource.qualified_kind} "{name}" is invalid: {shown}', details)


def version_required(resource: Resource, name: str) -> ApiError:
    """422: an update of a kind whose updates must say which version they replace."""
    fault = field_errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
    details = {**_details(resource, name), "causes": [fault.to_cause()]}
    return make(422, "Invalid", f'{resource.qualified} "{name}" is invalid: {fault}', details)


def bad_request(message: str) -> ApiError:
    return make(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    return make(401, "Unauthorized", message)


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    what = f'{resource.qualified} "{name}"' if name else resource.qualified
    return make(403, "Forbidden", f"{what} is forbidden: {why}", _details(resource, name))


def in_terminating_namespace(resource: Resource, name: str, namespace: str) -> ApiError:
    """Nothing new is made in a namespace that goes away."""
    error = forbidden(resource, name, f"unable to create new content in namespace {namespace} because it is being terminated")
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    error.details["causes"] = [cause]
    return error


def method_not_supported(resource: Resource, action: str) -> ApiError:
    message = f'{action} is not supported on resources of kind "{resource.qualified}"'
    return make(405, "MethodNotAllowed", message, _details(resource, ""))


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    return make(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}", {})


def gone(message: str) -> ApiError:
    return make(410, "Gone", message)


def expired(message: str) -> ApiError:
    return make(410, "Expired", message)


def expired_version(wanted: int, oldest: int) -> ApiError:
    """A watch asked for changes since ``wanted``, the history begins at ``oldest``."""
    return expired(f"too old resource version: {wanted} ({oldest})")


def too_large_version(wanted: int, present: int) -> ApiError:
    """A read of a version that there is not yet."""
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}
    return make(504, "Timeout", f"Timeout: Too large resource version: {wanted}, current: {present}", details)


def too_large(limit: int) -> ApiError:
    """``limit`` in bytes."""
    return make(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return make(415, "UnsupportedMediaType", message)


def too_many_requests(message: str, retry_after: int) -> ApiError:
    return make(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def internal(why: str) -> ApiError:
    return make(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})


def timeout(why: str, retry_after: int = 0) -> ApiError:
    """The request was not answered in the time it had."""
    return make(504, "Timeout", f"Timeout: {why}", {"retryAfterSeconds": retry_after} if retry_after else None)


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": resource.plural}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
