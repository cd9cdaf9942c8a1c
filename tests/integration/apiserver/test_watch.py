"""Watches, from the store's side: slow ones, silent ones, selected ones."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from cloudcore.apiserver.history import CHANGES, Entry, wait_any
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.store import Store
from cloudcore.apiserver.watch import BOOKMARK_EVERY, Wish, stream
from kube.objects import Object
from kube.resources import CONFIG_MAPS

_NUMBERS = itertools.count()
KIND = Registry().of(CONFIG_MAPS)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "objects.db")
    await trio.to_thread.run_sync(store.open)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        nursery.cancel_scope.cancel()


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock()


def wish(since: int | None, **more: Any) -> Wish:
    return Wish(
        kind=KIND,
        since=since,
        matches=more.pop("matches", lambda _entry: True),
        render=lambda entry, _first: msgspec.Raw(entry.raw),
        **more,
    )


async def put(store: Store, name: str, **fields: Any) -> None:
    def change(_present: Object | None) -> Object:
        return {"metadata": {"name": name, **fields}, "data": {"n": str(next(_NUMBERS))}}

    await store.mutate(KIND.key, "default", name, change)


def events(data: bytes) -> list[tuple[str, str]]:
    found = [json.loads(line) for line in data.splitlines()]
    return [(event["type"], event["object"].get("metadata", {}).get("name", "")) for event in found]


async def read(lines: AsyncGenerator[bytes, None]) -> bytes:
    while not (data := await anext(lines)):
        pass
    return data


async def test_first_what_is_there_then_what_happens(store: Store) -> None:
    for number in range(300):
        await put(store, f"m{number:03}")
    async with aclosing(stream(store, wish(None))) as lines:
        seen = events(await read(lines)) + events(await read(lines)) + events(await read(lines))
        assert seen == [("ADDED", f"m{number:03}") for number in range(300)]
        await put(store, "m007")
        await store.mutate(KIND.key, "default", "m008", lambda _present: None)
        assert events(await read(lines)) == [("MODIFIED", "m007"), ("DELETED", "m008")]


async def test_a_change_while_the_first_objects_are_sent_comes_after_them(store: Store) -> None:
    for number in range(200):
        await put(store, f"m{number:03}")
    async with aclosing(stream(store, wish(None))) as lines:
        first = events(await read(lines))
        await put(store, "m199")
        await store.mutate(KIND.key, "default", "m198", lambda _present: None)
        rest = events(await read(lines))
        assert len(first + rest) == 200
        assert events(await read(lines)) == [("MODIFIED", "m199"), ("DELETED", "m198")]


async def test_a_watch_that_is_too_slow_is_told_so(store: Store) -> None:
    await put(store, "a")
    async with aclosing(stream(store, wish(1))) as lines:
        await put(store, "a")
        assert events(await read(lines)) == [("MODIFIED", "a")]
        async with trio.open_nursery() as nursery:
            for _ in range(CHANGES + 10):
                nursery.start_soon(put, store, "a")
        error = json.loads(await read(lines))
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
        with pytest.raises(StopAsyncIteration):
            await anext(lines)


async def test_silence_brings_bookmarks_to_those_who_want_them(store: Store, clock: trio.testing.MockClock) -> None:
    await put(store, "a")
    async with aclosing(stream(store, wish(1, bookmarks=True))) as lines, trio.open_nursery() as nursery:
        found: list[bytes] = []

        async def collect() -> None:
            found.append(await read(lines))

        nursery.start_soon(collect)
        await trio.testing.wait_all_tasks_blocked()
        assert found == []
        clock.jump(BOOKMARK_EVERY)
        await trio.testing.wait_all_tasks_blocked()
        event = json.loads(found[0])
        assert (event["type"], event["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", "1")


async def test_what_is_not_selected_is_not_seen(store: Store) -> None:
    def labelled(entry: Entry) -> bool:
        return "labels" in entry.obj["metadata"]

    async with aclosing(stream(store, wish(0, matches=labelled))) as lines:
        await put(store, "a")
        await put(store, "b", labels={"x": "y"})
        await put(store, "b")
        await store.mutate(KIND.key, "default", "a", lambda _present: None)
        await store.mutate(KIND.key, "default", "b", lambda _present: None)
        await put(store, "c", labels={"x": "y"})
        assert events(await read(lines)) == [("ADDED", "b"), ("DELETED", "b"), ("ADDED", "c")]


async def test_waiting_for_several_kinds_ends_with_the_first_change_of_any(store: Store) -> None:
    mine, other = store.history(KIND.key), store.history("secrets")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_any, [(other, other.end), (mine, mine.end)])
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            await put(store, "a")
        await wait_any([(other, other.end), (mine, mine.end - 1)])  # it has happened already
    with trio.move_on_after(0) as scope:
        await wait_any([(other, other.end), (mine, mine.end)])
    assert scope.cancelled_caught
