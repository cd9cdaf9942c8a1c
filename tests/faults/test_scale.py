"""Many pods on many nodes, while everything around breaks: in the end API server, nodes, records and statuses agree.

By default 200 pods on 10 nodes. ``SCALE=1000/50`` is the real size; ``SCALE_SEED`` another history.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cluster import Cluster
from e2e.realcloud import KubernetesCloud
from faults.crowd import Crowd, crowd

pytestmark = pytest.mark.kubernetes
PODS, NODES = (int(number) for number in os.environ.get("SCALE", "200/10").split("/"))
SEED = int(os.environ.get("SCALE_SEED", "1"))
PATIENCE = 60 + PODS / 4
"""Seconds that any state may take to come about."""


@pytest.fixture
async def many(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Crowd]:
    cloud = KubernetesCloud(tmp_path / "cloud", cluster)
    try:
        cloud.start()
        async with crowd(cloud, tmp_path, nodes=NODES, pods=PODS, seed=SEED) as made:
            yield made
    finally:
        cloud.close()


async def test_all_sides_agree(many: Crowd) -> None:
    begin = time.monotonic()
    await many.make_settings()
    await many.make_pods()
    made = time.monotonic() - begin
    running = await many.until("all pods run", many.not_running, PATIENCE)
    took = await many.agree(PATIENCE)
    state = await many.state()
    print(f"{PODS} pods on {NODES} nodes made in {made:.1f} s, Running {running:.1f} s later, agreed {took:.1f} s later")
    print(dict(state.counts), f"simulation used {state.cpu:.1f} s of CPU")
