"""The machines on which the tests put nodes: apart from this one and from each other, and gone without a trace."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from cgroups import ROOT as CGROUPS
from e2e.harness import eventually
from machine import Machine

PORT = 8080
NEEDED = ("setpriv", "unshare", "nsenter", "ip", "iptables", "busybox")
OWNER = """
import sys
from pathlib import Path
from machine import Machine

made = Machine(Path(sys.argv[1]))
made.start()
made.program("sleeper", ["setsid", "--fork", "busybox", "sleep", sys.argv[2]]).start()
print(made.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make namespaces")
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    with ExitStack() as stack:
        made = Machine(tmp_path / "one"), Machine(tmp_path / "two")
        for machine in made:
            stack.callback(machine.stop)
            machine.start()
        yield made


def traces(name: str) -> list[Path]:
    """Its interface, which the kernel takes away in its own time when nobody asked for it."""
    return [path for path in [Path("/sys/class/net") / name] if path.exists()]


def long() -> str:
    """Seconds that nobody else sleeps."""
    return str(10**8 + secrets.randbelow(10**8))


def sleeping(seconds: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes().decode(errors="replace").rstrip("\0").replace("\0", " "))
    return [line for line in found if line.endswith(f"busybox sleep {seconds}") and "setsid" not in line]


def test_each_has_its_own_network_and_is_reached_from_here(two: tuple[Machine, Machine]) -> None:
    assert two[0].name != two[1].name
    for machine in two:
        machine.program("server", ["busybox", "httpd", "-f", "-p", str(PORT)]).start()

        def answers(machine: Machine = machine) -> bool:
            with socket.create_connection((machine.address, PORT), timeout=5):
                return True

        eventually("it answers", answers, within=20, every=0.02)
        assert machine.run("iptables-save").stdout == "", "docker's rules are not its own"
        assert "docker" not in machine.run("ls", "/run").stdout


def test_nothing_is_left_of_it(two: tuple[Machine, Machine], tmp_path: Path) -> None:
    machine, other = two
    seconds = long()
    machine.program("sleeper", ["setsid", "--fork", "busybox", "sleep", seconds]).start()
    cgroups = list(CGROUPS.glob(f"*/{machine.name}")) + list(CGROUPS.glob(machine.name))
    assert cgroups
    (cgroups[0] / "below").mkdir()
    eventually("something runs in it that nobody waits for", lambda: sleeping(seconds), within=20, every=0.02)
    machine.stop()
    assert sleeping(seconds) == []
    assert traces(machine.name) == []
    assert [path for path in cgroups if path.exists()] == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert other.run("ip", "address", "show", "eth0").returncode == 0, "the other one lives"


def test_it_ends_with_the_process_that_made_it(two: tuple[Machine, Machine], tmp_path: Path) -> None:
    seconds = long()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "third"), seconds],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().decode().strip()
        assert traces(name)
        assert name not in {machine.name for machine in two}
        eventually("something runs in it", lambda: sleeping(seconds), within=20, every=0.02)
        owner.kill()
    eventually("its processes are gone", lambda: not sleeping(seconds), within=20, every=0.05)
    eventually("its interface is gone", lambda: not traces(name), within=60, every=0.05)
