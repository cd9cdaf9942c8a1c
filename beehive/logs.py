"""One log format for every program: time, level, logger, text, on standard error."""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Final

_VARYING: Final = re.compile(r"\b[0-9a-f]{12,}\b|\d+")


def cause(text: str) -> str:
    """What stays the same of an error from one try to the next: ids, ports and times do not count."""
    return _VARYING.sub("#", text)


class _Formatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def setup(level: str = "info") -> None:
    """Configures the root logger. Calling it again changes the level only."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        root.addHandler(handler)
    for noisy in ("httpx2", "httpcore2", "urllib3", "docker", "trio-websocket", "peewee"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
