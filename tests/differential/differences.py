"""Where two values differ, and which differences are known: the table in docs/api-differences.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[2] / "docs" / "api-differences.md"
_ROW = re.compile(r"\| `([a-z0-9-]+)` \|")


def known() -> list[str]:
    """The ids of the table, in its order."""
    return _ROW.findall(TABLE.read_text())


def between(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """The paths at which two JSON values differ: ``body.spec.containers[0].image``."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            below = f"{path}.{key}".lstrip(".")
            if key in one and key in other:
                yield from between(one[key], other[key], below)
            else:
                yield below
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from between(left, right, f"{path}[{place}]")
    elif type(one) is not type(other) or one != other:
        yield path


def covers(pattern: str, path: str) -> bool:
    """Whether a known difference at ``pattern`` speaks of ``path``: itself, something below it, with * for anything."""
    if not pattern:
        return True
    escaped = pattern.replace("[", "[[]")
    return any(fnmatchcase(path, escaped + end) for end in ("", ".*", "[[]*"))


def judge(paths: Iterable[str], accepted: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """(differences that are not accepted, patterns that nothing speaks for any more)."""
    found = list(paths)
    left = [path for path in found if not any(covers(pattern, path) for pattern in accepted)]
    unused = [pattern for pattern in accepted if not any(covers(pattern, path) for path in found)]
    return left, unused
