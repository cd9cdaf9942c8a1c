"""What may stand beside an object in a request: dryRun, fieldValidation, and what a deletion and a list take.

Checks and texts: Kubernetes 1.34: apimachinery/pkg/apis/meta/v1/validation and
apimachinery/pkg/apis/meta/internalversion/validation.
"""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver import body
from cloudcore.apiserver.request import Request
from kube import field_errors, status
from kube.field_errors import FieldError
from kube.objects import Object
from kube.resources import Resource

_POLICIES: Final = ("Foreground", "Background", "Orphan")
_MATCHES: Final = ("Exact", "NotOlderThan")


def _refuse(kind: str, faults: list[FieldError]) -> None:
    if faults:
        raise status.invalid(Resource("meta.k8s.io", "v1", kind, "", "", False), "", faults)


def _dry_run_faults(wanted: list[str]) -> list[FieldError]:
    return [] if set(wanted) <= {"All"} else [field_errors.not_supported("dryRun", wanted, ("All",))]


def check_write(request: Request, kind: str) -> str:
    """The fieldValidation that is asked for. kind: CreateOptions, UpdateOptions or PatchOptions.

    Raises ApiError (422).
    """
    faults = _dry_run_faults([request.query["dryRun"]] if "dryRun" in request.query else [])
    validation = request.query.get("fieldValidation", "")
    if validation not in ("", "Ignore", "Strict", "Warn"):
        faults.append(field_errors.not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    _refuse(kind, faults)
    return validation or "Warn"


def deletion(request: Request, data: bytes) -> dict[str, Any]:
    """What a DELETE says in its body, or else in its query: arguments of Api.delete.

    Raises ApiError.
    """
    options: Object = {}
    if data.strip():
        options, _ = body.shaped("DeleteOptions", body.decode(data, request.media_type))
        if options.get("kind", "DeleteOptions") != "DeleteOptions":
            raise status.bad_request(f'no kind "{options["kind"]}" can be the options of a deletion')
    conditions = options.get("preconditions", {})
    dry_run = options.get("dryRun", [])
    if not dry_run and "dryRun" in request.query:
        dry_run = [request.query["dryRun"]]
    propagation, faults = _propagation(request, options)
    _refuse("DeleteOptions", [*faults, *_dry_run_faults(dry_run)])
    return {
        "grace_seconds": options.get("gracePeriodSeconds", request.integer("gracePeriodSeconds")),
        "uid": conditions.get("uid", ""),
        "resource_version": conditions.get("resourceVersion", ""),
        "propagation": propagation,
        "dry_run": bool(dry_run),
    }


def _propagation(request: Request, options: Object) -> tuple[str, list[FieldError]]:
    policy = options.get("propagationPolicy", request.query.get("propagationPolicy", ""))
    orphan = options.get("orphanDependents")
    if orphan is None and "orphanDependents" in request.query:
        orphan = request.flag("orphanDependents")
    if policy and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        return "", [field_errors.invalid("propagationPolicy", policy, why)]
    if policy and policy not in _POLICIES:
        return "", [field_errors.not_supported("propagationPolicy", policy, (*_POLICIES, "nil"))]
    return policy if orphan is None else "Orphan" if orphan else "Background", []


def check_list(request: Request) -> None:
    """For lists and watches. Raises ApiError (422)."""
    query = request.query
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    faults: list[FieldError] = []
    path = "resourceVersionMatch"
    if request.flag("watch"):
        faults += _watch_faults(request, match)
    elif match:
        if not version:
            faults.append(field_errors.forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if query.get("continue"):
            faults.append(field_errors.forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in _MATCHES:
            faults.append(field_errors.not_supported(path, match, (*_MATCHES, "")))
        if match == "Exact" and version == "0":
            why = f'resourceVersionMatch "exact" is forbidden for resourceVersion "{version}"'
            faults.append(field_errors.forbidden(path, why))
    if "sendInitialEvents" in query and not request.flag("watch"):
        faults.append(field_errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    _refuse("ListOptions", faults)


def _watch_faults(request: Request, match: str) -> list[FieldError]:
    faults = []
    if request.query.get("continue"):
        faults.append(
            field_errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        )
    if "sendInitialEvents" not in request.query:
        if match:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            faults.append(field_errors.forbidden("resourceVersionMatch", why))
        return faults
    if match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        faults.append(field_errors.forbidden("resourceVersionMatch", why))
        if match:
            faults.append(field_errors.not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
    return faults
