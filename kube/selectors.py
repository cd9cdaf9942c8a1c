"""Label selectors, as in ``kubectl get -l`` and in objects; field selectors can be had from here, too.

Source of the grammar: Kubernetes 1.32: apimachinery/pkg/labels/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from kube.field_selectors import FieldSelector, field_value, parse_fields
from kube.objects import Object, labels
from kube.selector_errors import SelectorError

__all__ = [
    "FieldSelector",
    "LabelSelector",
    "Requirement",
    "SelectorError",
    "check_key",
    "field_value",
    "from_object",
    "parse_fields",
    "parse_labels",
    "valid_label_value",
]

Operator = Literal["=", "!=", "in", "notin", "exists", "!", "gt", "lt"]

_TOKEN: Final = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_EXPRESSIONS: Final[dict[str, Operator]] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True)
class Requirement:
    """One condition on one label. An absent key satisfies ``!=``, ``notin`` and ``!`` only."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, found: Mapping[str, Any]) -> bool:
        """Whether a set of labels satisfies it."""
        value = found.get(self.key)
        present = self.key in found
        match self.operator:
            case "exists":
                return present
            case "!":
                return not present
            case "=" | "in":
                return present and value in self.values
            case "!=" | "notin":
                return not present or value not in self.values
            case _:
                return present and self._compare(str(value))

    def _compare(self, value: str) -> bool:
        try:
            left, right = int(value), int(self.values[0])
        except ValueError:
            return False
        return left > right if self.operator == "gt" else left < right

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True)
class LabelSelector:
    """All requirements together; without any it matches everything. ``str()`` is the form for a URL."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, obj: Object) -> bool:
        """Whether an object's labels satisfy it."""
        return self.matches_labels(labels(obj))

    def matches_labels(self, found: Mapping[str, Any]) -> bool:
        return not self.nothing and all(requirement.matches(found) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return self.nothing or bool(self.requirements)


def parse_labels(text: str) -> LabelSelector:
    """Reads ``a=b,c!=d,e in (f,g),!h`` and so on; "" matches everything.

    Raises SelectorError.
    """
    return _LabelParser(text).parse()


class _LabelParser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def parse(self) -> LabelSelector:
        found: list[Requirement] = []
        while self._peek():
            found.append(self._requirement())
            if self._peek() and self._take() != ",":
                self._at -= 1
                raise SelectorError(f"found '{self._peek()}', expected: ',' or 'end of string'")
            if not self._peek() and self._tokens[-1] == ",":
                raise SelectorError("found '', expected: identifier after ','")
        return LabelSelector(tuple(sorted(found, key=lambda requirement: requirement.key)))

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._key(), "!")
        key = self._key()
        if self._peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self._take()
        if operator in ("in", "notin"):
            return Requirement(key, "in" if operator == "in" else "notin", self._set(key))
        if operator in ("<", ">"):
            return self._bound(key, "gt" if operator == ">" else "lt")
        if operator in ("=", "==", "!="):
            return Requirement(key, "!=" if operator == "!=" else "=", (self._value(key),))
        self._at -= 1
        raise self._expected("in, notin, =, ==, !=, gt, lt")

    def _bound(self, key: str, operator: Operator) -> Requirement:
        value = self._value(key)
        if not re.fullmatch(r"-?[0-9]+", value):
            why = f"Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            raise SelectorError(f"unable to parse requirement: values[0]: {why}")
        return Requirement(key, operator, (value,))

    def _set(self, key: str) -> tuple[str, ...]:
        if self._take() != "(":
            self._at -= 1
            raise SelectorError(f"unable to parse requirement: found '{self._peek()}' expected: '('")
        values: list[str] = []
        while True:
            values.append(self._value(key))
            closing = self._take()
            if closing == ")":
                return tuple(dict.fromkeys(values))
            if closing != ",":
                self._at -= 1
                raise self._expected("',' or ')'")

    def _key(self) -> str:
        key = self._take()
        if not key or key in "=!(),<>" or key in ("==", "!="):
            raise SelectorError(f"found '{key}', expected: !, identifier, or 'end of string'")
        check_key(key)
        return key

    def _value(self, key: str) -> str:
        if self._peek() in ("", ",", ")"):
            return ""
        value = self._take()
        if not _VALUE.fullmatch(value):
            raise SelectorError(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {VALUE_RULE}')
        return value

    def _peek(self) -> str:
        return str(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expected(self, what: str) -> SelectorError:
        return SelectorError(f"unable to parse requirement: found '{self._peek()}', expected: {what}")


NAME_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
    " an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def check_key(key: str) -> None:
    """Raises SelectorError unless ``key`` may be a label's key."""
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not _PREFIX.fullmatch(prefix)):
        raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{key}": {NAME_RULE}')


def valid_label_value(value: str) -> bool:
    """Whether a label may have this value."""
    return _VALUE.fullmatch(value) is not None


def from_object(selector: object) -> LabelSelector:
    """Reads a LabelSelector object (matchLabels, matchExpressions). None matches nothing, {} everything.

    Raises SelectorError.
    """
    if not isinstance(selector, dict):
        return LabelSelector(nothing=True)
    pairs = selector.get("matchLabels")
    found = [Requirement(str(key), "=", (str(value),)) for key, value in (pairs if isinstance(pairs, dict) else {}).items()]
    expressions = selector.get("matchExpressions")
    found += [_expression(entry) for entry in (expressions if isinstance(expressions, list) else ())]
    return LabelSelector(tuple(sorted(found, key=lambda requirement: requirement.key)))


def _expression(entry: object) -> Requirement:
    fields = entry if isinstance(entry, dict) else {}
    operator = _EXPRESSIONS.get(str(fields.get("operator")))
    if operator is None:
        raise SelectorError(f'"{fields.get("operator")}" is not a valid label selector operator')
    values = fields.get("values")
    values = tuple(str(value) for value in values) if isinstance(values, list) else ()
    if (operator in ("in", "notin")) != bool(values):
        detail = (
            "for 'in', 'notin' operators, values set can't be empty"
            if not values
            else "values set must be empty for exists and does not exist"
        )
        raise SelectorError(f"values: Invalid value: []: {detail}")
    return Requirement(str(fields.get("key")), operator, values)
