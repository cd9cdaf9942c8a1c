from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ports import free_ports


@dataclass(frozen=True)
class RunningCloud:
    """A real ``cloudcore --standalone``."""

    kubeconfig: Path
    hub_port: int
    certificate_port: int
    log: Path


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    api, hub, certificates = free_ports(3)
    running = RunningCloud(folder / "kubeconfig.yaml", hub, certificates, folder / "log")
    config = folder / "cloudcore.yaml"
    listeners = {"websocket": {"address": "127.0.0.1", "port": hub}, "https": {"address": "127.0.0.1", "port": certificates}}
    standalone = {"address": "127.0.0.1", "port": api, "dataDir": str(folder / "data"), "kubeConfig": str(running.kubeconfig)}
    tree = {"modules": {"cloudHub": {"advertiseAddress": ["127.0.0.1"], **listeners}}, "standalone": standalone}
    config.write_text(yaml.safe_dump(tree))
    with running.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cloudcore", "--config", str(config), "--standalone"], stdout=log, stderr=log
        )
    try:
        until(lambda: process.poll() is not None or b"to join a node" in running.log.read_bytes(), "cloudcore to start")
        assert process.poll() is None, running.log.read_text()
        yield running
    finally:
        process.terminate()
        assert process.wait(20) == 0


def until(true: Callable[[], bool], what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The line that begins with Error, with what follows it."""
        return self.err.partition("Error: ")[2].strip()


@pytest.fixture
def keadm() -> Callable[..., Said]:
    def run(*words: str, stdin: str = "") -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "keadm", *words], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run
