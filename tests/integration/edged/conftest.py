from __future__ import annotations

from pathlib import Path

import pytest
from engines.edge import Edge, memory_edge
from trio.testing import MockClock


@pytest.fixture
def virtual_clock() -> MockClock:
    """Volumes are written in threads, which the clock cannot see: it jumps only after a short real silence."""
    return MockClock(autojump_threshold=0.005)


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return memory_edge(tmp_path)
