"""Learns that a process has ended which is not our child, without polling: its pidfd becomes readable."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

import trio

from edgecore.edged.runtime import processstate

POLL = 0.5
"""Seconds between looks on kernels without pidfd (before 5.3)."""


class ProcessWatch:
    """Watches processes by (pid, start time) and says under which tag they were added."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._tags: dict[int, tuple[tuple[int, int], str]] = {}
        self._known: set[tuple[int, int]] = set()
        self._polled: dict[tuple[int, int], str] = {}

    def add(self, process: tuple[int, int], tag: str) -> None:
        """A process that has gone already is reported at the next ``gone``. Adding it twice is adding it once."""
        if process in self._known:
            return
        self._known.add(process)
        handle = open_pidfd(process)
        if handle is None:
            self._polled[process] = tag
            return
        self._tags[handle] = (process, tag)
        self._epoll.register(handle, select.EPOLLIN)

    async def gone(self) -> set[str]:
        """Waits until at least one has ended; the tags of all that have."""
        while True:
            found = self._collect()
            if found:
                await trio.lowlevel.checkpoint()
                return found
            with trio.move_on_after(POLL if self._polled else float("inf")):
                await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _collect(self) -> set[str]:
        found = set()
        for handle, _ in self._epoll.poll(0):
            process, tag = self._tags.pop(handle)
            self._known.discard(process)
            self._epoll.unregister(handle)
            os.close(handle)
            found.add(tag)
        for process in [item for item in self._polled if not processstate.alive(item)]:
            self._known.discard(process)
            found.add(self._polled.pop(process))
        return found

    def close(self) -> None:
        """Forgets all; the watch cannot be used any more."""
        for handle in self._tags:
            os.close(handle)
        self._tags.clear()
        self._epoll.close()


def open_pidfd(process: tuple[int, int]) -> int | None:
    """A handle of this very process; None when it has gone or the kernel has no such thing."""
    try:
        handle = os.pidfd_open(process[0])
    except OSError:
        return None
    if not processstate.alive(process):  # the pid was used again before we opened it
        os.close(handle)
        return None
    return handle


async def wait_all_gone(processes: Iterable[tuple[int, int]]) -> None:
    """Returns when none of them lives. Not bounded: the caller sets the deadline."""
    for process in processes:
        handle = open_pidfd(process)
        if handle is not None:
            try:
                await trio.lowlevel.wait_readable(handle)
            finally:
                os.close(handle)
            continue
        while processstate.alive(process):  # noqa: ASYNC110 - an old kernel: nothing would tell us
            await trio.sleep(POLL / 5)
