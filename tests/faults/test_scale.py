"""Many pods on many nodes, while everything around breaks: in the end API server, nodes, records and statuses agree.

By default 200 pods on 10 nodes for some seconds. ``SCALE=1000/50`` is the real size and also prints what cloudcore costs;
``SCALE_OUTAGE=300`` is how long the API server is away, ``SCALE_STORM=120`` how long everything breaks, ``SCALE_SEED`` another
history.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from cluster import Cluster
from e2e.harness import Cloud, Died, eventually
from e2e.realcloud import KubernetesCloud
from faults.apiproxy import ApiProxy, api_proxy
from faults.crowd import Crowd, crowd
from faults.figures import Usage, pss

LARGE = "SCALE" in os.environ
PODS, NODES = (int(number) for number in os.environ.get("SCALE", "200/10").split("/"))
SEED = int(os.environ.get("SCALE_SEED", "1"))
OUTAGE = float(os.environ.get("SCALE_OUTAGE", "5"))
STORM = float(os.environ.get("SCALE_STORM", "15"))
PATIENCE = 60 + PODS / 4
"""Seconds that any state may take to come about."""
EVENTS = 10
"""A watch is cut after so many."""


@asynccontextmanager
async def started(*clouds: Cloud) -> AsyncIterator[None]:
    try:
        for cloud in clouds:
            await trio.to_thread.run_sync(cloud.start)
        yield
    finally:
        for cloud in clouds:
            cloud.program.kill()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(clouds[0].close)


async def fill(many: Crowd) -> float:
    """All pods, Running; returns how long that took from the first request."""
    begin = time.monotonic()
    await many.make_settings()
    await many.make_pods()
    made = time.monotonic() - begin
    running = await many.until("all pods run", many.not_running, PATIENCE)
    print(f"{PODS} pods on {NODES} nodes made in {made:.1f} s, all Running {running:.1f} s later")
    return made + running


@pytest.mark.kubernetes
async def test_all_sides_agree_whatever_breaks(tmp_path: Path, cluster: Cluster) -> None:
    async with api_proxy(cluster, tmp_path / "proxy", SEED) as network:
        first, second = (KubernetesCloud(tmp_path / name, cluster, through=network.port) for name in ("first", "second"))
        async with (
            trio.open_nursery() as nursery,
            started(first, second),
            crowd([first, second], tmp_path, nodes=NODES, pods=PODS, seed=SEED) as many,
        ):
            nursery.start_soon(keep_running, cluster)
            await fill(many)
            print(f"all sides agree {await many.agree(PATIENCE):.1f} s later")
            await outage(many, network, [first, second])
            await storm(many, network, [first, second])
            took = await many.agree(PATIENCE)
            state = await many.state()
            print(f"seed {SEED}: {many.changes} changes, all sides agree {took:.1f} s after the storm")
            print(f"on the way to the API: {dict(network.requests)}, {dict(network.troubles)}")
            print(f"edges: {dict(state.counts)}; {state.cpu:.0f} s of CPU for their simulation")
            for cloud in (first, second):
                assert "Traceback" not in cloud.program.output()
            nursery.cancel_scope.cancel()


async def outage(many: Crowd, network: ApiProxy, clouds: list[KubernetesCloud]) -> None:
    """The API server is away for a while in which nothing changes: nothing is sent to an edge, nobody loses a link."""
    before, memory, asked = await many.state(), [round(pss(cloud.program)) for cloud in clouds], network.requests.total()
    clouds[0].api_restarted = clouds[1].api_restarted = True
    cluster = clouds[0].cluster
    cluster.apiserver.kill()
    await trio.sleep(OUTAGE)
    during, most = network.requests.total() - asked, [round(pss(cloud.program)) for cloud in clouds]
    back = int(trio.current_time())
    await api_back(cluster)
    took = await many.agree(PATIENCE)
    await trio.sleep(min(OUTAGE, 20))
    rates = [network.at[second] for second in range(back, int(trio.current_time()))]
    after = await many.state()
    print(
        f"API server away for {OUTAGE:.0f} s: {during} requests meanwhile, PSS of the cloudcores {memory} MiB before and {most} "
        f"then; agreed {took:.1f} s after it was back, at most {max(rates)} requests a second, {sum(rates)} in {len(rates)} s"
    )
    print(f"to the edges meanwhile: {dict(after.counts - before.counts)}")
    assert after.counts["sessions"] == before.counts["sessions"], "every edge has kept its link"
    assert after.counts["repeated"] == before.counts["repeated"], "nothing is sent twice"


async def storm(many: Crowd, network: ApiProxy, clouds: list[KubernetesCloud]) -> None:
    """Changes all the time; watches are cut, requests fail, etcd forgets, the API server and both cloudcores are killed."""
    network.cut_after, network.trouble = EVENTS, 0.05
    cluster, part = clouds[0].cluster, STORM / 10

    def away(cloud: KubernetesCloud) -> Callable[[], None]:
        def run() -> None:
            cloud.program.kill()
            time.sleep(part)
            for _ in range(10):
                with suppress(Died):  # it gives up when its very first requests fail; its Deployment starts it again
                    return cloud.start()
            raise AssertionError(f"seed {SEED}: cloudcore does not start")

        return run

    async with trio.open_nursery() as nursery:
        nursery.start_soon(many.churn, STORM)
        for harm in (cluster.compact, away(clouds[0]), cluster.compact, cluster.apiserver.kill, away(clouds[1])):
            await trio.sleep(part)
            await trio.to_thread.run_sync(harm)
            await api_back(cluster)
    network.trouble = 0.0


async def api_back(cluster: Cluster) -> None:
    """Starts the API server if it does not run. Not in a thread: its programs end with the thread that has started them."""
    if not cluster.apiserver.running():
        cluster.apiserver.start()
    ready = partial(eventually, "the API server is ready", cluster._ready, within=60)
    await trio.to_thread.run_sync(ready)


async def keep_running(cluster: Cluster) -> None:
    """As a kubelet would: kube-scheduler ends itself when it finds a pod on another node than it thought."""
    while True:
        await trio.sleep(1)
        for program in (cluster.scheduler, cluster.controllers):
            if not program.running():
                program.start()


@pytest.mark.kubernetes
@pytest.mark.parametrize("api", ["kubernetes", "embedded"] if LARGE else [])
async def test_what_cloudcore_costs(tmp_path: Path, api: str, request: pytest.FixtureRequest) -> None:
    """Figures only; nothing is judged by them."""
    cloud = Cloud(tmp_path / "cloud")
    if api == "kubernetes":
        cloud = KubernetesCloud(tmp_path / "cloud", request.getfixturevalue("cluster"))
    async with started(cloud), crowd([cloud], tmp_path, nodes=NODES, pods=PODS, seed=SEED) as many:
        await many.until("the nodes are quiet", many.all_ready, 60)
        await trio.sleep(5)
        usage = await trio.to_thread.run_sync(Usage, cloud)
        await trio.sleep(60)
        print(f"\n{api}, {NODES} nodes, a minute without pods: {await trio.to_thread.run_sync(usage.so_far)}")
        usage, before = await trio.to_thread.run_sync(Usage, cloud), (await many.state()).counts
        await fill(many)
        print(f"{api}, {PODS} pods: {await trio.to_thread.run_sync(usage.so_far)}")
        print(f"all sides agree {await many.agree(PATIENCE):.1f} s later")
        print(f"{api}, {PODS} pods until then: {await trio.to_thread.run_sync(usage.so_far)}")
        state = await many.state()
        print(f"messages: {dict(state.counts - before)}; {state.cpu:.0f} s of CPU for the simulation")
        usage = await trio.to_thread.run_sync(Usage, cloud)
        await trio.sleep(60)
        print(f"{api}, a minute with {PODS} pods: {await trio.to_thread.run_sync(usage.so_far)}")
