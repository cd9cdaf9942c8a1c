"""Cut, stalled and half-open links between real programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import config_map, pod, sleeper
from faults.flavours import BOTH, MakeCloud
from faults.proxy import Proxy, proxy


@pytest.fixture
def world(tmp_path: Path, make_cloud: MakeCloud):  # type: ignore[no-untyped-def]
    """A pair of halves with a bad network between them; pods run as processes."""
    cloud = make_cloud(tmp_path / "cloud")
    with proxy(cloud.hub_port) as network:
        edge = Edge(tmp_path / "edge", cloud, "process", hub_port=network.port)
        try:
            cloud.start()
            edge.join()
            edge.wait_ready()
            yield cloud, edge, network
        finally:
            edge.program.kill()
            cloud.close()
            edge.keadm("reset", "edge", "--force", f"--prefix={tmp_path / 'edge'}")


World = tuple[Cloud, Edge, Proxy]


@BOTH
def test_a_cut_link_comes_back_and_nothing_is_lost(world: World) -> None:
    cloud, edge, network = world
    cloud.apply(sleeper("before"))
    cloud.wait_running("before")
    network.refusing = True
    network.cut()
    cloud.apply(sleeper("meanwhile"))
    cloud.kubectl("delete", "pod", "before", "--wait=false")
    eventually("the edge has tried again", lambda: network.connections >= 3)
    network.refusing = False
    cloud.wait_running("meanwhile", within=90)
    cloud.wait_gone("before")
    assert edge.program.running()
    assert "Traceback" not in edge.program.output() + cloud.program.output()


def test_a_flapping_link_converges(world: World, tmp_path: Path) -> None:
    cloud, _, network = world
    cloud.apply(config_map("settings", greeting="0"))
    body = pod(
        "reader",
        "sh",
        "-c",
        f"while true; do cat etc/app/greeting > {tmp_path}/seen; sleep 0.1; done",
        volumes=[{"name": "conf", "configMap": {"name": "settings"}}],
        container={"volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}]},
    )
    cloud.apply(body)
    cloud.wait_running("reader")
    for number in range(1, 6):
        network.cut()
        cloud.apply(config_map("settings", greeting=str(number)), sleeper(f"pod-{number}"))
    cloud.wait_running(*(f"pod-{number}" for number in range(1, 6)), within=120)
    eventually("the newest text is there", lambda: (tmp_path / "seen").read_text() == "5", within=60)


def test_a_half_open_link_is_noticed_by_both_sides(world: World) -> None:
    """Nothing is closed, nothing arrives: only deadlines find it."""
    cloud, _, network = world
    network.stalled = True
    cloud.apply(sleeper("late"))
    seen = network.connections
    eventually("the edge gave the dead link up and dials again", lambda: network.connections > seen, within=120)
    network.cut()
    network.stalled = False
    cloud.wait_running("late", within=90)


def test_a_slow_link_is_only_slow(world: World) -> None:
    cloud, _, network = world
    network.delay = 0.5
    names = [f"slow-{number}" for number in range(5)]
    cloud.apply(*(sleeper(name) for name in names))
    cloud.wait_running(*names, within=90)
    cloud.kubectl("delete", "pods", *names, "--wait=false")
    cloud.wait_gone(*names, within=90)
