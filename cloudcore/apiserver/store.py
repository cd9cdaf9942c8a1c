"""All objects of the embedded API: SQLite below, a cache for reads above, one global revision through both.

Writers hand in a function; one task applies whatever waits, commits it as one transaction and only then publishes it to
readers and watchers, in revision order. So nobody ever sees, or is told about, a state that a crash could take back.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import outcome
import peewee
import trio

from beehive.sqlite import Database, StoreError
from cloudcore.apiserver.history import Change, Entry, History
from cloudcore.apiserver.shelf import Place, Shelf
from kube.objects import Object

log = logging.getLogger(__name__)

Key: TypeAlias = tuple[str, str, str]
"""Resource (plural, with group when it has one), namespace ("" for cluster-scoped), name."""

Mutation: TypeAlias = Callable[[Object | None], Object | None]
"""Gets a private copy of the present object (None: there is none) and returns the next one (None: remove it).

It runs in the store's task, must not block, and may raise: then nothing is written and the caller gets the exception.
"""

_BATCH: Final = 256
_SLICE: Final = 0.02
"""Seconds after which those who do not write get their turn, while a batch is being made."""


def _create_schema(database: peewee.SqliteDatabase) -> None:
    database.execute_sql(
        "CREATE TABLE objects (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL, "
        "revision INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID"
    )
    database.execute_sql("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    database.execute_sql("INSERT INTO counters VALUES ('revision', 0)")


MIGRATIONS: Final = [_create_schema]


@dataclass(eq=False)
class _Request:
    key: Key
    mutation: Mutation
    dry_run: bool = False
    result: outcome.Outcome[Result] | None = None
    finished: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True)
class Result:
    """before: what was there. after: what is there now; None when removed."""

    before: Entry | None
    after: Entry | None
    removed: Entry | None = None
    """The last state of a removed object, carrying the revision of its removal."""


class Store:
    """``open`` it, keep ``run`` running, then read at once from the cache and write through ``mutate``."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, MIGRATIONS)
        self.revision = 0
        """The newest revision that readers can see."""
        self._assigned = 0
        self._shelves: dict[str, Shelf] = {}
        self._histories: dict[str, History] = {}
        self._staged: dict[Key, Entry | None] = {}
        self._start_revision = 0
        self._send, self._receive = trio.open_memory_channel[_Request](_BATCH)

    # -- opening -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Blocking. Loads every object.

        Raises StoreError.
        """
        self.database.open()
        if self.database.set_aside is not None:
            self._put_back(self.database.set_aside)
        connection = self.database.peewee
        (self.revision,) = connection.execute_sql("SELECT value FROM counters WHERE name = 'revision'").fetchone()
        self._assigned = self._start_revision = self.revision
        rows = connection.execute_sql("SELECT resource, namespace, name, revision, value FROM objects")
        for resource, namespace, name, revision, value in rows:
            obj = msgspec.json.decode(value)
            self._shelf(resource).put((namespace, name), Entry(revision, obj, bytes(value)))

    def _put_back(self, damaged: Path) -> None:
        """Beginning empty would tell every edge to remove everything: that is for a person to decide."""
        self.close()
        path = self.database.path
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
            kept = damaged.with_name(damaged.name + suffix)
            if kept.exists():
                kept.rename(path.with_name(path.name + suffix))
        raise StoreError(
            f"the database {path} is damaged. Restore it from a backup, or save what can be read with "
            f"`sqlite3 {path} .recover`; to begin with an empty cluster instead, move the file away"
        )

    def close(self) -> None:
        """Harmless when it is closed already."""
        with suppress(peewee.PeeweeException, sqlite3.Error):
            self.database.peewee.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The writing task. It must outlive every writer."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.database.run)
            task_status.started()
            async for first in self._receive:
                batch = [first]
                with suppress(trio.WouldBlock):
                    while len(batch) < _BATCH:
                        batch.append(self._receive.receive_nowait())
                with trio.CancelScope(shield=True):
                    await self._process(batch)

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str, name: str) -> Entry | None:
        """The committed state. Its object is shared: never change it."""
        return self._shelf(resource).get((namespace, name))

    def peek(self, resource: str, namespace: str, name: str) -> Entry | None:
        """For mutations: also sees what is being written together with them."""
        key = (resource, namespace, name)
        return self._staged[key] if key in self._staged else self.get(*key)

    def entries(self, resource: str, namespace: str = "", after: Place | None = None) -> list[Entry]:
        """Every object of a kind, in the order of namespace and name; with ``after`` those behind that place. Shared: never
        change them."""
        return self._shelf(resource).entries(namespace, after)

    def count(self, resource: str) -> int:
        return len(self._shelf(resource))

    def _shelf(self, resource: str) -> Shelf:
        if resource not in self._shelves:
            self._shelves[resource] = Shelf()
        return self._shelves[resource]

    def history(self, resource: str) -> History:
        """What has happened to a kind lately, for watchers."""
        if resource not in self._histories:
            self._histories[resource] = History(self._start_revision)
        return self._histories[resource]

    # -- writing -----------------------------------------------------------------------------------------------------

    async def mutate(self, resource: str, namespace: str, name: str, mutation: Mutation, *, dry_run: bool = False) -> Result:
        """Applies ``mutation`` and returns once its result is committed and visible.

        A mutation that changes nothing writes nothing; a dry run only tells what would be. Raises what the mutation
        raises, or StoreError.
        """
        request = _Request((resource, namespace, name), mutation, dry_run)
        await self._send.send(request)
        await request.finished.wait()
        assert request.result is not None  # noqa: S101 - set before the event
        return request.result.unwrap()

    async def _process(self, batch: list[_Request]) -> None:
        changes: list[tuple[Key, Change]] = []
        begun = trio.current_time()
        for request in batch:
            request.result = outcome.capture(self._apply, request, changes)
            if trio.current_time() - begun > _SLICE:
                await trio.lowlevel.checkpoint()
                begun = trio.current_time()
        if changes:
            try:
                await self.database.write(lambda: self._persist(changes))
            except (StoreError, peewee.PeeweeException, sqlite3.Error) as error:
                self._refuse(batch, error)
            else:
                self._publish(changes)
        for request in batch:
            request.finished.set()

    def _refuse(self, batch: list[_Request], error: Exception) -> None:
        """Nothing of the batch was written. What only failed by itself, or read, may have seen the others: refuse it all."""
        log.error("%s: %d writes were refused: %s", self.database.path, len(batch), error)
        for request in batch:
            failure = StoreError(f"cannot write to the database {self.database.path}: {error}")
            failure.__cause__ = error
            request.result = outcome.Error(failure)
        self._staged.clear()

    def _apply(self, request: _Request, changes: list[tuple[Key, Change]]) -> Result:
        before = self.peek(*request.key)
        wanted = request.mutation(None if before is None else msgspec.json.decode(before.raw))
        if request.dry_run:
            return Result(before, None if wanted is None else _unsaved(wanted), before if wanted is None else None)
        if wanted is None:
            if before is None:
                return Result(None, None)
            removed = self._stamp(msgspec.json.decode(before.raw))
            changes.append((request.key, Change("DELETED", removed.revision, removed, before)))
            self._staged[request.key] = None
            return Result(before, None, removed)
        if before is not None and _same(wanted, before.obj):
            return Result(before, before)
        after = self._stamp(wanted)
        changes.append((request.key, Change("ADDED" if before is None else "MODIFIED", after.revision, after, before)))
        self._staged[request.key] = after
        return Result(before, after)

    def _stamp(self, obj: Object) -> Entry:
        revision = self._assigned + 1
        obj.setdefault("metadata", {})["resourceVersion"] = str(revision)
        raw = msgspec.json.encode(obj)
        self._assigned = revision
        return Entry(revision, msgspec.json.decode(raw), raw)

    def _persist(self, changes: list[tuple[Key, Change]]) -> None:
        connection = self.database.peewee
        for key, change in changes:
            if change.type == "DELETED":
                connection.execute_sql("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", key)
            else:
                uid = str(change.entry.obj["metadata"].get("uid", ""))
                row = (*key, uid, change.revision, change.entry.raw)
                connection.execute_sql("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", row)
        connection.execute_sql("UPDATE counters SET value = ? WHERE name = 'revision'", (changes[-1][1].revision,))

    def _publish(self, changes: list[tuple[Key, Change]]) -> None:
        self._staged.clear()
        touched: dict[str, History] = {}
        for (resource, namespace, name), change in changes:
            if change.type == "DELETED":
                self._shelf(resource).remove((namespace, name))
            else:
                self._shelf(resource).put((namespace, name), change.entry)
            touched[resource] = self.history(resource)
            touched[resource].append(change)
        self.revision = changes[-1][1].revision
        for history in touched.values():
            history.wake()


def _unsaved(obj: Object) -> Entry:
    return Entry(0, obj, msgspec.json.encode(obj))


def _same(wanted: Object, present: Object) -> bool:
    """Whether they differ in nothing but the revision that the writer saw."""
    metadata = {**wanted.get("metadata", {}), "resourceVersion": present["metadata"]["resourceVersion"]}
    return {**wanted, "metadata": metadata} == present
