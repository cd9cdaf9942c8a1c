"""The file of the durable journal when things are not as they should be."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mqtt.durable import FILE, Durable
from mqtt.durabletables import MIGRATIONS
from mqtt.journal import JournalError, Saved, SavedDelivery
from mqtt.limits import UNLIMITED
from mqtt.message import Message
from mqtt.packets import Publish


class Clocks:
    """now: the core's. wall: seconds since 1970."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wall = 1_000_000.0

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


Opened = Callable[[], Durable]


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def journal(tmp_path: Path, clocks: Clocks) -> Opened:
    """One that is not open yet, on the same file each time."""
    return lambda: Durable(tmp_path / "data" / FILE, clock=lambda: clocks.now, wall=lambda: clocks.wall)


def message(payload: bytes = b"x", expires: float | None = None, lifetime: int = 60) -> Message:
    properties = None if expires is None else {"message_expiry": lifetime}
    return Message(Publish("t", payload, 1, properties=properties), "sender", expires)  # type: ignore[arg-type]


async def life(journal: Durable, clocks: Clocks, *records: Callable[[Durable], None]) -> Saved:
    """What was found at its start; then the records, committed."""
    saved = await journal.open(clocks.now)
    for each in records:
        each(journal)
    await journal.commit()
    await journal.close()
    return saved


def away(journal: Durable) -> None:
    journal.session("a", None, 3600, 100.0)


def queued(number: int, expires: float | None = None, size: int = 1) -> Callable[[Durable], None]:
    return lambda journal: journal.queued("a", SavedDelivery(number, message(bytes(size), expires), 1))


# Access.


async def test_it_is_private(journal: Opened, clocks: Clocks, tmp_path: Path) -> None:
    one = journal()
    await one.open(clocks.now)
    away(one)
    await one.commit()
    files = list((tmp_path / "data").iterdir())
    assert {each.name for each in files} >= {FILE, f"{FILE}-wal"}
    assert all(each.stat().st_mode & 0o077 == 0 for each in (tmp_path / "data", *files))
    await one.close()


async def test_one_process_at_a_time(journal: Opened, clocks: Clocks) -> None:
    first = journal()
    await first.open(clocks.now)
    with pytest.raises(JournalError, match="in use by another process: does another broker run on this folder"):
        await journal().open(clocks.now)
    await first.close()
    await life(journal(), clocks)


async def test_a_folder_that_cannot_be_made(clocks: Clocks, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"cannot create the folder of .*file/mqtt\.db: "):
        await Durable(tmp_path / "file" / FILE).open(clocks.now)


async def test_a_file_of_a_newer_version_is_not_touched(journal: Opened, clocks: Clocks, tmp_path: Path) -> None:
    await life(journal(), clocks, away)
    with sqlite3.connect(tmp_path / "data" / FILE) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    one = journal()
    with pytest.raises(JournalError, match="this program knows up to"):
        await one.open(clocks.now)
    assert one.file.set_aside is None


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
async def test_every_older_version_is_brought_up(journal: Opened, clocks: Clocks, tmp_path: Path, version: int) -> None:
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data" / FILE) as database:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    assert await life(journal(), clocks, away, queued(1)) == Saved()
    assert [len(each.deliveries) for each in (await life(journal(), clocks)).sessions] == [1]


# Damage.


async def filled(journal: Durable, clocks: Clocks) -> None:
    """With more than SQLite keeps in memory."""
    await life(journal, clocks, away, *[queued(number, size=10_000) for number in range(1, 300)])


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


def damaged_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192:16384] = os.urandom(8192)
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def without_a_table(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE delivery")
    database.close()


def bad_properties(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE message SET properties = x'7fff'")
    database.close()


def lost_message(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM message WHERE key = 7")
    database.close()


@pytest.mark.parametrize("harm", [no_database, damaged_page, cut_off, without_a_table, bad_properties, lost_message])
async def test_a_damaged_file_is_set_aside_loudly(
    journal: Opened, clocks: Clocks, tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    await filled(journal(), clocks)
    path = tmp_path / "data" / FILE
    harm(path)
    before = path.read_bytes()
    one = journal()
    assert await life(one, clocks, away, queued(1)) == Saved()
    assert one.file.set_aside is not None
    if harm is not lost_message and harm is not bad_properties:
        # But for the header, which counts who has looked.
        assert one.file.set_aside.read_bytes()[100:] == before[100:]
    [said] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "damaged" in said.getMessage() or "cannot be read" in said.getMessage()
    assert str(one.file.set_aside) in said.getMessage()
    assert [len(each.deliveries) for each in (await life(journal(), clocks)).sessions] == [1]


async def test_damage_while_it_runs_is_not_papered_over(journal: Opened, clocks: Clocks, tmp_path: Path) -> None:
    await filled(journal(), clocks)
    one = journal()
    await one.open(clocks.now)
    path = tmp_path / "data" / FILE
    data = path.read_bytes()
    path.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    for number in range(1, 300):
        one.done("a", number)
    with pytest.raises(JournalError, match="was damaged while the broker was running"):
        await one.commit()
    assert one.written < one.newest
    await one.close()


# Time.


async def test_time_goes_on_while_no_broker_runs(journal: Opened, clocks: Clocks) -> None:
    await life(journal(), clocks, away, queued(1), queued(2, expires=160.0))
    clocks.wall += 50
    clocks.now = 7.0
    [session] = (await life(journal(), clocks)).sessions
    assert session.remaining == 3550
    assert [each.message.expires for each in session.deliveries] == [None, 17.0]
    clocks.wall += 20
    [session] = (await life(journal(), clocks)).sessions
    assert [each.number for each in session.deliveries] == [1]
    clocks.wall += 3600
    assert (await life(journal(), clocks)).sessions == []


async def test_who_was_connected_waits_from_the_start_of_the_next_life(journal: Opened, clocks: Clocks) -> None:
    await life(
        journal(),
        clocks,
        lambda each: each.session("a", "me", 60, None),
        lambda each: each.session("b", None, UNLIMITED, 100.0),
    )
    clocks.wall += 1000
    first, second = (await life(journal(), clocks)).sessions
    assert (first.client_id, first.username, first.remaining) == ("a", "me", 60)
    assert second.remaining == float("inf")
    clocks.wall += 59
    assert len((await life(journal(), clocks)).sessions) == 2
    clocks.wall += 2
    assert [each.client_id for each in (await life(journal(), clocks)).sessions] == ["b"]


@pytest.mark.parametrize("jump", [1.6e9, -9e5])
@pytest.mark.parametrize("noticed", ["tick", "commit"])
async def test_a_clock_that_is_set_ends_nothing(journal: Opened, clocks: Clocks, jump: float, noticed: str) -> None:
    """A gateway without a clock of its own boots in 1970 and learns the time from the network."""
    one = journal()
    await one.open(clocks.now)
    away(one)
    queued(1, expires=160.0)(one)
    await one.commit()
    clocks.wall += jump
    if noticed == "tick":
        one.tick()
    else:
        queued(2)(one)
    assert one.newest > one.written
    await one.commit()
    await one.close()
    clocks.pass_time(10.0)
    [session] = (await life(journal(), clocks)).sessions
    assert session.remaining == 3590
    assert session.deliveries[0].message.expires == 160.0


async def test_a_clock_that_runs_well_costs_nothing(journal: Opened, clocks: Clocks) -> None:
    one = journal()
    await one.open(clocks.now)
    clocks.pass_time(1000.0)
    clocks.wall += 1.0
    one.tick()
    assert one.newest == one.written
    await one.close()


async def test_a_clock_that_was_set_back_while_no_broker_ran(journal: Opened, clocks: Clocks) -> None:
    await life(journal(), clocks, away, queued(1, expires=160.0))
    clocks.wall = 5.0
    [session] = (await life(journal(), clocks)).sessions
    assert session.remaining == 3600
    assert session.deliveries[0].message.expires == 160.0, "not longer than it had at first"


# Size.


async def test_what_is_gone_gives_its_place_back(journal: Opened, clocks: Clocks, tmp_path: Path) -> None:
    path = tmp_path / "data" / FILE
    one = journal()
    await one.open(clocks.now)
    away(one)
    for number in range(1, 101):
        one.queued("a", SavedDelivery(number, message(bytes(20_000)), 1))
    await one.commit()
    for number in range(1, 101):
        one.done("a", number)
    await one.commit()
    await one.close()
    assert path.stat().st_size > 2_000_000
    await life(journal(), clocks)
    assert path.stat().st_size < 100_000


async def test_one_message_for_many_is_stored_once(journal: Opened, clocks: Clocks, tmp_path: Path) -> None:
    one = journal()
    await one.open(clocks.now)
    big = message(bytes(100_000))
    for number in range(50):
        one.session(f"c{number}", None, UNLIMITED, None)
        one.queued(f"c{number}", SavedDelivery(1, big, 1))
    one.retained("t", big)
    await one.commit()
    await one.close()
    assert (tmp_path / "data" / FILE).stat().st_size < 200_000
    saved = await life(journal(), clocks)
    assert len({id(each.deliveries[0].message) for each in saved.sessions} | {id(saved.retained[0])}) == 1


async def test_what_is_settled_before_the_commit_is_not_written(journal: Opened, clocks: Clocks, tmp_path: Path) -> None:
    one = journal()
    await one.open(clocks.now)
    away(one)
    await one.commit()
    written = one.file.path.with_name(f"{FILE}-wal").stat().st_size
    for number in range(1, 1001):
        one.queued("a", SavedDelivery(number, message(bytes(1000)), 2))
        one.sent("a", number, number)
        one.released("a", number)
        one.done("a", number)
        one.received("a", number)
        one.forgotten("a", number)
    await one.commit()
    assert one.file.path.with_name(f"{FILE}-wal").stat().st_size == written
    await one.close()


# Ends.


async def test_what_is_not_written_at_the_end_is_said(journal: Opened, clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    one = journal()
    await one.open(clocks.now)
    away(one)
    await one.close()
    assert "closed before all was written" in caplog.text
    assert await life(journal(), clocks) == Saved()
    assert caplog.text.count("closed before all was written") == 1


async def test_a_cancelled_commit_forgets_nothing(journal: Opened, clocks: Clocks) -> None:
    one = journal()
    await one.open(clocks.now)
    away(one)
    with trio.CancelScope() as scope:
        scope.cancel()
        await one.commit()
    assert one.written < one.newest
    await one.commit()
    assert one.written == one.newest
    await one.close()
    assert len((await life(journal(), clocks)).sessions) == 1
