"""Files of lines that say who may: read with a bound, refused with file, line and reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_MOST: Final = 16 * 1024 * 1024
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}")


class AccessFileError(ValueError):
    """``file: line 3: what is wrong``. line: None when the file cannot be read at all."""

    def __init__(self, origin: str, line: int | None, problem: str) -> None:
        where = origin if line is None else f"{origin}: line {line}"
        super().__init__(f"{where}: {problem}")


def first_word(word: str) -> str:
    """How an error names what a line begins with: not at all when it may be a secret, for somebody has named the wrong file."""
    return f"`{word}`" if _WORD.fullmatch(word) else "what stands at the beginning"


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without their ends. Raises AccessFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise AccessFileError(str(path), None, f"cannot be read: {error.strerror}") from None
    if len(data) > _MOST:
        raise AccessFileError(str(path), None, f"has more than {_MOST} bytes")
    lines = data.split(b"\n")
    return [_decoded(line, path, number).rstrip("\r") for number, line in enumerate(lines, 1)]


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise AccessFileError(str(path), number, "is not UTF-8") from None
