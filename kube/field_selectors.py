"""Field selectors, as in ``kubectl get --field-selector``.

Source of the grammar: Kubernetes 1.32: apimachinery/pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from kube.objects import Object
from kube.selector_errors import SelectorError


@dataclass(frozen=True)
class FieldSelector:
    """Conditions on fields by their path: (path, value, equal)."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The fields it looks at, so that a server may refuse what it does not support."""
        return frozenset(key for key, _, _ in self.terms)

    def matches(self, obj: Object) -> bool:
        """Whether an object satisfies it; an absent field counts as "" (as false where the field is a boolean)."""
        return all((field_value(obj, key) == value) is equal for key, value, equal in self.terms)

    def required(self, key: str) -> str | None:
        """The one value that ``key`` must have, if it must have one."""
        return next((value for found, value, equal in self.terms if found == key and equal), None)

    def __str__(self) -> str:
        return ",".join(f"{key}{'=' if equal else '!='}{_escape(value)}" for key, value, equal in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)


_BOOLEANS: Final = ("spec.unschedulable", "spec.hostNetwork")


def field_value(obj: Object, path: str) -> str:
    """The value of a field as field selectors compare it."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path in _BOOLEANS else ""
    return value if isinstance(value, str) else str(value)


def parse_fields(text: str) -> FieldSelector:
    """Reads ``metadata.name=web,spec.nodeName!=edge-1``; backslash escapes ``\\``, ``,`` and ``=``.

    Raises SelectorError.
    """
    return FieldSelector(tuple(_field_term(term) for term in _split_terms(text) if term))


def _split_terms(text: str) -> list[str]:
    return re.findall(r"(?:\\.|[^,\\])+", text, re.DOTALL)


def _field_term(term: str) -> tuple[str, str, bool]:
    key, operator, value = next(
        (parts for parts in (term.partition(sign) for sign in ("!=", "==", "=")) if parts[1]), ("", "", "")
    )
    if not operator:
        raise SelectorError(f"invalid selector: '{term}'; can't understand '{term}'")
    first = term.find("=")
    if operator != "=" and first < len(key):
        key, operator, value = term.partition("=")
    return key, re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL), operator != "!="


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
