"""The sets of characters that ``\\p{...}`` names: general categories of Unicode."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from typing import Final

_WORDS: Final = "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cs"
_CATEGORIES: Final = frozenset(_WORDS.split(" "))


@cache
def named(name: str) -> tuple[tuple[int, int], ...] | None:
    """The characters of a general category such as ``L`` or ``Lu``; None for another name (scripts are not known)."""
    if name == "Any":
        return ((0, sys.maxunicode),)
    if name not in _CATEGORIES:
        return None
    found: list[tuple[int, int]] = []
    start = -1
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code)).startswith(name)
        if inside and start < 0:
            start = code
        elif not inside and start >= 0:
            found.append((start, code - 1))
            start = -1
    return tuple(found)
