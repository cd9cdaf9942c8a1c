"""The store: order, durability, one transaction for whatever waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from beehive.sqlite import StoreError
from cloudcore.apiserver.history import Expired
from cloudcore.apiserver.store import Store
from kube.objects import Object

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        store = Store(tmp_path / "objects.db")
        await trio.to_thread.run_sync(store.open)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()

    return opened


def put(value: int) -> Callable[[Object | None], Object]:
    return lambda _present: {"metadata": {"uid": "u"}, "value": value}


def remove(_present: Object | None) -> None:
    return None


async def test_what_is_written_is_there_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.mutate("pods", "d", "a", put(1))
        await store.mutate("pods", "d", "b", put(2))
        await store.mutate("pods", "d", "b", remove)
        assert store.revision == 3
    async with open_store() as store:
        assert store.revision == 3
        assert [entry.obj["value"] for entry in store.entries("pods")] == [1]
        result = await store.mutate("pods", "d", "b", put(3))
        assert result.after is not None
        assert result.after.revision == 4, "a revision is never used twice"
        history = store.history("pods")
        assert [change.revision for change in history.read(history.place_after(3))] == [4]
        with pytest.raises(Expired):
            history.place_after(2)


async def test_everybody_that_waits_shares_a_commit(open_store: OpenStore) -> None:
    async with open_store() as store:
        before = store.database.commits
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(store.mutate, "pods", "d", f"p{number}", put(number))
        assert store.database.commits - before <= 20
        assert store.count("pods") == 200
        revisions = [change.revision for change in store.history("pods").read(0, 1000)]
        assert revisions == list(range(1, 201))


async def test_concurrent_changes_of_one_object_are_all_counted(open_store: OpenStore) -> None:
    def count(present: Object | None) -> Object:
        return {"metadata": {}, "value": present["value"] + 1 if present else 1}

    async with open_store() as store:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(store.mutate, "pods", "d", "a", count)
        entry = store.get("pods", "d", "a")
        assert entry is not None
        assert entry.obj["value"] == 100
        assert entry.obj["metadata"]["resourceVersion"] == str(entry.revision) == "100"


async def test_an_exception_costs_its_own_change_only(open_store: OpenStore) -> None:
    def fail(_present: Object | None) -> Object:
        raise KeyError("mine")

    async with open_store() as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.mutate, "pods", "d", "a", put(1))
            with pytest.raises(KeyError, match="mine"):
                await store.mutate("pods", "d", "b", fail)
        assert store.count("pods") == 1


async def test_no_change_writes_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.mutate("pods", "d", "a", put(1))

        def same(present: Object | None) -> Object | None:
            return present

        result = await store.mutate("pods", "d", "a", same)
        assert result.before is result.after
        assert await store.mutate("pods", "d", "nope", remove)
        assert store.revision == 1


async def test_a_dry_run_changes_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        result = await store.mutate("pods", "d", "a", put(1), dry_run=True)
        assert result.after is not None
        assert result.after.obj["value"] == 1
        assert store.revision == 0
        assert store.get("pods", "d", "a") is None


async def test_what_a_mutation_gets_is_a_copy(open_store: OpenStore) -> None:
    def spoil(present: Object | None) -> Object:
        assert present is not None
        present["value"] = "spoilt"
        raise ValueError

    async with open_store() as store:
        await store.mutate("pods", "d", "a", put(1))
        with pytest.raises(ValueError, match=r"^$"):
            await store.mutate("pods", "d", "a", spoil)
        entry = store.get("pods", "d", "a")
        assert entry is not None
        assert entry.obj["value"] == 1


async def test_a_commit_that_fails_is_refused_and_never_shown(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.mutate("pods", "d", "a", put(1))
        await store.database.write(lambda: store.database.peewee.execute_sql("PRAGMA query_only = 1"))
        with pytest.raises(StoreError):
            await store.mutate("pods", "d", "a", put(2))
        entry = store.get("pods", "d", "a")
        assert entry is not None
        assert entry.obj["value"] == 1
        await store.database.write(lambda: store.database.peewee.execute_sql("PRAGMA query_only = 0"))
        result = await store.mutate("pods", "d", "a", put(3))
        assert result.after is not None
        assert result.after.revision > 2, "the refused revision is not used again"
        assert [change.entry.obj["value"] for change in store.history("pods").read(0)] == [1, 3]
