"""Texts and bodies of failures, compared with what a Kubernetes 1.32 API server answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube import field_errors, status
from kube.resources import CONFIG_MAPS, LEASES, NODES, PODS
from kube.status import AlreadyExists, ApiError, Conflict, Gone, NotFound


def test_not_found_word_for_word() -> None:
    assert status.not_found(CONFIG_MAPS, "cm1").to_status(with_kind=False) == {
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "cm1" not found',
        "reason": "NotFound",
        "details": {"name": "cm1", "kind": "configmaps"},
        "code": 404,
    }


def test_a_group_is_part_of_the_name() -> None:
    error = status.already_exists(LEASES, "edge-1")
    assert str(error) == 'leases.coordination.k8s.io "edge-1" already exists'
    assert error.to_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(error),
        "reason": "AlreadyExists",
        "details": {"name": "edge-1", "group": "coordination.k8s.io", "kind": "leases"},
        "code": 409,
    }


@pytest.mark.parametrize(
    ("error", "code", "reason", "text"),
    [
        (
            status.conflict(NODES, "n"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on nodes "n": the object has been modified; '
            "please apply your changes to the latest version and try again",
        ),
        (
            status.uid_conflict(PODS, "web", "a", "b"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on Pod "web": the UID in the precondition (a) does not match the UID in record (b). '
            "The object might have been deleted and then recreated",
        ),
        (
            status.version_conflict(PODS, "web", "1", "2"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on Pod "web": the ResourceVersion in the precondition (1) does not match the '
            "ResourceVersion in record (2). The object might have been modified",
        ),
        (status.forbidden(PODS, "web", "no"), 403, "Forbidden", 'pods "web" is forbidden: no'),
        (status.forbidden(PODS, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (status.unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (status.bad_request("what"), 400, "BadRequest", "what"),
        (
            status.method_not_supported(NODES, "delete"),
            405,
            "MethodNotAllowed",
            'delete is not supported on resources of kind "nodes"',
        ),
        (status.expired_version(3, 9), 410, "Expired", "too old resource version: 3 (9)"),
        (status.gone("over"), 410, "Gone", "over"),
        (status.too_large(3145728), 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
        (status.internal("boom"), 500, "InternalError", "Internal error occurred: boom"),
        (status.timeout("late", 3), 504, "Timeout", "Timeout: late"),
        (status.no_such_resource(), 404, "NotFound", "the server could not find the requested resource"),
        (status.not_acceptable(["a", "b"]), 406, "NotAcceptable", "only the following media types are accepted: a, b"),
        (
            status.unsupported_media_type(["application/json"]),
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json",
        ),
        (status.too_many_requests("wait", 2), 429, "TooManyRequests", "wait"),
    ],
)
def test_codes_reasons_and_texts(error: ApiError, code: int, reason: str, text: str) -> None:
    assert (error.code, error.reason, str(error)) == (code, reason, text)


def test_one_invalid_field() -> None:
    error = status.invalid(PODS, "web", [field_errors.required("spec.containers")])
    assert str(error) == 'Pod "web" is invalid: spec.containers: Required value'
    assert error.details == {
        "name": "web",
        "kind": "Pod",
        "causes": [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers"}],
    }


def test_several_invalid_fields_stand_in_brackets() -> None:
    faults = [
        field_errors.not_supported("spec.restartPolicy", "Sometimes", ["Always", "OnFailure", "Never"]),
        field_errors.invalid("metadata.name", "A_b", "bad"),
        field_errors.duplicate("spec.containers[1].name", "a"),
        field_errors.duplicate("spec.containers[1].name", "a"),
    ]
    assert str(status.invalid(LEASES, "l", faults)) == (
        'Lease.coordination.k8s.io "l" is invalid: ['
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never", '
        'metadata.name: Invalid value: "A_b": bad, '
        'spec.containers[1].name: Duplicate value: "a"]'
    )


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (field_errors.invalid("a", 5), "a: Invalid value: 5"),
        (field_errors.invalid("a", None), "a: Invalid value: null"),
        (field_errors.invalid("a", object), "a: Invalid value: \"<class 'object'>\""),
        (field_errors.forbidden("a", "no"), "a: Forbidden: no"),
        (field_errors.not_found("a", "x"), 'a: Not found: "x"'),
        (field_errors.too_long("a", 63), "a: Too long: may not be more than 63 bytes"),
        (field_errors.wrong_type("a", True), "a: Invalid value: true"),
    ],
)
def test_field_errors(fault: field_errors.FieldError, text: str) -> None:
    assert str(fault) == text


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (409, "", Conflict),
        (410, "Expired", Gone),
        (410, "Gone", Gone),
        (500, "InternalError", ApiError),
    ],
)
def test_the_class_follows_the_code(code: int, reason: str, kind: type[ApiError]) -> None:
    assert type(ApiError.from_status({"code": code, "reason": reason})) is kind


@given(st.sampled_from([200, 404, 409, 410, 422]), st.text(), st.text(), st.dictionaries(st.text(), st.integers()))
def test_a_status_survives_the_wire(code: int, reason: str, message: str, details: dict[str, int]) -> None:
    before = status.make(code, reason, message, details)
    after = ApiError.from_status(before.to_status())
    assert (after.code, after.details) == (code, details)
    assert not message or after.message == message
    assert not reason or after.reason == reason


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["code", "reason", "message", "details", "status", "kind"], _json)))
def test_any_status_can_be_read(found: dict[str, Any]) -> None:
    error = ApiError.from_status(found)
    assert isinstance(error.code, int)
    assert isinstance(error.details, dict)
    assert str(error)
    assert error.retry_after is None or error.retry_after > 0


def test_success_of_a_deletion() -> None:
    assert status.success(CONFIG_MAPS, "cm", "u") == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "cm", "kind": "configmaps", "uid": "u"},
    }
