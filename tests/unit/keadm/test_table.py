from __future__ import annotations

import pytest

from keadm.table import duration, table


def test_columns_are_as_wide_as_what_they_hold() -> None:
    assert table(("A", "LONG"), [("abc", 1), (None, True)]) == "A     LONG\nabc   1\n-     yes\n"
    assert table(("A", "B"), []) == "A   B\n"


def test_what_steers_a_terminal_is_written_out() -> None:
    assert table(("A",), [("\x1b[2J\r\n\u202e\x9b",), ("größe",)]) == "A\n\\x1b[2J\\r\\n\\u202e\\x9b\ngröße\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.9, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (200_000, "2d")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
