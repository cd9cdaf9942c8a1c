"""Numbers as Go prints them."""

from __future__ import annotations

import re


def shown(value: float) -> str:
    """As ``%v``: 3, 0.5, 1e+06."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15 and abs(value) < 2**53):
        return str(int(value))
    return re.sub(r"e([-+])0*(\d\d)", r"e\1\2", repr(value))
