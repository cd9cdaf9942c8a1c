"""What is wrong with one field of an object, in the words of an API server.

Source of the wording: Kubernetes 1.32: apimachinery/pkg/util/validation/field/errors.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One fault. ``reason`` is the machine's word for it, ``body`` the person's (without the field)."""

    reason: str
    field: str
    body: str

    def __str__(self) -> str:
        return f"{self.field}: {self.body}" if self.field else self.body

    def to_cause(self) -> dict[str, str]:
        """As it stands in ``details.causes`` of a Status."""
        return {"reason": self.reason, "message": self.body, "field": self.field}


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, _with("Required value", detail))


def invalid(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueInvalid", field, _with(f"Invalid value: {_show(value)}", detail))


def wrong_type(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, _with(f"Invalid value: {_show(value)}", detail))


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_show(value)}")


def not_found(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {_show(value)}")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """``supported`` is shown in the order given."""
    values = ", ".join(json.dumps(item, ensure_ascii=False) for item in supported)
    detail = f"supported values: {values}" if values else ""
    return FieldError("FieldValueNotSupported", field, _with(f"Unsupported value: {_show(value)}", detail))


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, _with("Forbidden", detail))


def too_long(field: str, limit: int) -> FieldError:
    """``limit`` in bytes."""
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    """More items or properties than ``limit``."""
    what = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} {what}")


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def _show(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError):
        return json.dumps(str(value))
