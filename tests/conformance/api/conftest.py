"""The two servers that every scenario runs against; one of each for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import Cluster
from differential.conversation import Server
from differential.scenario import Both
from e2e.harness import Cloud


@pytest.fixture(scope="session")
def both(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    cloud = Cloud(folder / "embedded")
    cloud.start()
    cloud.program.stop()
    cloud.start()  # so that it, too, has a past that it does not know any more
    sides = Server("kubernetes", cluster.admin, folder), Server("embedded", cloud.kubeconfig, folder)
    try:
        yield Both(*sides)
    finally:
        for side in sides:
            side.close()
        cloud.close()
