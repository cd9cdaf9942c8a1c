"""What is measured: cloudcore's embedded API, and kube-apiserver with etcd, both on this machine, spoken to in the same way."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cluster import Cluster
from e2e.harness import Cloud, Program
from load import Connection
from programs import ensure

from kube import kubeconfig
from viaduct.tls import client_context

TICK = os.sysconf("SC_CLK_TCK")


class Target:
    """name: for the report. programs: what its cost is counted of."""

    name: str
    programs: tuple[Program, ...]

    def start(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    @property
    def config(self) -> Path:
        """The administrator's kubeconfig."""
        raise NotImplementedError

    def enter(self) -> None:
        """After the start: everything that is needed to connect."""
        found = kubeconfig.load(self.config)
        assert found.certificate is not None
        self.port = int(found.server.rpartition(":")[2])
        self.tls: ssl.SSLContext = client_context(ca=found.ca, certificate=found.certificate, key=found.key)

    def connect(self, number: int) -> list[Connection]:
        return [Connection(self.port, self.tls) for _ in range(number)]

    def cpu(self) -> float:
        """Seconds of processor time of all programs so far."""
        total = 0
        for program in self.programs:
            fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def memory(self) -> float:
        """Proportional set size of all programs in MiB."""
        total = 0
        for program in self.programs:
            text = Path(f"/proc/{program.pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total / 1024


class Embedded(Target):
    """``cloudcore --standalone``, whole: with its CloudHub and controllers."""

    name = "embedded"

    def __init__(self, folder: Path) -> None:
        self._cloud = Cloud(folder)
        self.programs = (self._cloud.program,)

    def start(self) -> None:
        self._cloud.start()

    def close(self) -> None:
        self._cloud.program.kill()

    @property
    def config(self) -> Path:
        return self._cloud.kubeconfig


class Kubernetes(Target):
    """kube-apiserver and etcd alone: the scheduler and the controllers have made what pods need, and are stopped."""

    name = "kubernetes"

    def __init__(self, folder: Path) -> None:
        self._cluster = Cluster(folder, ensure(lambda text: print(text, flush=True)))
        self.programs = (self._cluster.apiserver, self._cluster.etcd)

    def start(self) -> None:
        self._cluster.start()
        self._cluster.scheduler.kill()
        self._cluster.controllers.kill()

    def close(self) -> None:
        self._cluster.stop()

    @property
    def config(self) -> Path:
        return self._cluster.admin
