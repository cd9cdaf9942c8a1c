"""Rows of text in columns, as kubectl prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """With a line break at the end. Strangers have named what stands here: what would steer a terminal is written out."""
    lines = [list(heads), *([_cell(each) for each in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "".join("   ".join(line).rstrip() + "\n" for line in padded)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(value))


def duration(seconds: float | None) -> str:
    """As kubectl says ages: 45s, 12m, 3h, 5d."""
    if seconds is None:
        return "-"
    for unit, size, most in (("s", 1, 120), ("m", 60, 120), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86400)}d"
