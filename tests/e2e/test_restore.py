"""The embedded API goes back to an older copy of its data, and the edge with it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from e2e.harness import eventually, pair
from e2e.manifests import sleeper
from faults import observer


@pytest.mark.parametrize("runtime", ["process"], indirect=True)
def test_an_older_copy_decides_what_runs(tmp_path: Path, runtime: str) -> None:
    """As docs/standalone.md says: what has been deleted since runs again."""
    with pair(tmp_path, runtime) as (cloud, edge):
        cloud.apply(sleeper("old", node=edge.name))
        cloud.wait_running("old")
        data, copy = cloud.folder / "data" / "kubernetes.db", tmp_path / "copy.db"
        with sqlite3.connect(data) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close()
        target.close()
        cloud.kubectl("delete", "pod", "old", "--grace-period=1")
        cloud.apply(sleeper("new", node=edge.name))
        cloud.wait_running("new")

        cloud.program.stop()
        edge.program.kill()  # otherwise it takes what comes back so soon for an old message
        for left in data.parent.glob("kubernetes.db*"):
            left.unlink()
        shutil.copyfile(copy, data)
        cloud.start()
        edge.start()
        edge.wait_ready()
        # the copy also has old records of what the node has
        cloud.kubectl("delete", "objectsyncs.reliablesyncs.kubeedge.io", "--all-namespaces", "--all")
        cloud.program.stop()
        cloud.start()

        def runs_again() -> bool:
            return cloud.get("pod", "old")["metadata"]["uid"] in observer.pods_on_disk(edge)["engine's containers"]

        eventually("the pod of the copy runs again", runs_again)
