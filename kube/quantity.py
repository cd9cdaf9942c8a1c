"""Amounts of resources: ``500m``, ``1.5Gi``, ``1e3``.

Source of the grammar and of the canonical form: Kubernetes 1.32: apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Final, Literal

Form = Literal["decimal", "binary", "exponent"]

_NANO: Final = 10**9
_TEXT: Final = re.compile(r"([+-]?)([0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})([a-zA-Z]{0,2}|[eE][+-]?[0-9]{1,2})")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}


class QuantityError(ValueError):
    """A text that is no quantity."""


@dataclass(frozen=True, order=True)
class Quantity:
    """An exact amount in billionths; smaller parts are rounded up, as Kubernetes does. ``str()`` is the canonical form."""

    nanos: int
    form: Form = field(default="decimal", compare=False)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.form if self.nanos else other.form)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.form)

    def __bool__(self) -> bool:
        return self.nanos != 0

    @property
    def value(self) -> int:
        """Whole units, rounded up (bytes of memory)."""
        return -(-self.nanos // _NANO)

    @property
    def milli(self) -> int:
        """Thousandths, rounded up (millicores)."""
        return -(-self.nanos // 10**6)

    def __str__(self) -> str:
        if self.form == "binary" and abs(self.nanos) >= 1024 * _NANO:
            return _binary(self.value)
        return _decimal(self.nanos, exponent_form=self.form == "exponent")


ZERO: Final = Quantity(0)


def parse(value: object) -> Quantity:
    """Reads a quantity as it stands in an object: a text, or a bare number.

    Raises QuantityError.
    """
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise QuantityError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, digits, suffix = found.groups()
    scale, form = _scale(suffix)
    amount = Fraction(digits.rstrip(".")) * scale * _NANO
    amount = -amount if sign == "-" else amount
    return Quantity(ceil(amount) if amount >= 0 else floor(amount), form)


def _scale(suffix: str) -> tuple[Fraction, Form]:
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix], "decimal"
    if suffix in _BINARY:
        return Fraction(2) ** _BINARY[suffix], "binary"
    if suffix[0] in "eE" and suffix[1:].lstrip("+-").isdigit():
        return Fraction(10) ** int(suffix[1:]), "exponent"
    raise QuantityError("unable to parse quantity's suffix")


def _decimal(nanos: int, *, exponent_form: bool) -> str:
    if nanos == 0:
        return "0"
    exponent = -9
    while exponent < 18 and nanos % 1000 == 0:
        nanos //= 1000
        exponent += 3
    if exponent_form:
        return f"{nanos}e{exponent}" if exponent else str(nanos)
    return f"{nanos}{_DECIMAL_SUFFIX[exponent]}"


def _binary(amount: int) -> str:
    suffix = ""
    for name in _BINARY:
        if amount % 1024:
            break
        amount //= 1024
        suffix = name
    return f"{amount}{suffix}"
