from __future__ import annotations

import pytest

from beehive.logs import cause


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("endpoint web (0a1b2c3d4e5f60718293): port 80 is taken", "endpoint web (ffffffffffff60718293): port 80 is taken", True),
        ("read udp 10.0.0.5:48213->10.0.0.1:53: i/o timeout", "read udp 10.0.0.5:9->10.0.0.1:53: i/o timeout", True),
        ("no such image", "no such host", False),
        ("", "x", False),
    ],
)
def test_what_is_one_cause(one: str, other: str, same: bool) -> None:
    assert (cause(one) == cause(other)) is same
