"""kill -9 in a loop while the work goes on. ``KILLS_STORM=100`` kills that often; by default twice, and the longest
of them on processes only.

At the edge: pods and their configuration change all the time, and no container is lost, doubled or restarted for it. In the
cloud: clients write all the time, and every write that was answered is there after every restart.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest
from e2e.busybox import docker_answers, import_image, static_busybox
from e2e.conftest import require
from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import Object, config_map, pod
from faults import observer
from faults.history import converge, world
from faults.model import answer_of

KILLS = int(os.environ.get("KILLS_STORM", "2"))
PODS = 20 if KILLS > 3 else 6
MIB = 1024 * 1024


def reader(number: int, edge: Edge) -> Object:
    uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return pod(
        f"pod-{number:02d}",
        "sleep",
        "3600",
        node=edge.name,
        terminationGracePeriodSeconds=1,
        volumes=[
            {"name": "settings", "configMap": {"name": f"settings-{number:02d}"}},
            {"name": "labels", "downwardAPI": {"items": [{"path": "v", "fieldRef": {"fieldPath": "metadata.labels['v']"}}]}},
        ],
        container={
            "env": [uid, {"name": "POD_NAME", "value": f"pod-{number:02d}"}, {"name": "WHICH", "value": "main"}],
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}, {"name": "labels", "mountPath": "/etc/labels"}],
        },
    )


class Writer:
    """Changes labels of pods and texts of ConfigMaps, one after another, all the time; the newest of each is in ``value``."""

    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud, self.random = cloud, random.Random(seed)
        self.labels: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.writes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(100)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.writes += 1
            number, value = f"{self.random.randrange(PODS):02d}", f"v{self.writes}"
            if self.random.random() < 0.5:
                self._patch("pod", f"pod-{number}", {"metadata": {"labels": {"v": value}}})
                self.labels[number] = value
            else:
                self._patch("configmap", f"settings-{number}", {"data": {"value": value}})
                self.texts[number] = value

    def _patch(self, kind: str, name: str, patch: Object) -> None:
        self.cloud.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))


def test_edgecore_is_killed_while_pods_are_updated(tmp_path: Path) -> None:
    with world(tmp_path, "process", 0) as one:
        cloud, edge = one.cloud, one.edge
        cloud.apply(*(config_map(f"settings-{number:02d}", value="v0") for number in range(PODS)))
        bodies = [reader(number, edge) for number in range(PODS)]
        for body in bodies:
            body["metadata"]["labels"]["v"] = "v0"
        cloud.apply(*bodies)
        cloud.wait_running(*(body["metadata"]["name"] for body in bodies), within=120)
        before = {(each.pod, each.uid, each.container_id, each.pid) for each in observer.running(edge)}
        assert len(before) == PODS
        memory = []
        with Writer(cloud, 0) as writer:
            for _ in range(KILLS):
                time.sleep(writer.random.uniform(0.05, 3.0))
                memory.append((edge.program.memory() // MIB, observer.descriptors(edge.program)))
                edge.program.kill()
                assert observer.integrity(edge.database) == "ok"
                edge.program.start()
        healed = time.monotonic()

        def stale() -> list[str]:
            seen = {each.pod.removeprefix("pod-"): each for each in observer.running(edge)}
            wanted = [("etc/labels/v", n, v) for n, v in writer.labels.items()]
            wanted += [("etc/settings/value", n, v) for n, v in writer.texts.items()]
            return [f"{n}: {path} {seen[n].text(path)!r} {value}" for path, n, value in wanted if seen[n].text(path) != value]

        eventually("every file holds its newest text", lambda: not stale(), within=90, every=0.5)
        after = {(each.pod, each.uid, each.container_id, each.pid) for each in observer.running(edge)}
        assert after == before, "every container is the very same process as before"
        print(
            f"{KILLS} kills of edgecore, {writer.writes} writes, up to date {time.monotonic() - healed:.1f} s after the last; "
            f"MiB and descriptors when killed: first {memory[0]}, most {max(memory)}"
        )
        cloud.wait_running(*(body["metadata"]["name"] for body in bodies))
        counts = {i["metadata"]["name"]: i["status"]["containerStatuses"][0]["restartCount"] for i in cloud.get("pods")["items"]}
        assert set(counts.values()) == {0}, counts
        cloud.kubectl("delete", "pods", "--all", "--wait=false")
        eventually("nothing is left", lambda: not any(observer.pods_on_disk(edge).values()), within=60)
        assert not observer.running(edge)
        assert not observer.shims(edge)
        assert not one.broken_rules()


@pytest.mark.parametrize("runtime", ["process", pytest.param("docker", marks=pytest.mark.docker)][: 2 if KILLS > 3 else 1])
def test_edgecore_is_killed_while_pods_come_and_go(tmp_path: Path, runtime: str) -> None:
    """Kills fall between the making, the starting, the stopping and the removing of containers."""
    if runtime == "docker":
        require(docker_answers(), "a docker engine")
        require(static_busybox() is not None, "a static busybox (apt-get install busybox-static)")
        import_image()
    with world(tmp_path, runtime, 1) as one:
        stop, random_ = threading.Event(), random.Random(2)

        def work() -> None:
            while not stop.is_set():
                one.step(harm=False)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        for _ in range(KILLS):
            time.sleep(random_.uniform(0.5, 4.0))
            one.kill("edgecore")
            one.edge.start()
        stop.set()
        worker.join(60)
        try:
            one.heal()
            took = converge(one)
            wrong = one.broken_rules()
            assert not wrong, "\n".join(wrong)
        except AssertionError:
            print("\n".join(one.story))
            raise
        print(f"{KILLS} kills of edgecore on {runtime}, {one.counter} changes, converged in {took:.1f} s, largest {one.largest}")


class Ledger:
    """Several clients that create, change and delete ConfigMaps of their own, and remember what was answered."""

    def __init__(self, cloud: Cloud, clients: int) -> None:
        self.cloud = cloud
        self.texts: dict[str, set[str | None]] = {}
        """By name: what the API may hold now; None for nothing. One element when the answer was certain."""
        self.answered = self.unknown = 0
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> Ledger:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(100)

    def _run(self, client: int) -> None:
        random_, number = random.Random(client), 0
        while not self._stop.is_set():
            number += 1
            name, value = f"c{client}-{random_.randrange(10)}", f"v{number}"
            may = self.texts.setdefault(name, {None})
            self._write(name, value, may, delete=random_.random() < 0.2)

    def _write(self, name: str, value: str, may: set[str | None], *, delete: bool) -> None:
        after = None if delete else value
        if delete:
            done = self.cloud.kubectl("delete", "configmap", name, "--wait=false", check=False)
        elif None in may:
            body = json.dumps(config_map(name, value=value))
            done = self.cloud.kubectl("create", "--validate=false", "-f", "-", check=False, stdin=body)
        else:
            patch = json.dumps({"data": {"value": value}})
            done = self.cloud.kubectl("patch", "configmap", name, "--type=merge", "-p", patch, check=False)
        answer = answer_of(done.returncode, done.stderr)
        if answer == "yes":
            self.answered += 1
            self.texts[name] = {after}
        elif answer == "unknown":
            self.unknown += 1
            self.texts[name] = may | {after}
        elif "(NotFound)" in done.stderr:
            if None not in may:
                self.problems.append(f"{name} is not found, and was {may}")
            self.texts[name] = {None}
        elif "(AlreadyExists)" in done.stderr:
            self.texts[name] = may - {None}
            if not self.texts[name]:
                self.problems.append(f"{name} exists, and its deletion was answered")


def test_cloudcore_is_killed_under_writes(tmp_path: Path) -> None:
    with world(tmp_path, "process", 0) as one:
        cloud, random_ = one.cloud, random.Random(0)
        times, memory = [], []
        with Ledger(cloud, 4) as ledger:
            for _ in range(KILLS):
                time.sleep(random_.uniform(0.2, 2.0))
                memory.append((cloud.program.memory() // MIB, observer.descriptors(cloud.program)))
                cloud.program.kill()
                begin = time.monotonic()
                cloud.start()
                times.append(time.monotonic() - begin)
        listed = {item["metadata"]["name"]: item.get("data", {}).get("value") for item in cloud.get("configmaps")["items"]}
        wrong = {name: (listed.get(name), may) for name, may in ledger.texts.items() if listed.get(name) not in may}
        print(
            f"{KILLS} kills of cloudcore: {ledger.answered} writes answered, {ledger.unknown} unknown; "
            f"the API answers {sum(times) / len(times):.1f} s (at most {max(times):.1f} s) after a start; "
            f"MiB and descriptors when killed: first {memory[0]}, most {max(memory)}"
        )
        assert not wrong, f"what is there, and what was answered: {wrong}"
        assert not ledger.problems
        one.edge.wait_ready()
        watch = {w.resource: w for w in one.watchers}["configmaps"]

        def agrees() -> bool:
            listed = cloud.get("configmaps", "-A")["items"]
            return {i["metadata"]["uid"]: int(i["metadata"]["resourceVersion"]) for i in listed} == watch.known

        eventually("the watch has seen it all", agrees, within=30)
        assert not one.broken_rules()
