from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from clouds.standalone import Cloud, StartCloud, config_for, running_cloud

from cloudcore.config import CloudCoreConfig


@pytest.fixture
def start_cloud(tmp_path: Path) -> StartCloud:
    """Starts cloudcore --standalone in one folder; started again, it finds its data."""

    def start(config: CloudCoreConfig | None = None) -> AbstractAsyncContextManager[Cloud]:
        return running_cloud(config or config_for(tmp_path), tmp_path)

    return start


@pytest.fixture
async def cloud(start_cloud: StartCloud) -> AsyncIterator[Cloud]:
    async with start_cloud() as cloud:
        yield cloud
