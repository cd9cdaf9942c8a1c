from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
import trio
from clouds.scripted import ScriptedCloud, edge_config

from edgecore.app import App
from edgecore.config import EdgeCore
from edgecore.jointoken import JoinTokenSource


class StartEdge(Protocol):
    def __call__(self, config: EdgeCore | None = None) -> AbstractAsyncContextManager[App]: ...


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[ScriptedCloud]:
    folder = tmp_path / "cloud"
    folder.mkdir()
    async with ScriptedCloud(folder).running() as cloud:
        cloud.issue("edge-1", tmp_path / "edge")
        yield cloud


@pytest.fixture
def start_edge(cloud: ScriptedCloud, tmp_path: Path) -> StartEdge:
    """The edge half without pods, with its real store, link and certificates."""

    @asynccontextmanager
    async def start(config: EdgeCore | None = None) -> AsyncIterator[App]:
        config = config or edge_config(cloud, tmp_path / "edge")
        app = App(config, JoinTokenSource(tmp_path / "edgecore.yaml", tmp_path / "bootstrap"), None)
        app.store.database.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app.run)
            yield app
            nursery.cancel_scope.cancel()

    return start


@pytest.fixture
async def edge(cloud: ScriptedCloud, start_edge: StartEdge) -> AsyncIterator[App]:
    async with start_edge() as app:
        await cloud.connected()
        while not app.outbox.connected:
            await trio.sleep(0.01)
        yield app
