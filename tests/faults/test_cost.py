"""What cloudcore costs with many nodes and pods: only with ``SCALE=1000/50`` or so, for it takes minutes and judges nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from e2e.harness import Cloud
from e2e.realcloud import KubernetesCloud
from faults.crowd import HOW_MANY, HOW_MANY_NODES, PATIENCE, crowd, started
from faults.figures import Usage


@pytest.mark.parametrize("api", [pytest.param("kubernetes", marks=pytest.mark.kubernetes), "embedded"])
async def test_what_cloudcore_costs(tmp_path: Path, api: str, request: pytest.FixtureRequest) -> None:
    """Figures only; nothing is judged by them."""
    cloud = Cloud(tmp_path / "cloud")
    if api == "kubernetes":
        cloud = KubernetesCloud(tmp_path / "cloud", request.getfixturevalue("cluster"))
    async with started(cloud), crowd([cloud], tmp_path) as many:
        await many.until("the nodes are quiet", many.all_ready, 60)
        await trio.sleep(5)
        usage = await trio.to_thread.run_sync(Usage, cloud)
        await trio.sleep(60)
        print(f"\n{api}, {HOW_MANY_NODES} nodes, a minute without pods: {await trio.to_thread.run_sync(usage.so_far)}")
        usage, before = await trio.to_thread.run_sync(Usage, cloud), (await many.state()).counts
        print(await many.fill(PATIENCE))
        print(f"{api}, {HOW_MANY} pods: {await trio.to_thread.run_sync(usage.so_far)}")
        print(f"all sides agree {await many.agree(PATIENCE):.1f} s later")
        print(f"{api}, {HOW_MANY} pods until then: {await trio.to_thread.run_sync(usage.so_far)}")
        state = await many.state()
        print(f"messages: {dict(state.counts - before)}; {state.cpu:.0f} s of CPU for the simulation")
        usage = await trio.to_thread.run_sync(Usage, cloud)
        await trio.sleep(60)
        print(f"{api}, a minute with {HOW_MANY} pods: {await trio.to_thread.run_sync(usage.so_far)}")
