from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.status import ApiError, BadAnswer
from kube.watch import LineSplitter, decode


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 7), min_size=1))
def test_how_the_bytes_are_cut_makes_no_difference(lines: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(lines)
    splitter, found, at = LineSplitter(1000), [], 0
    while at < len(data):
        step = cuts[at % len(cuts)]
        found += splitter.feed(data[at : at + step])
        at += step
    expected = [line.strip() for line in data.split(b"\n") if line.strip()]
    rest = data.split(b"\n")[-1].strip()
    assert found == (expected[:-1] if rest else expected)
    assert splitter.unfinished is bool(rest)


def test_a_long_line_is_refused_before_it_is_held() -> None:
    splitter = LineSplitter(10)
    assert list(splitter.feed(b"0123456789\n")) == [b"0123456789"]
    with pytest.raises(BadAnswer, match="more than 10 bytes"):
        list(splitter.feed(b"01234567890"))


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=3).map(lambda v: json.dumps(v).encode())
)
def test_no_line_does_harm(line: bytes) -> None:
    with pytest.raises(ApiError):
        decode(line)


def test_deep_nesting_does_no_harm() -> None:
    with pytest.raises(BadAnswer):
        decode(b'{"type":"ADDED","object":' + b'{"a":' * 100_000)
