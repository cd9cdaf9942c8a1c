"""How many connections a server takes at once, and what it says of those that it turns away."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from viaduct.wire import peer_address

log = logging.getLogger(__name__)

TELL_EVERY: Final = 10.0
"""Seconds between two lines about refused connections: a flood of them must not flood the log as well."""


class Admission:
    """Counts the connections of one server. what: of which kind they are, for the log."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._open = 0
        self._refused = 0
        self._told = -math.inf

    @contextmanager
    def enter(self, stream: trio.SocketStream) -> Iterator[bool]:
        """Whether there is room; a connection without is closed at once."""
        if self._open >= self._most:
            self._refuse(stream)
            yield False
            return
        self._open += 1
        try:
            yield True
        finally:
            self._open -= 1

    def _refuse(self, stream: trio.SocketStream) -> None:
        self._refused += 1
        now = trio.current_time()
        if now - self._told >= TELL_EVERY:
            others = f", and {self._refused - 1} others before it" if self._refused > 1 else ""
            log.warning(
                "%s from %s refused%s: %d are open, as many as are allowed", self._what, peer_address(stream), others, self._most
            )
            self._told, self._refused = now, 0
        stream.socket.close()


class Started:
    """trio reports its list of listeners; the callers of our servers have these already."""

    def __init__(self, task_status: trio.TaskStatus[None]) -> None:
        self._task_status = task_status

    def started(self, value: object = None) -> None:
        self._task_status.started()
