"""One log format for every program: time, level, logger, text, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")


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
    for noisy in ("httpx2", "httpcore2", "hypercorn", "urllib3", "docker", "trio-websocket", "peewee"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
