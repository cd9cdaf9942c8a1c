from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube import quantity
from kube.quantity import Quantity, QuantityError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("1", "1"),
        ("500m", "500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("100Ki", "100Ki"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("2000", "2k"),
        ("1e3", "1e3"),
        ("1E", "1E"),
        ("1E3", "1e3"),
        ("12e-1", "1200e-3"),
        ("1000000n", "1m"),
        ("-1Gi", "-1Gi"),
        ("+3", "3"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("0Gi", "0"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert str(quantity.parse(text)) == canonical


@pytest.mark.parametrize("value", [5, 0, 1.5])
def test_bare_numbers(value: float) -> None:
    assert quantity.parse(value).nanos == value * 10**9


@pytest.mark.parametrize(
    "value", ["", "abc", "1x", "1 Gi", "Gi", "1.2.3", "1e", "--1", "1KB", ".", "1e999", None, True, [], {}, "1" * 100]
)
def test_what_is_no_quantity(value: object) -> None:
    with pytest.raises(QuantityError):
        quantity.parse(value)


@given(st.integers(-(10**30), 10**30), st.sampled_from(["decimal", "binary", "exponent"]))
def test_the_canonical_form_reads_back(nanos: int, form: quantity.Form) -> None:
    once = quantity.parse(str(Quantity(nanos, form)))
    assert str(quantity.parse(str(once))) == str(once)
    if form != "binary" or abs(nanos) < 1024 * 10**9:
        assert once.nanos == nanos
    else:
        assert 0 <= once.nanos - nanos < 10**9


@given(st.decimals(-(10**9), 10**9, allow_nan=False, places=6), st.sampled_from(["", "m", "k", "Ki", "Mi", "G"]))
def test_amounts_are_exact(number: object, suffix: str) -> None:
    scale = {"": 1, "m": Fraction(1, 1000), "k": 1000, "Ki": 1024, "Mi": 1024**2, "G": 10**9}[suffix]
    exact = Fraction(str(number)) * scale * 10**9
    assert abs(quantity.parse(f"{number:f}{suffix}").nanos - exact) < 1


@given(st.text(max_size=12))
def test_no_text_does_harm(text: str) -> None:
    try:
        quantity.parse(text)
    except QuantityError:
        pass


def test_arithmetic_and_order() -> None:
    total = quantity.parse("1Gi") + quantity.parse("512Mi")
    assert str(total) == "1536Mi"
    assert str(total - quantity.parse("1Gi")) == "512Mi"
    assert quantity.parse("1Ki") == quantity.parse("1024")
    assert quantity.parse("250m") < quantity.parse("0.3")
    assert (quantity.parse("250m").milli, quantity.parse("250m").value) == (250, 1)
    assert not quantity.parse("0")
