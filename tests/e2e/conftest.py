from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cluster import Cluster
from e2e.harness import Cloud, Edge, pair
from e2e.manifests import IMAGE
from e2e.realcloud import KubernetesCloud

BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "echo", "httpd", "true", "false", "env", "wget", "test", "touch", "ls", "kill", "id")


def require(present: bool, what: str) -> None:
    """A missing real part is a skip with its reason on a workstation and a failure in CI."""
    if not present:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have {what}")
        pytest.skip(f"needs {what}")


def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=20).returncode == 0


def static_busybox() -> Path | None:
    return next((Path(path) for path in BUSYBOX if Path(path).exists()), None)


def import_image() -> None:
    """A busybox image made from this machine's static busybox, unless it is there: no registry is needed."""
    busybox = static_busybox()
    assert busybox is not None
    label = f"busybox={hashlib.sha256(busybox.read_bytes()).hexdigest()}"
    known = subprocess.run(["docker", "images", "-q", "--filter", f"label={label}", IMAGE], capture_output=True, check=False)
    if known.stdout.strip():
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        tar.add(busybox.resolve(), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    done = subprocess.run(
        ["docker", "import", "--change", "ENV PATH=/bin", "--change", f"LABEL {label}", "-", IMAGE],
        input=buffer.getvalue(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(scope="session")
def image() -> str:
    require(static_busybox() is not None, "a static busybox (apt-get install busybox-static)")
    import_image()
    return IMAGE


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def runtime(request: pytest.FixtureRequest) -> str:
    require(shutil.which("kubectl") is not None, "kubectl (apt-get install kubernetes-client)")
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
