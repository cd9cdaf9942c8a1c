"""The one writer, on a real file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import peewee
import pytest
import trio

from beehive import sqlite
from beehive.files import write_atomically


def first(db: peewee.SqliteDatabase) -> None:
    db.execute_sql("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)")


def second(db: peewee.SqliteDatabase) -> None:
    db.execute_sql("ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'new'")


@asynccontextmanager
async def opened(path: Path, migrations: list[sqlite.Migration] | None = None) -> AsyncIterator[sqlite.Database]:
    database = sqlite.Database(path, migrations or [first])
    database.open()
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        yield database
        nursery.cancel_scope.cancel()


def put(database: sqlite.Database, key: str, value: str = "v") -> None:
    database.peewee.execute_sql("INSERT INTO t (k, v) VALUES (?, ?)", (key, value))


def count(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (number,) = connection.execute("SELECT count(*) FROM t").fetchone()
    connection.close()
    return int(number)


async def test_a_write_returns_after_its_commit(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.db"
    async with opened(path) as database:
        await database.write(lambda: put(database, "a"))
        assert count(path) == 1
        assert await database.read(lambda: database.peewee.execute_sql("SELECT v FROM t").fetchone()) == ("v",)


async def test_writers_that_wait_share_a_commit(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as database:
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(database.write, lambda number=number: put(database, str(number)))
        assert count(database.path) == 200
        assert database.jobs == 200
        assert database.commits < 50


async def test_a_failed_write_undoes_only_itself(tmp_path: Path) -> None:
    results: list[str] = []
    async with opened(tmp_path / "a.db") as database:

        def half() -> None:
            put(database, "half")
            raise ValueError("changed my mind")

        async def one(key: str) -> None:
            try:
                await database.write(half if key == "bad" else lambda: put(database, key))
                results.append(key)
            except ValueError as error:
                results.append(str(error))

        async with trio.open_nursery() as nursery:
            for key in ("a", "bad", "b"):
                nursery.start_soon(one, key)
        assert sorted(results) == ["a", "b", "changed my mind"]
        assert count(database.path) == 2


async def test_a_cancelled_waiter_does_not_stop_the_writer(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as database:
        with trio.CancelScope() as scope:
            scope.cancel()
            await database.write(lambda: put(database, "x"))
        await database.write(lambda: put(database, "y"))


async def test_migrations_run_once_each_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with opened(path) as database:
        await database.write(lambda: put(database, "old"))
    for _ in range(2):
        async with opened(path, [first, second]) as database:
            assert await database.read(lambda: database.peewee.execute_sql("SELECT k, w FROM t").fetchall()) == [("old", "new")]
    with pytest.raises(sqlite.StoreTooNew, match="schema version 2, this program knows up to 1"):
        sqlite.Database(path, [first]).open()
    assert count(path) == 1


async def test_a_damaged_file_is_set_aside_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"this is not a database" * 1000)
    async with opened(path) as database:
        assert database.set_aside is not None
        assert database.set_aside.read_bytes().startswith(b"this is not")
        assert str(database.set_aside) in caplog.text
        await database.write(lambda: put(database, "a"))


async def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with opened(path) as database:
        for number in range(300):
            await database.write(lambda number=number: put(database, f"key{number}", "x" * 100))
    data = bytearray(path.read_bytes())
    data[8192:12288] = os.urandom(4096)
    path.write_bytes(data)
    async with opened(path) as database:
        assert database.set_aside is not None


async def test_a_full_database_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as database:
        await database.write(lambda: put(database, "a"))
        await database.write(lambda: database.peewee.execute_sql("PRAGMA max_page_count = 5"))
        with pytest.raises(sqlite.StoreError, match="full"):
            await database.write(lambda: put(database, "big", "x" * 100_000))
        await database.write(lambda: database.peewee.execute_sql("PRAGMA max_page_count = 100000"))
        await database.write(lambda: put(database, "big", "x" * 100_000))
        assert count(database.path) == 2


async def test_the_cause_is_named_when_the_rollback_fails_too(tmp_path: Path) -> None:
    """SQLite ends the transaction by itself when the disk is full at the commit; peewee's rollback then fails."""
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def work() -> None:
        try:
            raise full
        except sqlite3.Error:
            raise sqlite3.OperationalError("cannot rollback - no transaction is active")  # noqa: B904

    async with opened(tmp_path / "a.db") as database:
        with pytest.raises(sqlite.StoreError, match="database or disk is full"):
            await database.write(work)


async def test_a_database_that_has_become_read_only_is_an_error_of_the_store(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as database:
        await database.write(lambda: database.peewee.execute_sql("PRAGMA query_only = 1"))
        with pytest.raises(sqlite.StoreError, match=r"a\.db: attempt to write a readonly database"):
            await database.write(lambda: put(database, "a"))
        await database.write(lambda: database.peewee.execute_sql("PRAGMA query_only = 0"))
        await database.write(lambda: put(database, "a"))
        assert count(database.path) == 1


async def test_a_database_that_is_damaged_under_way_is_an_error_of_the_store(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as database:
        for number in range(300):
            await database.write(lambda number=number: put(database, f"key{number}", "x" * 100))
        await database.write(lambda: database.peewee.execute_sql("PRAGMA cache_size = 1"))
        await database.write(lambda: database.peewee.execute_sql("PRAGMA query_only = 1"))
        with sqlite3.connect(database.path) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        data = bytearray(database.path.read_bytes())
        data[4096:] = os.urandom(len(data) - 4096)
        database.path.write_bytes(data)
        with pytest.raises(sqlite.StoreError, match="malformed"):
            await database.read(lambda: database.peewee.execute_sql("SELECT sum(length(v)) FROM t").fetchall())


async def test_faults_of_the_caller_stay_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as database:
        await database.write(lambda: put(database, "a"))
        with pytest.raises(peewee.IntegrityError):
            await database.write(lambda: put(database, "a"))
        with pytest.raises(peewee.OperationalError, match="no such table"):
            await database.write(lambda: database.peewee.execute_sql("SELECT * FROM nowhere"))
        with pytest.raises(sqlite3.OperationalError, match="my own"):
            await database.write(raise_my_own)


def raise_my_own() -> None:
    raise sqlite3.OperationalError("my own")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(sqlite.StoreError, match=str(tmp_path / "file")):
        sqlite.Database(tmp_path / "file" / "a.db", [first]).open()


KILLED = """
import sys, trio
from pathlib import Path
from beehive import sqlite

async def main():
    database = sqlite.Database(Path(sys.argv[1]), [lambda db: db.execute_sql("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)")])
    database.open()
    async def writer(name):
        number = 0
        while True:
            key = f"{name}-{number}"
            await database.write(lambda: database.peewee.execute_sql("INSERT INTO t (k, v) VALUES (?, 'v')", (key,)))
            print(key, flush=True)
            number += 1
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        for name in "abcd":
            nursery.start_soon(writer, name)

trio.run(main)
"""


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(100)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    database = sqlite.Database(path, [first])
    database.open()
    found = {row[0] for row in database.peewee.execute_sql("SELECT k FROM t").fetchall()}
    database.peewee.close()
    assert database.set_aside is None
    assert set(acknowledged) <= found


def test_files_are_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["key.pem"]
    with pytest.raises(TypeError):
        write_atomically(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["key.pem"]


async def test_a_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """Secrets are in it; also one that another program left open to all is closed."""
    path = tmp_path / "a.db"
    path.touch(mode=0o644)
    async with opened(path) as database:
        await database.write(lambda: put(database, "a"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
