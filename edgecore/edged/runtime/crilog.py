"""Reading the end of a log in CRI's format: ``<time> <stream> F|P <text>``."""

from __future__ import annotations

from pathlib import Path

OVERHEAD = 64
"""At most so many bytes stand before the text of a line."""


def tail(path: Path, *, lines: int, limit: int) -> str:
    """The last ``lines`` lines and of these the last ``limit`` bytes; empty when there is no log. Raises OSError."""
    want = limit + (lines + 1) * OVERHEAD + 64 * 1024
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - want))
            data = file.read(want)
    except FileNotFoundError:
        return ""
    raw = data.split(b"\n")
    if size > want:
        raw = raw[1:]  # the first one is cut
    text = b"".join(_text(line) for line in raw if line)
    return b"".join(text.splitlines(keepends=True)[-lines:])[-limit:].decode(errors="replace")


def _text(line: bytes) -> bytes:
    parts = line.split(b" ", 3)
    if len(parts) < 4:
        return line + b"\n"
    return parts[3] if parts[2].startswith(b"P") else parts[3] + b"\n"
