"""What all tests may use. tests/ itself is importable: ``from engines.memory import MemoryEngine``."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

DOCKER_SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture
async def memory_engine() -> AsyncIterator[object]:
    """An engine without containers, see tests/engines/memory.py."""
    from engines.memory import MemoryEngine

    engine = MemoryEngine()
    yield engine
    await engine.aclose()
