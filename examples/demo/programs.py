"""The two programs of the demo: how they are configured, started, stopped and cleared away."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trio
import yaml
from story import Expected

from edgecore.edged.runtime.select import open_engine
from keadm import background, daemon, processes
from keadm.layout import Layout

NODE = "demo-edge"
NO_KUBELET_CHECK = {"CHECK_EDGECORE_ENVIRONMENT": "false"}
"""A developer's machine may run a kubelet (kind, minikube); this edge does not touch its pods."""

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The usual ones where they are free."""

    api: int
    hub: int
    certificates: int
    page: int

    @classmethod
    def choose(cls) -> Ports:
        return cls(*_free(6443, 10000, 10002, 8080))


def _free(*preferred: int) -> list[int]:
    """Each port, or the next one that is free. All stay bound until all are chosen, so that none is chosen twice.

    Not one that the kernel picks: it gives that to the next connection of anybody before the program comes to listen on it.
    """
    taken: list[socket.socket] = []
    try:
        for port in preferred:
            probe = socket.socket()
            taken.append(probe)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(probe, port)
        return [probe.getsockname()[1] for probe in taken]
    finally:
        for probe in taken:
            probe.close()


def _bind(probe: socket.socket, port: int) -> None:
    """Raises OSError when a thousand ports from ``port`` on are taken."""
    for candidate in range(port, port + 1000):
        try:
            return probe.bind((HERE, candidate))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no port is free from {port} to {port + 999}")


class Cloud:
    """cloudcore --standalone in a folder of its own."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder, self.ports = folder, ports
        self.config, self.log, self.kubeconfig = folder / "cloudcore.yaml", folder / "cloudcore.log", folder / "kubeconfig.yaml"
        self.process: trio.Process | None = None

    def configure(self) -> None:
        hub = {
            "advertiseAddress": [HERE],
            "dnsNames": ["localhost"],
            "websocket": {"address": HERE, "port": self.ports.hub},
            "https": {"address": HERE, "port": self.ports.certificates},
            "unixsocket": {"enable": False},
        }
        api = {
            "enable": True,
            "address": HERE,
            "port": self.ports.api,
            "dataDir": str(self.folder / "data"),
            "kubeConfig": str(self.kubeconfig),
        }
        for key in ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile"):
            hub[key] = str(self.folder / "pki" / key)
        self.folder.mkdir(parents=True, mode=0o700)
        tree = {
            "apiVersion": "cloudcore.config.kubeedge.io/v1alpha1",
            "kind": "CloudCore",
            "modules": {"cloudHub": hub},
            "standalone": api,
        }
        self.config.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")

    async def start(self) -> None:
        """Returns when it is ready. Raises Expected."""
        command = [sys.executable, "-m", "cloudcore", "--config", str(self.config), "--standalone"]
        try:
            self.process = await background.start(command, self.log, limit=40)
        except background.NotStarted as error:
            raise Expected(f"cloudcore to start; it {error}") from error

    async def stop(self) -> None:
        """Also one that an earlier, killed demo left behind."""
        await processes.end("cloudcore", self.config, default=Path("/etc/kubeedge/config/cloudcore.yaml"), grace=10)
        if self.process is not None:
            await self.process.wait()
            self.process = None


class Edge:
    """edgecore, joined and started by keadm, with everything of it under one folder."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.layout, self.ports = Layout(folder), ports
        self.log = self.layout.log

    async def token(self, cloud: Cloud) -> str:
        code, said = await keadm("gettoken", "--kube-config", str(cloud.kubeconfig))
        if code != 0:
            raise Expected(f"`keadm gettoken` to print a token; it says: {' '.join(said)}", cloud.log)
        return said[-1]

    async def join(self, token: str, runtime: str) -> list[str]:
        """What keadm printed. Raises Expected."""
        code, said = await keadm(
            *("join", "--cloudcore-ipport", f"{HERE}:{self.ports.hub}", "--certport", str(self.ports.certificates)),
            *("--edgenode-name", NODE, "--token", token, "--runtime", runtime, "--prefix", str(self.layout.prefix)),
        )
        if code != 0:
            raise Expected("`keadm join` to succeed; it says:\n" + "\n".join(said))
        return said

    async def start(self) -> None:
        await daemon.start(self.layout, environment=NO_KUBELET_CHECK)

    async def kill_container(self, runtime: str) -> int:
        """Ends the pod's containers behind edgecore's back, as a power cut does; how many there were."""
        engine = await open_engine(runtime, root=self.layout.at("/var/lib/kubelet"))
        killed = 0
        for pod in await engine.list_pods():
            for container in pod.containers:
                if (self.layout.at("/var/lib/kubelet") / "pods" / pod.pod.uid).exists():
                    await engine.stop_container(container.id, 0)
                    killed += 1
        return killed

    def running(self) -> bool:
        return bool(daemon.find(self.layout))

    async def kill(self) -> None:
        for pid in daemon.find(self.layout):
            os.kill(pid, signal.SIGKILL)
        while self.running():  # noqa: ASYNC110 - it is not our child
            await trio.sleep(0.05)

    async def reset(self) -> list[str]:
        return (await keadm("reset", "edge", "--force", "--prefix", str(self.layout.prefix)))[1]


async def keadm(*words: str) -> tuple[int, list[str]]:
    """Exit code and lines of one keadm command, as a person would run it."""
    with trio.move_on_after(120):
        done = await trio.run_process(
            [sys.executable, "-m", "keadm", *words],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            start_new_session=True,
            env={**os.environ, **NO_KUBELET_CHECK},
        )
        return done.returncode, done.stdout.decode(errors="replace").splitlines()
    return 1, [f"keadm {words[0]} did not end within 120 s"]


def remove(folder: Path) -> None:
    """Raises Expected when something of another user is in it."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Expected(f"{folder} to be removable: {error.strerror} ({error.filename}). Was it made by another user?") from error
