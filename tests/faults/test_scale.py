"""Many pods on many nodes, while everything around breaks: in the end API server, nodes, records and statuses agree.

By default 200 pods on 10 nodes for some seconds. ``SCALE=1000/50`` is the real size (test_cost.py then runs, too),
``SCALE_OUTAGE=300`` how long the API server is away, ``SCALE_STORM=120`` how long everything breaks, ``SCALE_SEED`` another
history.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from cluster import Cluster
from e2e.harness import Died, eventually
from e2e.realcloud import KubernetesCloud
from faults.apiproxy import ApiProxy, api_proxy
from faults.crowd import PATIENCE, SEED, Crowd, crowd, started
from faults.figures import pss

OUTAGE = float(os.environ.get("SCALE_OUTAGE", "5"))
STORM = float(os.environ.get("SCALE_STORM", "15"))
EVENTS = 10
"""A watch is cut after so many."""


@pytest.mark.kubernetes
async def test_all_sides_agree_whatever_breaks(tmp_path: Path, cluster: Cluster) -> None:
    async with api_proxy(cluster, tmp_path / "proxy", SEED) as network:
        first, second = (KubernetesCloud(tmp_path / name, cluster, through=network.port) for name in ("first", "second"))
        async with (
            trio.open_nursery() as nursery,
            started(first, second),
            crowd([first, second], tmp_path) as many,
        ):
            nursery.start_soon(keep_running, cluster)
            print(await many.fill(PATIENCE))
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
    """The API server is away for a while in which nothing changes: nothing is sent to an edge, nobody loses a link. After more
    than a minute Kubernetes doubts the nodes and their pods, which they are told, and take back."""
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
    changes = after.counts - before.counts
    print(f"to the edges meanwhile: {dict(changes)}")
    assert after.counts["sessions"] == before.counts["sessions"], "every edge has kept its link"
    assert changes["repeated"] <= changes["pods doubted"], "nothing is sent twice, but for the echo of a pod that is affirmed"


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
