"""When the journal is written: at once where somebody waits for it, a little later where nobody does."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final

import trio

from mqtt.journal import Journal

SOON: Final = 1.0
"""Seconds until what nobody waits for is written, with what comes until then: that a client has acknowledged a message, say,
promises nothing to anybody, and costs a message that comes twice, marked so, if the process is killed before. Retained messages
of QoS 0 that change all the time would otherwise wear a card out: each commit writes some pages of 4 KB."""


class Commits:
    """waiting: the connections to which something is held back. written: called after each commit with the time; it may record
    more.
    """

    def __init__(self, journal: Journal, nursery: trio.Nursery, waiting: Sized, written: Callable[[float], None]) -> None:
        self._journal = journal
        self._nursery = nursery
        self._waiting = waiting
        self._written = written
        self._others = 0
        self._committing = False
        self._soon = False
        self._records = 0
        self._ended = False
        self._progress = trio.Event()
        """Something was committed, or the broker has ended."""

    @property
    def behind(self) -> int:
        """How many records the disk has not taken yet."""
        return self._journal.records - self._records

    def recorded(self) -> None:
        """Something was recorded."""
        if self._committing:
            return
        if len(self._waiting) or self._others:
            self._committing = True
            self._nursery.start_soon(self._commit)
        elif not self._soon:
            self._soon = True
            self._nursery.start_soon(self._commit_soon)

    async def _commit(self) -> None:
        """Until nobody waits. What is recorded while the disk is busy becomes one commit."""
        journal = self._journal
        try:
            wanted = True
            while wanted:
                records = journal.records
                await journal.commit()
                self._records = records
                self._progress.set()
                self._progress = trio.Event()
                self._written(trio.current_time())
                wanted = journal.newest > journal.written and bool(len(self._waiting) or self._others)
        finally:
            self._committing = False
        if journal.newest > journal.written:
            self.recorded()

    async def _commit_soon(self) -> None:
        await trio.sleep(SOON)
        self._soon = False
        if self._journal.newest > self._journal.written and not self._committing:
            self._committing = True
            await self._commit()

    async def wait_for(self, batch: int) -> bool:
        """Waits until this batch is on disk. False: the broker has ended before."""
        await trio.lowlevel.checkpoint()
        self._others += 1
        try:
            while self._journal.written < batch and not self._ended:
                self.recorded()
                await self._progress.wait()
        finally:
            self._others -= 1
        return self._journal.written >= batch

    def end(self) -> None:
        self._ended = True
        self._progress.set()
