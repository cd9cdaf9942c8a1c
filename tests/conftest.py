"""What all tests may use. tests/ itself is importable: ``from engines.memory import MemoryEngine``; so are the modules in
tests/kubernetes, by their bare names, because ``kubernetes`` is the name of the official client."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "kubernetes")]

os.environ["CHECK_EDGECORE_ENVIRONMENT"] = "false"
"""The kubelet of ``real_node`` may run beside any edgecore, and would keep it from starting."""

settings.register_profile("patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
"""How long a case takes is a matter of what else the machine does. The rest is hypothesis' own (in CI: always the same cases)."""

DOCKER_SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture
async def memory_engine() -> AsyncIterator[object]:
    """An engine without containers, see tests/engines/memory.py."""
    from engines.memory import MemoryEngine

    engine = MemoryEngine()
    yield engine
    await engine.aclose()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _no_skip_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _no_skip_in_ci((yield))


def pytest_itemcollected(item: pytest.Item) -> None:
    """The node is dear to start: of the processes that share the tests, one has it, and all tests of it."""
    if "real_node" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("real_node"))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _no_skip_in_ci(report: Report) -> Report:
    """With ``CI=true`` everything that a test needs must be there: a skip would hide a missing part."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"in CI a skip is a failure: {reason}"
    return report


@pytest.fixture(scope="session")
def docker_endpoint() -> str:
    """Where docker answers. Without docker the test is skipped, in CI it fails."""
    try:
        import docker

        client = docker.APIClient(base_url=DOCKER_SOCKET, version="auto", timeout=10)
        client.ping()
        client.close()
    except Exception as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"docker must work in CI: {error}")
        pytest.skip(f"no docker at {DOCKER_SOCKET}: {error}")
    return DOCKER_SOCKET


@pytest.fixture(scope="session")
def busybox_image(docker_endpoint: str) -> str:
    """The name of an image with busybox that docker has."""
    from engines.dockerimages import BUSYBOX, ensure_busybox

    if not BUSYBOX.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs busybox-static")
        pytest.skip(f"no {BUSYBOX}: install busybox-static")
    return ensure_busybox(docker_endpoint)


@pytest.fixture
async def docker_engine(docker_endpoint: str, busybox_image: str) -> AsyncIterator[object]:
    """An engine on this machine's docker that sees only what it made itself; all of that is removed afterwards."""
    import trio

    from edgecore.edged.runtime.docker import DockerEngine

    engine = DockerEngine(docker_endpoint, instance=f"test-{secrets.token_hex(6)}")
    yield engine
    with trio.CancelScope(deadline=trio.current_time() + 60, shield=True):
        for pod in await engine.list_pods():
            for container in pod.containers:
                await engine.remove_container(container.id)
            for sandbox in pod.sandboxes:
                await engine.remove_sandbox(sandbox.id)
        await engine.aclose()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A Kubernetes that the tests of this session share, tests/kubernetes/cluster.py; built first if need be."""
    import programs
    from cluster import Cluster

    made = Cluster(tmp_path_factory.mktemp("kubernetes"), _built(request, programs.CONTROL_PLANE))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def real_node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A Kubernetes with one real node, tests/kubernetes/node.py. It is not the one of ``cluster``; tests that share it clear
    away what they made."""
    import node
    import programs

    folders = [_built(request, suite) for suite in (programs.CONTROL_PLANE, programs.NODE)]
    _available(node.requirements)
    made = node.Node(tmp_path_factory.mktemp("node"), *folders)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest, real_node: object, tmp_path_factory: pytest.TempPathFactory) -> object:
    """Real Helm with the rights of an administrator of ``real_node``, tests/kubernetes/helm_command.py."""
    import programs
    from helm_command import Helm
    from node import Node

    assert isinstance(real_node, Node)
    return Helm(_built(request, programs.HELM) / "helm", real_node.admin, tmp_path_factory.mktemp("helm"))


Result = TypeVar("Result")


def _built(request: pytest.FixtureRequest, suite: Any) -> Path:
    """The folder with these programs, built first if need be; that takes minutes, so it is said past pytest's capture."""
    import programs

    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)

    return _available(lambda: programs.ensure(say, suite))


def _available(look: Callable[[], Result]) -> Result:
    """What this machine lacks for a real Kubernetes is the reason of a skip; in CI it is a failure."""
    import programs

    try:
        return look()
    except programs.Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have a real Kubernetes: {error}")
        pytest.skip(f"needs a real Kubernetes: {error}")
