"""Regular expressions of schemas: the same answers as Python's re gives, and never out of bounds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcore.apiserver.crd.automaton import Pattern, TooMuchWork
from cloudcore.apiserver.crd.pattern import PatternError, parse

ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\w", r"\s", r"\.", "-", r"\b"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)
TEXTS = st.text(alphabet="abc1 -_.\né", max_size=8)


@settings(deadline=None)
@given(
    pattern=PATTERNS,
    begin=st.sampled_from(["", "^"]),
    end=st.sampled_from(["", "$"]),
    case=st.sampled_from(["", "(?i)"]),
    text=TEXTS,
)
def test_the_same_as_another_engine(pattern: str, begin: str, end: str, case: str, text: str) -> None:
    """Of another engine "$" is the very end only as \\Z, and letters and digits are those of ASCII."""
    theirs = re.compile(f"{case}{begin}{pattern}{'' if not end else chr(92) + 'Z'}", re.ASCII)
    assert Pattern(case + begin + pattern + end).search(text) == bool(theirs.search(text))


@settings(deadline=None)
@given(st.text(alphabet="ab\\()[]{}*+?|^$.-:<>PQEdDwsxzpL,019!=", max_size=20))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        parse(text)
    except PatternError:
        return
    Pattern(text).search("ab" * 10)


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<=a)", r"(a)\1", "a**", "(", ")", "[a", "\\", "a{2,1}", "a{1001}", "[z-a]", "*"])
def test_what_kubernetes_refuses(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)


def test_what_drives_other_engines_mad() -> None:
    assert not Pattern("^(a+)+$").search("a" * 200_000 + "b")
    assert not Pattern("^(a|a)*$").search("a" * 50_000 + "b")


def test_work_has_a_bound() -> None:
    with pytest.raises(TooMuchWork):
        Pattern("(a|b)*a(a|b){12}c").search(
            "abbabaabbb" * 20_000 + "".join(format(n, "b") for n in range(9999)).translate({48: 97, 49: 98})
        )
    with pytest.raises(PatternError, match="too large"):
        Pattern("((a{1000}){1000}){1000}")


def test_classes_of_letters() -> None:
    assert Pattern(r"^[[:alpha:]_]+$").search("Ab_")
    assert Pattern(r"^\p{Lu}\pL*$").search("Éa")
    assert not Pattern(r"^\p{Lu}$").search("a")
    assert Pattern(r"(?i)^straße$").search("STRAßE")
    assert Pattern(r"^\x41\x{e9}$").search("Aé")
