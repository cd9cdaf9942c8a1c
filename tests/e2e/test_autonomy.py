"""What the edge does without the cloud, and what happens when they meet again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import pod, sleeper

Halves = tuple[Cloud, Edge]


def ids(cloud: Cloud, *pods: str) -> dict[str, str]:
    return {name: cloud.get("pod", name)["status"]["containerStatuses"][0]["containerID"] for name in pods}


def alive(edge: Edge, marker: Path) -> list[str]:
    """The lines that a pod wrote so far, one per start."""
    return marker.read_text().split() if marker.exists() else []


def test_kill_and_restart_without_the_cloud(halves: Halves, tmp_path: Path) -> None:
    """Running containers stay, exited ones restart by policy, deletions and creations of meanwhile arrive later."""
    cloud, edge = halves
    tmp_path.chmod(0o777)
    where = "/shared" if edge.runtime == "docker" else str(tmp_path)
    out = {
        "volumes": [{"name": "out", "hostPath": {"path": str(tmp_path)}}],
        "container": {"volumeMounts": [{"name": "out", "mountPath": "/shared"}]},
    }
    stay = pod("stays", "sh", "-c", f"echo start >> {where}/stays; sleep 3600", **out)  # type: ignore[arg-type]
    back = pod(
        "comes-back",
        "sh",
        "-c",
        f"echo start >> {where}/back; while [ ! -e {where}/die ]; do sleep 0.1; done; exit 1",
        **out,  # type: ignore[arg-type]
    )
    once = pod(
        "once",
        "sh",
        "-c",
        f"echo start >> {where}/once; while [ ! -e {where}/die ]; do sleep 0.1; done; exit 1",
        restartPolicy="Never",
        **out,  # type: ignore[arg-type]
    )
    cloud.apply(stay, back, once, sleeper("deleted-meanwhile"))
    cloud.wait_running("stays", "comes-back", "once", "deleted-meanwhile")
    before = ids(cloud, "stays", "deleted-meanwhile")

    cloud.program.stop()
    edge.program.kill()
    (tmp_path / "die").touch()
    edge.start()
    eventually("the exited container was started again", lambda: len(alive(edge, tmp_path / "back")) >= 2, within=60)
    assert len(alive(edge, tmp_path / "stays")) == 1

    edge.program.kill()
    cloud.start()
    cloud.kubectl("delete", "pod", "deleted-meanwhile", "--force", "--grace-period=0", "--wait=false")
    cloud.apply(sleeper("created-meanwhile", nodeName=edge.name))
    (tmp_path / "die").unlink()
    edge.start()
    edge.wait_ready()
    cloud.wait_running("stays", "comes-back", "created-meanwhile", within=90)
    cloud.wait_gone("deleted-meanwhile")
    assert ids(cloud, "stays")["stays"] == before["stays"]
    eventually("the pod that must not restart has failed", lambda: cloud.phase("once") == "Failed")
    assert len(alive(edge, tmp_path / "once")) == 1
    assert len(alive(edge, tmp_path / "stays")) == 1
    eventually("the deleted pod's container is gone", lambda: not still_running(edge, before["deleted-meanwhile"]))


def still_running(edge: Edge, container: str) -> bool:
    scheme, _, name = container.partition("://")
    if scheme == "docker":
        found = subprocess.run(["docker", "ps", "-q", "--no-trunc"], capture_output=True, text=True, check=True).stdout
        return name in found
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return name in listing


def test_a_deletion_of_meanwhile_survives_restarts_of_both_halves(halves: Halves) -> None:
    cloud, edge = halves
    cloud.apply(sleeper("orphan"), sleeper("keeper"))
    cloud.wait_running("orphan", "keeper")
    before = ids(cloud, "orphan", "keeper")
    edge.program.kill()
    cloud.kubectl("delete", "pod", "orphan", "--force", "--grace-period=0", "--wait=false")
    cloud.wait_gone("orphan")
    cloud.program.kill()
    cloud.start()
    edge.start()
    edge.wait_ready()
    eventually("the orphan's container is gone", lambda: not still_running(edge, before["orphan"]), within=60)
    assert ids(cloud, "keeper") == {"keeper": before["keeper"]}


def test_a_normal_deletion_of_meanwhile_is_confirmed_by_the_edge(halves: Halves) -> None:
    cloud, edge = halves
    cloud.apply(sleeper("going"))
    cloud.wait_running("going")
    edge.program.kill()
    cloud.kubectl("delete", "pod", "going", "--wait=false")
    assert cloud.get("pod", "going")["metadata"]["deletionTimestamp"]
    edge.start()
    cloud.wait_gone("going", within=60)


def test_the_cloud_restarts_and_nothing_else_does(halves: Halves) -> None:
    cloud, edge = halves
    cloud.apply(sleeper("steady"))
    cloud.wait_running("steady")
    before = ids(cloud, "steady")
    cloud.program.kill()
    cloud.start()
    cloud.apply(sleeper("fresh"))
    cloud.wait_running("steady", "fresh", within=90)
    assert ids(cloud, "steady") == before
    assert edge.program.running()


def test_stopping_edgecore_leaves_the_pods_alone(halves: Halves) -> None:
    cloud, edge = halves
    cloud.apply(sleeper("steady"))
    cloud.wait_running("steady")
    before = ids(cloud, "steady")
    assert edge.program.stop(within=10) == 0
    edge.start()
    edge.wait_ready()
    cloud.wait_running("steady")
    assert ids(cloud, "steady") == before
    assert cloud.get("pod", "steady")["status"]["containerStatuses"][0]["restartCount"] == 0
    assert cloud.program.stop(within=10) == 0
