"""The SQLite file of the durable journal: opened, checked, brought to the newest schema, or set aside when it is damaged.

Everything here blocks: it belongs in a thread.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from mqtt.durablebatch import Batch
from mqtt.durableload import Damaged, Found, load
from mqtt.durabletables import MIGRATIONS, write
from mqtt.journal import JournalError

log = logging.getLogger(__name__)

_SUFFIXES: Final = ("", "-wal", "-shm")
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FAULTS: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Result codes that tell of the disk, or of another program, and may pass."""
_LOCK_PATIENCE: Final = 2.0
"""Seconds that another process may still hold the file: one that is just ending."""
_PRAGMAS: Final = (
    "PRAGMA locking_mode = exclusive",
    "PRAGMA auto_vacuum = incremental",
    "PRAGMA journal_mode = wal",
    "PRAGMA synchronous = full",
    "PRAGMA journal_size_limit = 4194304",
    "PRAGMA cache_size = -1024",
    "PRAGMA trusted_schema = off",
)


class DiskFault(Exception):
    """The batch could not be written, and nothing of it was. It can be tried again."""


class JournalFile:
    """set_aside: where a damaged file was put at the start; the journal then begins empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._connection: sqlite3.Connection | None = None

    def open(self, wall: float) -> Found:
        """Returns what was kept. wall: the time now. Raises JournalError: no access, in use, written by a newer version."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"cannot create the folder of {self.path}: {error.strerror}") from error
        try:
            return self._open(wall)
        except Damaged as error:
            self._move_aside(str(error))
            return self._open(wall)

    def _open(self, wall: float) -> Found:
        self._make_private()
        try:
            connection = sqlite3.connect(
                self.path, timeout=_LOCK_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            self._connection = connection
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            self._check(connection)
            self._migrate(connection)
            return load(connection, wall)
        except (Damaged, JournalError):
            self.close()
            raise
        except sqlite3.Error as error:
            self.close()
            if _code(error) in _FAULTS:
                raise JournalError(self._said(error)) from error
            raise Damaged(f"{self.path} is damaged: {error}") from error

    def _check(self, connection: sqlite3.Connection) -> None:
        verdict = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)")]
        if verdict != ["ok"]:
            raise Damaged(f"{self.path} is damaged: {'; '.join(verdict)}".replace("\n", "; "))

    def _said(self, error: sqlite3.Error) -> str:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return f"{self.path} is in use by another process: does another broker run on this folder?"
        return f"cannot open {self.path}: {error}"

    def _make_private(self) -> None:
        """Messages and passwords of devices are in it. SQLite gives its -wal file the mode of the database."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            for suffix in _SUFFIXES:
                file = self.path.with_name(self.path.name + suffix)
                if file.exists() and file.stat().st_mode & 0o077:
                    file.chmod(0o600)
        except OSError as error:
            raise JournalError(f"cannot open {self.path}: {error.strerror}") from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        newest = len(MIGRATIONS)
        if version > newest:
            raise JournalError(
                f"{self.path} has schema version {version}, this program knows up to {newest}: "
                "start the version that wrote it, or a newer one"
            )
        for number in range(version, newest):
            connection.execute("BEGIN IMMEDIATE")
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")

    def _move_aside(self, why: str) -> None:
        target = self.path.with_name(f"{self.path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
        try:
            for suffix in _SUFFIXES:
                source = self.path.with_name(self.path.name + suffix)
                if source.exists():
                    source.rename(target.with_name(target.name + suffix))
        except OSError as error:
            raise JournalError(f"{why}. It cannot be set aside as {target}: {error.strerror}") from error
        self.set_aside = target
        log.error(
            "%s. It was kept as %s; sessions, waiting messages and retained messages begin anew, clients have to subscribe again",
            why,
            target,
        )

    def write(self, batch: Batch, offset: float) -> None:
        """One transaction. Returns when it is on disk. Raises DiskFault; or JournalError when the file is damaged."""
        connection = self._connection
        if connection is None:
            raise JournalError(f"{self.path} is closed")
        try:
            connection.execute("BEGIN IMMEDIATE")
            write(connection, batch, offset)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # SQLite may have rolled back by itself, so that this fails.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if _code(error) in _FAULTS:
                raise DiskFault(f"cannot write to {self.path}: {error}") from error
            if _code(error) in _DAMAGE:
                raise JournalError(f"{self.path} was damaged while the broker was running: {error}") from error
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
