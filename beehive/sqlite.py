"""One SQLite file with ONE writer that groups commits.

Everything that waits for the writer goes into one transaction; every waiter is released after its commit, none before.
WAL with ``synchronous=FULL``: what ``write`` returned from survives SIGKILL and power loss.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import outcome
import peewee
import trio

log = logging.getLogger(__name__)
T = TypeVar("T")

Migration = Callable[[peewee.SqliteDatabase], None]
"""Brings the schema one version up. Its place in the list (from 1) is that version (``PRAGMA user_version``)."""

_GROUP_LIMIT: Final = 256
_SUFFIXES: Final = ("", "-wal", "-shm")

_STORAGE_FAULTS: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Primary result codes of SQLite that tell of the file, the disk or another program, never of the statement."""


class StoreError(Exception):
    """The database could not do what was asked: a full disk, no permission, an I/O error. Nothing was half written."""


class StoreTooNew(StoreError):
    """The file was written by a newer version of the program."""


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    result: outcome.Outcome[Any] | None = None
    finished: trio.Event = field(default_factory=trio.Event)


class Database:
    """Opens ``path`` (created with its directory when missing) and migrates it.

    A file that fails its integrity check is set aside as ``<name>.corrupt-<time>``, said so loudly, and replaced by an
    empty one: ``set_aside`` then holds its new path and the owner must refill it.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration], *, busy_timeout: float = 5.0) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self.commits = 0
        self.jobs = 0
        self._migrations = migrations
        self._busy_timeout = busy_timeout
        self._limiter = trio.CapacityLimiter(1)
        self._send, self._receive = trio.open_memory_channel[_Job](_GROUP_LIMIT)
        self.peewee = peewee.SqliteDatabase(None, thread_safe=False)

    # -- opening -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Blocking: call it before the nursery starts, or in a thread.

        Raises StoreError (cannot be opened) or StoreTooNew.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot create the folder of the database {self.path}: {error.strerror}") from error
        try:
            self._connect()
        except StoreError as first:
            if not self.path.exists() or not isinstance(first.__cause__, sqlite3.DatabaseError | peewee.DatabaseError):
                raise
            if isinstance(first.__cause__, peewee.OperationalError | sqlite3.OperationalError):
                raise
            self._move_aside(str(first))
            self._connect()

    def _make_private(self) -> None:
        """Secrets are in it. SQLite gives its -wal and -shm files the mode of the database."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            for suffix in _SUFFIXES:
                file = self.path.with_name(self.path.name + suffix)
                if file.exists() and file.stat().st_mode & 0o077:
                    file.chmod(0o600)
        except OSError as error:
            raise StoreError(f"cannot open the database {self.path}: {error.strerror}") from error

    def _connect(self) -> None:
        self._make_private()
        self.peewee.init(
            str(self.path),
            pragmas={
                "journal_mode": "wal",
                "synchronous": "full",
                "busy_timeout": int(self._busy_timeout * 1000),
                "foreign_keys": 1,
                "cache_size": -1024,
            },
            check_same_thread=False,
        )
        try:
            self.peewee.connect()
            verdict = [row[0] for row in self.peewee.execute_sql("PRAGMA integrity_check(3)").fetchall()]
            if verdict != ["ok"]:
                raise peewee.DatabaseError("; ".join(str(line) for line in verdict))
            self._migrate()
        except StoreError:
            self._close_quietly()
            raise
        except (peewee.PeeweeException, sqlite3.Error) as error:
            self._close_quietly()
            raise StoreError(f"cannot open the database {self.path}: {error}") from error

    def _close_quietly(self) -> None:
        with suppress(peewee.PeeweeException, sqlite3.Error):
            self.peewee.close()

    def _migrate(self) -> None:
        (version,) = self.peewee.execute_sql("PRAGMA user_version").fetchone()
        newest = len(self._migrations)
        if version > newest:
            raise StoreTooNew(
                f"database {self.path} has schema version {version}, this program knows up to {newest}: "
                "start the version that wrote it, or a newer one"
            )
        for number in range(version, newest):
            with self.peewee.atomic():
                self._migrations[number](self.peewee)
                self.peewee.execute_sql(f"PRAGMA user_version = {number + 1}")

    def _move_aside(self, why: str) -> None:
        target = self.path.with_name(f"{self.path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
        for suffix in _SUFFIXES:
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                source.rename(target.with_name(target.name + suffix))
        self.set_aside = target
        log.error("%s. The damaged file was kept as %s; starting with an empty database", why, target)

    # -- working -----------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The writer task. Start it in the nursery that outlives every user of the database; cancel it last."""
        task_status.started()
        try:
            async for job in self._receive:
                group = [job]
                with suppress(trio.WouldBlock):
                    while len(group) < _GROUP_LIMIT:
                        group.append(self._receive.receive_nowait())
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._commit, group, limiter=self._limiter)
                for member in group:
                    member.finished.set()
        finally:
            self._close_quietly()

    async def write(self, work: Callable[[], T]) -> T:
        """Runs ``work`` (plain peewee calls, in the writer's thread) and returns its result after the commit.

        An exception of ``work`` undoes only its own statements and is raised here. Raises StoreError when the commit fails,
        and for what SQLite itself raises (but peewee.IntegrityError).
        """
        job = _Job(work)
        await self._send.send(job)
        await job.finished.wait()
        assert job.result is not None  # noqa: S101 - set by _commit before the event
        result: T = job.result.unwrap()
        return result

    read = write
    """Reads take the same road: they see every write that was asked for before them."""

    def _commit(self, group: list[_Job]) -> None:
        try:
            with self.peewee.atomic():
                for job in group:
                    job.result = self._attempt(job.work)
        except (peewee.PeeweeException, sqlite3.Error, OSError) as error:
            failure = StoreError(f"cannot write to the database {self.path}: {_storage_fault(error) or error}")
            failure.__cause__ = error
            for job in group:
                job.result = outcome.Error(failure)
        self.commits += 1
        self.jobs += len(group)

    def _attempt(self, work: Callable[[], T]) -> outcome.Outcome[T]:
        try:
            with self.peewee.savepoint():
                return outcome.Value(work())
        except (peewee.PeeweeException, sqlite3.Error) as error:
            if _storage_fault(error):
                raise
            return outcome.Error(error)
        except Exception as error:
            return outcome.Error(error)


def _storage_fault(error: BaseException) -> sqlite3.Error | None:
    """What the medium said, if it failed and not the statement.

    peewee wraps what sqlite3 raises; and SQLite rolls back by itself when the disk is full, so that the rollback that
    follows fails, too, and hides the cause.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, sqlite3.Error) and (getattr(found, "sqlite_errorcode", 0) & 0xFF) in _STORAGE_FAULTS:
            return found
        waiting += (found.__context__, found.__cause__)
    return None
