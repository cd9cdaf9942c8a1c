from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from e2e.harness import Cloud
from e2e.realcloud import KubernetesCloud

collect_ignore = [] if "SCALE" in os.environ else ["test_cost.py"]


@pytest.fixture
def make_cloud(request: pytest.FixtureRequest) -> Callable[[Path], Cloud]:
    """cloudcore with its own API; for a test that is marked with faults.flavours.BOTH a second time beside a real one."""
    if getattr(request, "param", "embedded") == "embedded":
        return Cloud
    return partial(KubernetesCloud, cluster=request.getfixturevalue("cluster"))
