"""Pods of DaemonSets that fail again and again are replaced ever later, and forgotten in the end."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps.daemon_sets import LONGEST, DaemonSets
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.store import Store

OWNER = {"metadata": {"uid": "1"}}


async def test_who_fails_waits_and_is_forgotten(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    store = Store(tmp_path / "never-opened.db")
    sets = DaemonSets(Api(store, Registry()), Ownership(store, list))
    assert sets._patient(OWNER, "edge-1")
    assert not sets._patient(OWNER, "edge-1"), "a second has not passed"
    waits = []
    for _ in range(12):
        began = trio.current_time()
        while not sets._patient(OWNER, "edge-1"):
            await trio.sleep(0.5)
        waits.append(trio.current_time() - began)
    assert waits[0] < 2 < waits[3] < waits[-1] <= LONGEST * 1.2
    await trio.sleep(4 * LONGEST)
    assert sets._patient(OWNER, "edge-2")
    assert list(sets._patience) == [("1", "edge-2")], "what was long ago is not kept"
