"""What churn leaves behind: the file holds what lives, not what has lived; the log beside it stays short; history has an end.

``STORE_WRITES=200000`` is the long run.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import trio

from cloudcore.apiserver.history import BYTES, CHANGES
from cloudcore.apiserver.store import Store
from kube.objects import Object

WRITES = int(os.environ.get("STORE_WRITES", "4000"))
ALIVE = 500
"""Objects at any time; older ones go, as events do."""
MIB = 1024 * 1024


async def test_churn_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    await trio.to_thread.run_sync(store.open)
    sizes = random.Random(1)
    largest = {"": 0, "-wal": 0}
    start = time.monotonic()

    async def one(number: int) -> None:
        filler = "x" * sizes.choice((200, 1000, 4000))
        await store.mutate("events", "d", f"e{number}", lambda _present: {"metadata": {"name": f"e{number}"}, "note": filler})
        if number >= ALIVE:
            await store.mutate("events", "d", f"e{number - ALIVE}", lambda _present: None)

    async with trio.open_nursery() as outer:
        await outer.start(store.run)
        for first in range(0, WRITES // 2, 50):
            async with trio.open_nursery() as nursery:
                for number in range(first, first + 50):
                    nursery.start_soon(one, number)
            for suffix, most in largest.items():
                file = tmp_path / f"objects.db{suffix}"
                largest[suffix] = max(most, file.stat().st_size if file.exists() else 0)
        live = sum(len(entry.raw) for entry in store.entries("events"))
        assert store.count("events") <= ALIVE + 50
        mib = {what: round(size / MIB, 1) for what, size in {"live": live, "file": largest[""], "WAL": largest["-wal"]}.items()}
        print(
            f"{store.revision} writes in {time.monotonic() - start:.0f} s, {store.database.commits} commits, largest MiB: {mib}"
        )
        assert largest[""] < 3 * live + MIB
        assert largest["-wal"] < 8 * MIB
        outer.cancel_scope.cancel()


async def test_the_history_of_large_objects_is_short(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.db")
    await trio.to_thread.run_sync(store.open)
    large = "x" * (500 * 1024)

    def grown(number: int) -> Object:
        return {"metadata": {"name": "a"}, "data": {"n": str(number), "fill": large}}

    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        for number in range(60):
            await store.mutate("configmaps", "d", "a", lambda _present, number=number: grown(number))
        history = store.history("configmaps")
        kept = history.read(history.place_after(history.floor), CHANGES)
        assert 0 < sum(len(change.entry.raw) for change in kept) <= BYTES
        assert history.floor >= 60 - BYTES // (500 * 1024)
        nursery.cancel_scope.cancel()
