"""What is really there: processes and containers as the machine shows them, and the API as a watching client sees it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.harness import Cloud, Edge, Program
from faults.model import Revisions

from edgecore.edged.runtime.dockerobjects import INSTANCE
from edgecore.edged.runtime.select import instance_of


@dataclass(frozen=True)
class Real:
    """A running container. pid: its first process. root: where its files are seen from here. handle: for killing it."""

    uid: str
    pod: str
    name: str
    container_id: str
    pid: int
    root: Path

    def text(self, path: str) -> str:
        """A file as the container sees it; empty while it is not there."""
        try:
            return (self.root / path).read_text()
        except OSError:
            return ""


def running(edge: Edge) -> list[Real]:
    """Everything of this edge that runs on the machine."""
    return _in_docker(edge) if edge.runtime == "docker" else _as_processes(edge)


def environment(pid: int) -> dict[str, str]:
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(pair.decode(errors="replace").split("=", 1) for pair in pairs if b"=" in pair)


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _as_processes(edge: Edge) -> list[Real]:
    """The leaders of sessions. A process whose leader is gone is listed as one, too: it should have gone with it."""
    mine = {pid: env for pid in pids() if (env := environment(pid)).get("EDGECORE_ROOT", "").startswith(f"{edge.folder}/")}
    found = []
    for pid, env in mine.items():
        root = Path(env["EDGECORE_ROOT"])
        try:
            leader = os.getsid(pid)
        except ProcessLookupError:
            continue
        if leader == pid or leader not in mine:
            container = f"process://{root.parent.name}"
            found.append(Real(env.get("POD_UID", ""), env.get("POD_NAME", ""), env.get("WHICH", ""), container, pid, root))
    return found


def shims(edge: Edge) -> dict[int, str]:
    """The parents of the process engine's containers: pid to directory."""
    found = {}
    for pid in pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.endswith("shim.py") for word in words):
            for word in words:
                if word.startswith(str(edge.root) + "/"):
                    found[pid] = word
    return found


def docker(*args: str) -> str:
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=True, timeout=60).stdout


def inspected(edge: Edge, *, all_: bool) -> list[dict[str, Any]]:
    """Those of this edge's containers that are still there when they are looked at."""
    ids = docker_ids(edge, all_=all_)
    if not ids:
        return []
    done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=False, timeout=60)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def docker_ids(edge: Edge, *, all_: bool) -> list[str]:
    mine = f"label={INSTANCE}={instance_of(edge.root)}"
    return docker("ps", "-q", *(["-a"] if all_ else []), "--no-trunc", "--filter", mine).split()


def _in_docker(edge: Edge) -> list[Real]:
    found = []
    for item in inspected(edge, all_=False):
        labels, pid = item["Config"]["Labels"], item["State"]["Pid"]
        if labels.get("io.kubernetes.docker.type") != "podsandbox":
            uid, pod, name = (labels.get(f"io.kubernetes.{key}", "") for key in ("pod.uid", "pod.name", "container.name"))
            found.append(Real(uid, pod, name, f"docker://{item['Id']}", pid, Path(f"/proc/{pid}/root")))
    return found


def pods_on_disk(edge: Edge) -> dict[str, set[str]]:
    """Pod uids by the place where something of them stands."""
    places = {"pod directory": {entry.name for entry in _entries(edge.root / "pods")}}
    for kind in ("containers", "sandboxes"):
        found = set()
        for directory in _entries(edge.root / "process" / kind):
            record = directory / ("container.json" if kind == "containers" else "sandbox.json")
            try:
                found.add(json.loads(record.read_text())["pod"]["uid"])
            except (OSError, ValueError):
                found.add(f"unreadable {directory}")
        places[f"engine's {kind}"] = found
    if edge.runtime == "docker":
        items = inspected(edge, all_=True)
        places["docker"] = {item["Config"]["Labels"].get("io.kubernetes.pod.uid", "") for item in items}
    logs = edge.folder / "var/log/pods"
    places["log directory"] = {entry.name.rsplit("_", 1)[-1] for entry in _entries(logs)}
    return places


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def surplus(edge: Edge) -> list[str]:
    """More sandboxes, or more ended containers, than a pod may keep (docker only)."""
    count: dict[tuple[str, str, str], int] = {}
    for item in inspected(edge, all_=True) if edge.runtime == "docker" else []:
        labels = item["Config"]["Labels"]
        name = "" if labels["io.kubernetes.docker.type"] == "podsandbox" else labels["io.kubernetes.container.name"]
        key = (labels["io.kubernetes.pod.name"], name, item["State"]["Status"])
        count[key] = count.get(key, 0) + 1
    return [f"{number} of {key}" for key, number in count.items() if number > 1 or key[2] == "created"]


def descriptors(program: Program) -> int:
    return len(list(Path(f"/proc/{program.pid}/fd").iterdir()))


def integrity(database: Path) -> str:
    with sqlite3.connect(database) as connection:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return str(said)


class Watcher:
    """Lists and watches one resource through every interruption, as a controller would, and compares what it believes."""

    def __init__(self, cloud: Cloud, resource: str, revisions: Revisions) -> None:
        self.cloud, self.resource, self.revisions = cloud, resource, revisions
        self.known: dict[str, int] = {}
        self.revision = 0
        self.problems: list[str] = []
        self.lists = self.watches = self.events = 0
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {resource}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Whether or not it has ever started: what kept it from starting is the error to show."""
        self._stop.set()
        if self._process is not None:
            self._process.kill()
        if self._thread.ident is not None:
            self._thread.join(15)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not self.revision:
                    self._list()
                self._watch()
            except (AssertionError, ValueError, subprocess.SubprocessError, OSError):
                time.sleep(0.2)  # the API is away; that is not what this class judges

    def _path(self) -> str:
        return f"/api/v1/{self.resource}"

    def _list(self) -> None:
        found = json.loads(self.cloud.kubectl("get", "--raw", self._path(), within=20).stdout)
        revision = int(found["metadata"]["resourceVersion"])
        self.known = {item["metadata"]["uid"]: self.revisions.saw(item) for item in found["items"]}
        late = [each for each in self.known.values() if each > revision]
        if late:
            self.problems.append(f"a list of {self.resource} at {revision} holds revisions {late}")
        self.revision = revision
        self.lists += 1

    def _watch(self) -> None:
        self.watches += 1
        query = f"{self._path()}?watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion={self.revision}"
        env = {"PATH": os.environ["PATH"], "HOME": str(self.cloud.folder), "KUBECONFIG": str(self.cloud.kubeconfig)}
        with subprocess.Popen(
            ["kubectl", "get", "--raw", query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        ) as process:
            self._process = process
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if not line.endswith("\n"):
                        break  # cut in the middle
                    self._event(json.loads(line))
            finally:
                process.kill()
        time.sleep(0.05)

    def _event(self, event: dict[str, Any]) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            self.revision = 0
            return
        revision = int(obj["metadata"]["resourceVersion"])
        if revision < self.revision or (revision == self.revision and kind != "BOOKMARK"):
            self.problems.append(f"watch of {self.resource} went back from {self.revision} to {revision} ({kind})")
        self.revision = revision
        self.events += 1
        if kind == "BOOKMARK":
            return
        self.revisions.saw(obj, removed=kind == "DELETED")
        uid = obj["metadata"]["uid"]
        if (kind == "MODIFIED" and uid not in self.known) or (kind == "ADDED" and uid in self.known):
            self.problems.append(f"watch of {self.resource}: {kind} {obj['metadata']['name']} {uid} does not follow")
        if kind == "DELETED":
            self.known.pop(uid, None)
        else:
            self.known[uid] = revision
