"""What all tests may use. tests/ itself is importable: ``from engines.memory import MemoryEngine``."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TypeVar

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _no_skip_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _no_skip_in_ci((yield))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _no_skip_in_ci(report: Report) -> Report:
    """With ``CI=true`` everything that a test needs must be there: a skip would hide a missing part."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"in CI a skip is a failure: {reason}"
    return report
