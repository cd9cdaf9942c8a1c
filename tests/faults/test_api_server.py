"""The API server goes away, comes back, forgets its history; connections to it break. cloudcore and its edges get over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import config_map, pod, sleeper
from e2e.realcloud import KubernetesCloud
from faults.proxy import Proxy, proxy

pytestmark = pytest.mark.kubernetes
World = tuple[KubernetesCloud, Edge, Proxy]
OUTAGE = 12.0
"""Seconds; longer than any single wait for one answer that a person would notice, shorter than a node's lease."""


@pytest.fixture
def world(tmp_path: Path, cluster: Cluster) -> Iterator[World]:
    """Both halves, and a bad network between cloudcore and the API server; pods run as processes."""
    with proxy(cluster.port) as network:
        cloud = KubernetesCloud(tmp_path / "cloud", cluster, through=network.port)
        edge = Edge(tmp_path / "edge", cloud, "process")
        try:
            cloud.start()
            edge.join()
            edge.wait_ready()
            yield cloud, edge, network
        finally:
            edge.program.kill()
            cloud.close()
            edge.keadm("reset", "edge", "--force", f"--prefix={tmp_path / 'edge'}")


def containers(cloud: Cloud) -> dict[str, tuple[str, int]]:
    """Id and restarts of each pod's container, as the API has them."""
    found = {}
    for item in cloud.get("pods")["items"]:
        (status,) = item["status"]["containerStatuses"]
        found[item["metadata"]["name"]] = (status["containerID"], status["restartCount"])
    return found


def reader(tmp_path: Path) -> dict[str, object]:
    """A pod that copies a file of its ConfigMap, over and over."""
    return pod(
        "reader",
        "sh",
        "-c",
        f"while true; do cat etc/app/greeting > {tmp_path}/seen; sleep 0.1; done",
        volumes=[{"name": "conf", "configMap": {"name": "settings"}}],
        container={"volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}]},
    )


def test_a_killed_api_server_costs_time_only(world: World) -> None:
    cloud, edge, _ = world
    cloud.apply(sleeper("stays"), sleeper("goes"))
    cloud.wait_running("stays", "goes")
    before, pid = containers(cloud), cloud.program.pid
    cloud.restart_api_server(after=OUTAGE)
    cloud.kubectl("delete", "pod", "goes", "--wait=false")
    cloud.apply(sleeper("comes"))
    cloud.wait_running("stays", "comes", within=90)
    cloud.wait_gone("goes")
    edge.wait_ready()
    assert containers(cloud)["stays"] == before["stays"]
    assert (cloud.program.pid, cloud.program.running()) == (pid, True)
    assert "Traceback" not in cloud.program.output() + edge.program.output()


def test_changes_behind_a_forgotten_history_are_found(world: World, tmp_path: Path) -> None:
    """While cloudcore is cut off objects change, etcd is compacted and the API server starts anew: 410 Gone, list again."""
    cloud, _, network = world
    cloud.apply(config_map("settings", greeting="old"), reader(tmp_path), sleeper("goes"), sleeper("stays"))
    cloud.wait_running("reader", "goes", "stays")
    before = containers(cloud)
    network.refusing = True
    network.cut()
    cloud.kubectl("delete", "pod", "goes", "--force", "--grace-period=0", "--wait=false")
    cloud.apply(config_map("settings", greeting="new"), sleeper("comes"))
    cloud.cluster.compact()
    cloud.restart_api_server()
    network.refusing = False
    cloud.wait_running("reader", "stays", "comes", within=120)
    eventually("the new text is there", lambda: (tmp_path / "seen").read_text() == "new", within=60)
    cloud.wait_gone("goes")
    assert containers(cloud)["stays"] == before["stays"]
    assert containers(cloud)["reader"] == before["reader"]
    assert "listing again" in cloud.program.output()


def test_connections_that_break_all_the_time(world: World, tmp_path: Path) -> None:
    cloud, _, network = world
    cloud.apply(config_map("settings", greeting="0"), reader(tmp_path))
    cloud.wait_running("reader")
    before = containers(cloud)
    for number in range(1, 11):
        cloud.apply(config_map("settings", greeting=str(number)), sleeper(f"pod-{number}"))
        network.cut()
        if number % 2:
            cloud.kubectl("delete", "pod", f"pod-{number}", "--wait=false")
            network.cut()
    cloud.wait_running("reader", *(f"pod-{number}" for number in range(2, 11, 2)), within=120)
    cloud.wait_gone(*(f"pod-{number}" for number in range(1, 11, 2)), within=120)
    eventually("the newest text is there", lambda: (tmp_path / "seen").read_text() == "10", within=60)
    assert containers(cloud)["reader"] == before["reader"]
    assert [restarts for _, restarts in containers(cloud).values()] == [0] * 6
