"""Whole programs on this machine, seen through their public faces only: command lines, kubectl, docker, log files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from ports import free_port, free_ports

from edgecore.edged.runtime.dockerobjects import INSTANCE
from edgecore.edged.runtime.select import instance_of

T = TypeVar("T")


class Died(Exception):
    """A program that should run has ended; waiting on is useless."""


def eventually(what: str, check: Callable[[], T], *, within: float = 60.0, every: float = 0.2) -> T:
    """The first true result of ``check``; AssertionError with the last result or error after ``within`` seconds."""
    deadline = time.monotonic() + within
    last: object = None
    while time.monotonic() < deadline:
        try:
            result = check()
            if result:
                return result
            last = result
        except (AssertionError, KeyError, IndexError, OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"not within {within:.0f} s: {what}; last seen: {last!r}")


class Program:
    """A child process with its output in a file; in a process group of its own."""

    def __init__(self, name: str, argv: list[str], folder: Path) -> None:
        self.name, self.argv, self.log = name, argv, folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        assert not self.running(), f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def must_run(self) -> None:
        """Raises Died with the end of the log."""
        if not self.running():
            raise Died(f"{self.name} has ended: {self.output()[-3000:]}")

    def wait(self, within: float) -> int:
        """Until it has ended by itself. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(within)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self, within: float = 15.0) -> int:
        """SIGTERM; fails when it does not end in time."""
        return self._end(signal.SIGTERM, within)

    def _end(self, number: signal.Signals, within: float = 15.0) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} did not end within {within} s of {number.name}; see {self.log}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def memory(self, field: str = "VmRSS") -> int:
        """Resident memory in bytes: now, or with ``VmHWM`` the highest so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"{self.name} has no {field}")


class Cloud:
    """``cloudcore --standalone`` in ``folder``, spoken to with kubectl."""

    host = "127.0.0.1"
    """Where edges reach it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.api_port, self.hub_port, self.cert_port, monitor = free_ports(4)
        self.kubeconfig = folder / "kubeconfig"
        self.config = folder / "cloudcore.yaml"
        self.config.write_text(yaml.safe_dump(self._settings(monitor)))
        self.program = Program("cloudcore", self._argv(), folder)

    def _settings(self, monitor: int) -> dict[str, Any]:
        return {
            "apiVersion": "cloudcore.config.kubeedge.io/v1alpha1",
            "kind": "CloudCore",
            "commonConfig": {"monitorServer": {"bindAddress": f"127.0.0.1:{monitor}"}},
            "standalone": {
                "enable": True,
                "address": "127.0.0.1",
                "port": self.api_port,
                "dataDir": str(self.folder / "data"),
                "kubeConfig": str(self.kubeconfig),
            },
            "modules": {
                "cloudHub": {
                    "advertiseAddress": ["127.0.0.1"],
                    "websocket": {"enable": True, "address": "127.0.0.1", "port": self.hub_port},
                    "https": {"enable": True, "address": "127.0.0.1", "port": self.cert_port},
                    "unixsocket": {"enable": False, "address": f"unix://{self.folder}/kubeedge.sock"},
                }
            },
        }

    def _argv(self) -> list[str]:
        return [sys.executable, "-m", "cloudcore", "--standalone", "--config", str(self.config)]

    def start(self) -> None:
        self.program.start()
        self.wait_answering()

    def wait_answering(self) -> None:
        eventually("the API answers", self._answers, within=30)

    def _answers(self) -> bool:
        self.program.must_run()
        return self.kubeconfig.exists() and self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0

    def kubectl(
        self, *args: str, check: bool = True, stdin: str | None = None, within: float = 90
    ) -> subprocess.CompletedProcess[str]:
        kubectl = shutil.which("kubectl")
        assert kubectl, "kubectl is missing: apt-get install kubernetes-client"
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run([kubectl, *args], input=stdin, capture_output=True, text=True, timeout=within, env=env, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)} said {done.stderr.strip()}")
        return done

    def get(self, *args: str) -> Any:
        return json.loads(self.kubectl("get", *args, "-o", "json").stdout)

    def apply(self, *objects: dict[str, Any]) -> None:
        text = "---\n".join(yaml.safe_dump(item) for item in objects)
        self.kubectl("apply", "-f", "-", stdin=text)

    def token(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "keadm", "gettoken", "--kube-config", str(self.kubeconfig)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip()

    def close(self) -> None:
        """For good: nothing of it is used again."""
        self.program.kill()

    def phase(self, pod: str) -> str:
        return str(self.get("pod", pod)["status"].get("phase"))

    def wait_running(self, *pods: str, within: float = 60) -> None:
        def all_ready() -> bool:
            found = {item["metadata"]["name"]: item for item in self.get("pods")["items"]}
            return all(is_ready(found[pod]) for pod in pods)

        eventually(f"pods {', '.join(pods)} are Running and Ready", all_ready, within=within)

    def wait_gone(self, *pods: str, within: float = 60) -> None:
        def gone() -> bool:
            found = {item["metadata"]["name"] for item in self.get("pods")["items"]}
            return not found & set(pods)

        eventually(f"pods {', '.join(pods)} are gone from the API", gone, within=within)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return pod["status"].get("phase") == "Running" and conditions.get("Ready") == "True"


class Edge:
    """An edgecore joined with ``keadm join --prefix``; afterwards run as a child of the test, so that it can be killed."""

    def __init__(
        self, folder: Path, cloud: Cloud, runtime: str, name: str = "edge-1", *, hub_port: int = 0, cert_port: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.cloud, self.runtime, self.name = folder, cloud, runtime, name
        self.hub_port, self.cert_port = hub_port or cloud.hub_port, cert_port or cloud.cert_port
        self.config = folder / "etc/kubeedge/config/edgecore.yaml"
        self.root = folder / "var/lib/kubelet"
        self.database = folder / "var/lib/kubeedge/edgecore.db"
        self.program = Program("edgecore", [sys.executable, "-m", "edgecore", "--config", str(self.config)], folder)

    def keadm(self, *args: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "keadm", *args], capture_output=True, text=True, timeout=within, check=False)

    def join(self) -> None:
        """Joins, then takes the process over: the one that keadm started is stopped."""
        done = self.keadm(
            "join",
            f"--cloudcore-ipport={self.cloud.host}:{self.hub_port}",
            f"--certport={self.cert_port}",
            f"--token={self.cloud.token()}",
            f"--edgenode-name={self.name}",
            f"--prefix={self.folder}",
            f"--set=modules.edged.runtime={self.runtime}",
            f"--set=modules.edged.tailoredKubeletConfig.readOnlyPort={free_port()}",
            "--no-start",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()

    def start(self) -> None:
        self.program.start()

    def wait_ready(self, within: float = 45) -> None:
        def ready() -> bool:
            self.program.must_run()
            conditions = self.cloud.get("node", self.name)["status"].get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        eventually(f"node {self.name} is Ready", ready, within=within)

    def containers(self) -> dict[str, str]:
        """Name of each running container of ours to its id (docker only)."""
        done = subprocess.run(
            [
                "docker",
                "ps",
                "--no-trunc",
                "--filter",
                f"label={INSTANCE}={instance_of(self.root)}",
                "--format",
                "{{.Names}} {{.ID}}",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return dict(line.split() for line in done.stdout.splitlines())


@contextmanager
def pair(folder: Path, runtime: str, make_cloud: Callable[[Path], Cloud] = Cloud) -> Iterator[tuple[Cloud, Edge]]:
    """A cloud half and one joined, Ready edge; both are gone afterwards."""
    cloud = make_cloud(folder / "cloud")
    edge = Edge(folder / "edge", cloud, runtime)
    try:
        cloud.start()
        edge.join()
        edge.wait_ready()
        yield cloud, edge
    finally:
        edge.program.kill()
        cloud.close()
        edge.keadm("reset", "edge", "--force", f"--prefix={folder / 'edge'}")
        remove_containers(edge.root)


def remove_containers(root: Path) -> None:
    """Every container that the edge under ``root`` left on this engine; nobody else's."""
    if shutil.which("docker") is None:
        return
    mine = f"label={INSTANCE}={instance_of(root)}"
    found = subprocess.run(
        ["docker", "ps", "-aq", "--filter", mine], capture_output=True, text=True, check=False, timeout=60
    ).stdout.split()
    if found:
        subprocess.run(["docker", "rm", "-f", *found], capture_output=True, check=False, timeout=120)
