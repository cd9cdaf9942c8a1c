"""The demo, as a person runs it: its exit code, its story, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.busybox import docker_answers
from e2e.conftest import require

pytestmark = pytest.mark.xdist_group("demo")
"""A demo takes the usual ports if they are free, so two that start at the same moment would meet there."""

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, str(ROOT / "examples" / "demo")]


def run(folder: Path, *words: str, without: str = "", limit: float = 180) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if without:
        environment["PATH"] = path_without(without, folder.parent)
    return subprocess.run(
        [*DEMO, "--folder", str(folder), *words], capture_output=True, text=True, timeout=limit, env=environment, check=False
    )


def path_without(program: str, folder: Path) -> str:
    """A PATH with links to everything but one program."""
    links = folder / f"without-{program}"
    links.mkdir()
    for directory in reversed(os.environ["PATH"].split(os.pathsep)):
        for entry in Path(directory).iterdir() if Path(directory).is_dir() else ():
            link = links / entry.name
            if entry.name != program:
                link.unlink(missing_ok=True)
                link.symlink_to(entry)
    return str(links)


def programs(folder: Path) -> list[str]:
    """Command lines of processes that still use the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(folder).encode() in words and f"--folder\0{folder}".encode() not in words:
            found.append(words.decode(errors="replace").replace("\0", " "))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "demo"
    yield folder
    assert programs(folder) == []


def tells_the_story(said: subprocess.CompletedProcess[str]) -> None:
    assert said.returncode == 0, said.stdout + said.stderr
    acts = ["starting cloudcore", "keadm join", "Install Complete!", "the node is Ready", "the pod is Running", "GET http"]
    acts += ["stopping cloudcore", "SIGKILL to edgecore", "no answer", "starting edgecore again", "GET http", "All of it worked"]
    position = 0
    for act in acts:
        position = said.stdout.find(act, position)
        assert position >= 0, f"{act!r} is missing, or comes too early, in:\n{said.stdout}"
        position += len(act)


def test_once_with_processes_twice_in_a_row(folder: Path) -> None:
    for _ in range(2):
        said = run(folder, "--once", "--runtime", "process")
        tells_the_story(said)
        assert not folder.exists()
    seconds = re.search(r"All of it worked, in (\d+) s", said.stdout)
    assert seconds is not None


@pytest.mark.docker
def test_once_with_docker(folder: Path) -> None:
    require(docker_answers(), "a docker engine")
    tells_the_story(run(folder, "--once", "--runtime", "docker"))
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", "label=io.kubernetes.pod.name=hello"], capture_output=True, text=True, check=True
    )
    assert left.stdout == ""


def test_without_kubectl(folder: Path) -> None:
    said = run(folder, "--once", "--runtime", "process", without="kubectl")
    tells_the_story(said)
    assert "no kubectl on this machine" in said.stdout


def start(folder: Path) -> subprocess.Popen[str]:
    """A demo that has come to its end and stays."""
    process = subprocess.Popen([*DEMO, "--folder", str(folder), "--runtime", "process"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C stops everything" in line:
            return process
    process.stdout.close()
    raise AssertionError(f"the demo ended with {process.wait()}:\n{''.join(said)}")


def test_ctrl_c_cleans_up(folder: Path) -> None:
    process = start(folder)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not folder.exists()


def test_a_killed_demo_is_cleared_away_by_the_next(folder: Path) -> None:
    process = start(folder)
    process.kill()
    process.communicate(timeout=10)
    assert programs(folder) != [], "its programs go on: they are not its children's children only"
    tells_the_story(run(folder, "--once", "--runtime", "process"))


def test_a_failure_names_what_was_expected_and_keeps_the_logs(folder: Path) -> None:
    """The cloud is killed under a running demo."""
    process = start(folder)
    cloud = next(entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_cloud(entry, folder))
    os.kill(int(cloud.name), signal.SIGKILL)
    started = time.monotonic()
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 1, out
    assert "Expected cloudcore to go on" in out
    assert (folder / "edgecore.log").exists()
    assert time.monotonic() - started < 80


def is_cloud(entry: Path, folder: Path) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return "cloudcore" in words and any(word.startswith(str(folder)) for word in words)
