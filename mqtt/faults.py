"""Mistakes of ours that are met while one connection is served: they cost that connection, not the broker, and are told once."""

from __future__ import annotations

import logging

from mqtt.counters import Counters
from mqtt.journal import Journal, JournalError

log = logging.getLogger(__name__)

REASON = "internal error"
"""By which such connections are counted."""


class Faults:
    """ending: the broker ends already. broken: the journal has failed, and nothing more may be written to it."""

    def __init__(self, journal: Journal, counters: Counters) -> None:
        self._journal = journal
        self._counters = counters
        self._told: set[tuple[str, int]] = set()
        self.ending = False
        self.broken = False

    def met(self, error: Exception, where: str) -> None:
        """Counts and logs an exception that nobody expected. where: what was done, for the log.

        Raises JournalError where the journal has raised it: then memory and disk may differ, and a broker that went on might
        acknowledge what is not kept. It has to end, and to begin anew with what is on disk.
        """
        if isinstance(error, JournalError) or self._is_of_journal(error):
            if not self.broken:
                log.error("the journal has failed, %s", where, exc_info=error)
            self.broken = True
            if self.ending:
                return
            raise JournalError(f"the journal has failed: {type(error).__name__}: {error}") from error
        self._counters.closed[REASON] += 1
        place = _place(error)
        if place not in self._told:
            # Whoever can provoke it must not be able to fill the log: from the second time on it is counted only.
            self._told.add(place)
            log.error("a mistake in the broker, %s", where, exc_info=error)

    def _is_of_journal(self, error: Exception) -> bool:
        """Whether it came through a method of the journal. Asked afterwards, so that no record pays for it."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_locals.get("self") is self._journal:
                return True
            trace = trace.tb_next
        return False


def _place(error: Exception) -> tuple[str, int]:
    """File and line of the code that raised."""
    trace = error.__traceback__
    file, line = "", 0
    while trace is not None:
        file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return file, line
