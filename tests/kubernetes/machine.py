"""A machine for a node, made of namespaces: a network, a process table and mounts of its own on this machine.

What runs in it believes it has a machine to itself: default ports, default folders, iptables without anybody else's rules. So it
neither meets docker nor a second machine, and nothing has to be cleaned up piece by piece: with its first process all others
end, and with the last process the mounts, the interfaces and the rules are gone, also when the test run is killed. Only its empty
cgroups then stay until the next machine in that place.

Addresses are from 198.18.0.0/15, which RFC 2544 sets aside for tests: no network that this machine is part of has them.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import cgroups
from e2e.harness import Program, eventually

from edgecore.edged.runtime.pause import architecture, pause_program

PLACES = 64
"""How many can be at the same time, each with four networks of 256 addresses."""
FIRST = "machine-init"
OWN_FOLDERS = ("/run", "/var/lib")
LOGS = "/var/log"
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What kubelet sets where it finds anything else. These belong to the whole kernel, so it is shown files that say so already."""


class Machine:
    """``start`` it once. Needs root."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.logs = folder / "log"
        """Its /var/log; all else that it writes is in memory and goes with it."""
        self._first = Program("machine", self._argv(), folder)
        self._programs: list[Program] = []
        self._child: int | None = None
        self._place = -1

    def _argv(self) -> list[str]:
        """The pause program is the first process: it reaps what the others leave behind."""
        arch = architecture(platform.machine())
        assert arch, f"no pause program for {platform.machine()}"
        init = self.folder / FIRST
        init.write_bytes(pause_program(arch))
        init.chmod(0o755)
        namespaces = ["--mount", "--net", "--pid", "--propagation=private", "--mount-proc"]
        return [_path("setpriv"), "--pdeathsig=KILL", _path("unshare"), *namespaces, "--fork", "--kill-child=KILL", str(init)]

    # ------------------------------------------------------------------------------------------------- addresses

    def _network(self, number: int) -> str:
        part = self._place * 4 + number
        return f"198.{18 + part // 256}.{part % 256}"

    @property
    def name(self) -> str:
        """Of its place: of the interface that leads to it, and of its cgroups."""
        return _name(self._place)

    @property
    def outside(self) -> str:
        """The address under which it sees this machine."""
        return f"{self._network(0)}.1"

    @property
    def address(self) -> str:
        return f"{self._network(0)}.2"

    @property
    def services(self) -> str:
        """A network that this machine reaches through it; so is ``pods``."""
        return f"{self._network(1)}.0/24"

    @property
    def pods(self) -> str:
        return f"{self._network(2)}.0/24"

    # ------------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        self._first.start()
        eventually("the machine has its own process table", self._is_apart, within=20, every=0.02)
        self._connect()
        cgroups.remove(self.name)
        cgroups.create(self.name)
        self.run("mount", "--make-rshared", "/")
        for folder in OWN_FOLDERS:
            self.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
        self.logs.mkdir()
        self.run("mount", "--bind", str(self.logs), LOGS)
        for name, value in TUNABLES.items():
            file = self.folder / name.replace("/", ".")
            file.write_text(value + "\n")
            self.run("mount", "--bind", str(file), f"/proc/sys/{name}")

    def stop(self) -> None:
        """Kills everything that runs in it, and waits until that is gone. May be called again."""
        if self._child is None or not self._first.running():
            for program in (*self._programs, self._first):
                program.kill()
            return  # what is left of one that ended by itself may be another's already
        with Path(f"/proc/{self._first.pid}/ns/net").open("rb"):  # its place is its own as long as its network is there
            os.kill(self._child, signal.SIGKILL)  # it is gone when all in its process table are, and then its starter ends
            self._first.wait(within=30)
            for program in self._programs:
                program.kill()
            if self._place >= 0:
                cgroups.remove(self.name)
                _run(_path("ip"), "link", "delete", self.name)

    def _is_apart(self) -> bool:
        """The first process is there, which it becomes when all is unshared and /proc is its own."""
        self._first.must_run()
        starter = self._first.pid
        children = [int(child) for child in Path(f"/proc/{starter}/task/{starter}/children").read_text().split()]
        self._child = next((child for child in children if Path(f"/proc/{child}/comm").read_text() == f"{FIRST}\n"), None)
        return self._child is not None

    def _connect(self) -> None:
        """A cable to this machine, in a place that nobody has: the name of an interface can be given only once."""
        self._place = self._free_place()
        _run(_path("ip"), "address", "add", f"{self.outside}/30", "dev", self.name)
        _run(_path("ip"), "link", "set", self.name, "up")
        self.run("ip", "address", "add", f"{self.address}/30", "dev", "eth0")
        for interface in ("lo", "eth0"):
            self.run("ip", "link", "set", interface, "up")
        self.run("ip", "route", "add", "default", "via", self.outside)
        for network in (self.services, self.pods):
            _run(_path("ip"), "route", "add", network, "via", self.address)

    def _free_place(self) -> int:
        """Taken, with the cable in it."""
        for place in range(PLACES):
            cable = ["link", "add", _name(place), "type", "veth", "peer", "name", "eth0", "netns", str(self._first.pid)]
            done = _run(_path("ip"), *cable, check=False)
            if done.returncode == 0:
                return place
            assert "File exists" in done.stderr, f"no network for a machine: ip {' '.join(cable)}: {done.stderr.strip()}"
        raise AssertionError(f"{PLACES} machines are there already, see `ip link show type veth`")

    # ------------------------------------------------------------------------------------------------- use

    def inside(self, *argv: str) -> list[str]:
        """The command that runs ``argv`` in it."""
        own = f"/proc/{self._first.pid}/ns"
        enter = [f"--mount={own}/mnt", f"--net={own}/net", f"--pid={own}/pid_for_children"]
        return [_path("nsenter"), *enter, _path(argv[0]), *argv[1:]]

    def run(self, *argv: str, check: bool = True, stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command in it to its end. AssertionError with what it said when it fails."""
        return _run(*self.inside(*argv), check=check, stdin=stdin)

    def program(self, name: str, argv: Sequence[str]) -> Program:
        """A program that runs in it until the machine stops; its output is in ``folder``."""
        made = Program(name, self.inside(*argv), self.folder)
        self._programs.append(made)
        return made


def _name(place: int) -> str:
    return f"edgetest{place}"


def _run(*argv: str, check: bool = True, stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, stdin=stdin or subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode:
        raise AssertionError(f"`{' '.join(argv)}` said {done.stderr.strip() or done.stdout.strip()}")
    return done


def _path(program: str) -> str:
    found = shutil.which(program)
    assert found, f"{program} is missing"
    return found
