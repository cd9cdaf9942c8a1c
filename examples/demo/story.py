"""How the demo talks: one line per event, with the seconds since the start, and what to read when something went wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path


class Expected(Exception):
    """Something that the demo waited for did not happen.

    text: what was expected and what was found instead. log: the file of the program that should have done it.
    """

    def __init__(self, text: str, log: Path | None = None) -> None:
        super().__init__(text)
        self.log = log


class Story:
    def __init__(self) -> None:
        self._started = time.monotonic()
        self._bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tell(self, who: str, text: str) -> None:
        before, after = self._bold
        print(f"{self.seconds:6.1f} s  {before}{who:<6}{after}  {text}", flush=True)  # noqa: T201

    def detail(self, lines: Iterable[str]) -> None:
        for line in lines:
            print(f"{'':18}{line}", flush=True)  # noqa: T201

    def plain(self, text: str = "") -> None:
        print(text, flush=True)  # noqa: T201


def tail(log: Path, lines: int = 15) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError as error:
        return [f"({log} cannot be read: {error.strerror})"]
