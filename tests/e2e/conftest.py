from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cluster import Cluster
from e2e.busybox import docker_answers, import_image, static_busybox
from e2e.harness import Cloud, Edge, pair
from e2e.manifests import IMAGE
from e2e.realcloud import KubernetesCloud


def require(present: bool, what: str) -> None:
    """A missing real part is a skip with its reason on a workstation and a failure in CI."""
    if not present:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have {what}")
        pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def image() -> str:
    require(static_busybox() is not None, "a static busybox (apt-get install busybox-static)")
    import_image()
    return IMAGE


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def runtime(request: pytest.FixtureRequest) -> str:
    require(shutil.which("kubectl") is not None, "kubectl (`python3 tests/kubernetes/programs.py kubectl` builds it)")
    if request.param == "docker":
        require(docker_answers(), "a docker engine")
        request.getfixturevalue("image")
    return str(request.param)


@pytest.fixture(params=["embedded", pytest.param("kubernetes", marks=pytest.mark.kubernetes)])
def make_cloud(request: pytest.FixtureRequest) -> Callable[[Path], Cloud]:
    """Every test runs with cloudcore's own API and beside a real API server."""
    if request.param == "embedded":
        return Cloud
    return partial(KubernetesCloud, cluster=request.getfixturevalue("cluster"))


@pytest.fixture
def halves(tmp_path: Path, runtime: str, make_cloud: Callable[[Path], Cloud]) -> Iterator[tuple[Cloud, Edge]]:
    """A running cloud half and a joined, Ready edge."""
    with pair(tmp_path, runtime, make_cloud) as both:
        yield both


@pytest.fixture
def docker_halves(tmp_path: Path, image: str, make_cloud: Callable[[Path], Cloud]) -> Iterator[tuple[Cloud, Edge]]:
    require(docker_answers(), "a docker engine")
    with pair(tmp_path, "docker", make_cloud) as both:
        yield both


@pytest.fixture
def real_halves(tmp_path: Path, runtime: str, cluster: Cluster) -> Iterator[tuple[Cloud, Edge]]:
    """As ``halves``, for what the embedded API does not have."""
    with pair(tmp_path, runtime, partial(KubernetesCloud, cluster=cluster)) as both:
        yield both
