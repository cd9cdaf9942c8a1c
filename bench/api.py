"""The embedded API beside kube-apiserver and etcd, in the same run and in turns. One command: ``python3 build.py bench api``.

Each figure is the median of some rounds; in each round one server works while the other rests. Ratios are worth more than
seconds: other machines have other seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "kubernetes"))

from load import Load, Refused, body_of, request, run
from targets import Embedded, Kubernetes, Target
from watchers import Watchers

NAMES = itertools.count()
SPACE = "/api/v1/namespaces/default"
CLIENTS = (1, 16, 64)
PARTS = ("creates", "watches", "idle", "lists", "reads")
WATCHERS = 100
IDLE = 1000
"""Watches on which nothing happens."""
PAGE = 500
PACE = 0.05
"""Seconds between two writes while delays of events are measured: rested watchers, no queue."""


def config_map(number: int) -> bytes:
    """1 KiB of data; ``stamp`` is when it was sent."""
    obj = {"metadata": {"name": f"bench-{number}"}, "data": {"stamp": str(time.monotonic_ns()), "text": "x" * 1024}}
    return request("POST", f"{SPACE}/configmaps", json.dumps(obj).encode())


def pod(number: int) -> bytes:
    container = {
        "name": "app",
        "image": "registry.example.com/app:1.2.3",
        "command": ["/bin/app", "--verbose"],
        "env": [{"name": f"KEY_{place}", "value": f"value {place}"} for place in range(8)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "ports": [{"containerPort": 8080}],
    }
    metadata = {"name": f"bench-{number}", "labels": {"app": "bench", "number": str(number)}}
    obj = {"metadata": metadata, "spec": {"nodeName": "bench", "containers": [container]}}
    return request("POST", f"{SPACE}/pods", json.dumps(obj).encode())


def read_pod(number: int) -> bytes:
    return request("GET", f"{SPACE}/pods/bench-{number}")


def patch_pod(number: int) -> bytes:
    """What a kubelet writes of a running pod; something differs each time."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Initialized", "Ready", "PodScheduled")
    ]
    running = {"name": "app", "ready": True, "restartCount": next(NAMES) % 1_000_000, "image": "app", "imageID": "sha256:0"}
    status = {"phase": "Running", "podIP": "10.1.2.3", "conditions": conditions, "containerStatuses": [running]}
    body = json.dumps({"status": status}).encode()
    return request("PATCH", f"{SPACE}/pods/bench-{number}/status", body, "application/strategic-merge-patch+json")


class Report:
    """Figures of both, side by side."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, float, float]] = []

    def add(self, what: str, unit: str, found: dict[str, list[float]], *, less_is_better: bool = False) -> None:
        ours, theirs = (statistics.median(found[name]) for name in ("embedded", "kubernetes"))
        ratio = (theirs / ours if less_is_better else ours / theirs) if ours and theirs else float("nan")
        self.rows.append((what, unit, ours, theirs, ratio))
        spread = " ".join(f"[{min(values):.4g}-{max(values):.4g}]" for values in found.values())
        print(f"{what:<46} {ours:10.4g} {theirs:10.4g} {unit:<9} {ratio:6.2f}x  {spread}", flush=True)

    def head(self) -> None:
        print(f"{'':<46} {'embedded':>10} {'kube+etcd':>10} {'':<9} {'ratio':>6}   ranges (ratio above 1: embedded is better)")


class Bench:
    def __init__(self, targets: list[Target], rounds: int, seconds: float, pods: int) -> None:
        self.targets, self.rounds, self.seconds, self.pods = targets, rounds, seconds, pods
        self.report = Report()

    def in_turns(self, work: Callable[[Target], dict[str, float]]) -> dict[str, dict[str, list[float]]]:
        """What ``work`` gives, by figure and server."""
        found: dict[str, dict[str, list[float]]] = {}
        for number in range(self.rounds):
            for target in self.targets[:: 1 if number % 2 else -1]:
                for key, value in work(target).items():
                    found.setdefault(key, {one.name: [] for one in self.targets})[target.name].append(value)
        return found

    def loaded(self, what: str, clients: int, make: Callable[[int], bytes], numbers: Callable[[], Iterator[int]]) -> None:
        """A rate, its latency, and what the server and the generator spend on it."""

        def work(target: Target) -> dict[str, float]:
            with self._spent(target) as spent:
                connections = target.connect(clients)
                load = run(connections, make, numbers(), seconds=self.seconds)
            for connection in connections:
                connection.close()
            return {**_figures(load), "cpu": spent[0] / len(load.latencies) * 1000}

        found = self.in_turns(work)
        label = f"{what}, {clients} client{'s' if clients > 1 else ''}"
        self.report.add(label, "per s", found["rate"])
        self.report.add("    median", "ms", found["median"], less_is_better=True)
        self.report.add("    p99", "ms", found["p99"], less_is_better=True)
        self.report.add("    processor time of the server", "ms each", found["cpu"], less_is_better=True)
        self.report.add("    the generator: busy", "% of core", found["busy"])

    @contextmanager
    def _spent(self, target: Target) -> Iterator[list[float]]:
        found = [0.0]
        before = target.cpu()
        yield found
        found[0] = target.cpu() - before

    def creates(self) -> None:
        for clients in CLIENTS:
            self.loaded("create ConfigMap (1 KB)", clients, config_map, lambda: NAMES)
        for clients in CLIENTS:
            self.loaded("create pod", clients, pod, lambda: NAMES)

    def fill(self) -> None:
        """Exactly ``pods`` pods with a status, and nothing else."""
        for target in self.targets:
            for plural in ("pods", "configmaps"):
                _empty(target, plural)
            self.settled(target)
        self.memory("memory (PSS) after the creates, all deleted")
        for target in self.targets:
            run(target.connect(16), pod, iter(range(self.pods)))
            run(target.connect(16), patch_pod, iter(range(self.pods)))
            self.settled(target)
        self.memory(f"memory (PSS) at {self.pods} pods")

    def settled(self, target: Target) -> None:
        """Waits until a server does nothing any more."""
        for _ in range(30):
            before = target.cpu()
            time.sleep(1)
            if target.cpu() - before < 0.1:
                return

    def memory(self, what: str) -> None:
        self.report.add(what, "MiB", {target.name: [target.memory()] for target in self.targets}, less_is_better=True)

    def lists(self) -> None:
        """All at once, and in pages as kubectl asks for them."""
        for what, size in ((f"list {self.pods} pods, at once", 0), (f"list {self.pods} pods, {PAGE} a page", PAGE)):
            found = self.in_turns(partial(self._list, size))
            self.report.add(what, "s", found["seconds"], less_is_better=True)
            self.report.add("    processor time of the server", "s", found["cpu"], less_is_better=True)
            self.report.add("    size", "MB", found["size"], less_is_better=True)
        self.memory("memory (PSS) after the lists")

    def _list(self, page: int, target: Target) -> dict[str, float]:
        (connection,) = target.connect(1)
        with self._spent(target) as spent:
            start, path, answers = time.perf_counter(), f"{SPACE}/pods" + (f"?limit={page}" if page else ""), []
            onward = ""
            while True:
                answers.append(connection.exchange(request("GET", path + (f"&continue={onward}" if onward else ""))))
                onward = _continue(answers[-1]) if page else ""
                if not onward:
                    break
            took = time.perf_counter() - start
        bodies = [body_of(answer) for answer in answers]
        assert sum(len(json.loads(body)["items"]) for body in bodies) == self.pods
        connection.close()
        return {"seconds": took, "cpu": spent[0], "size": sum(map(len, bodies)) / 1e6}

    def reads_and_patches(self) -> None:
        for clients in (1, 16):
            self.loaded("get pod by name", clients, read_pod, lambda: itertools.cycle(range(self.pods)))
        for clients in (1, 16):
            self.loaded("patch pod status", clients, patch_pod, lambda: itertools.cycle(range(self.pods)))

    def watches(self) -> None:
        found = self.in_turns(self._fan_out)
        what = f"watch by {WATCHERS}: events delivered"
        self.report.add(what, "per s", found["rate"])
        self.report.add("    processor time of the server", "us each", found["cpu"], less_is_better=True)
        self.report.add("    the watching process: busy", "% of core", found["busy"])
        self.report.add("    watches that the server ended", "", found["again"])
        self.report.add(f"    median delay at {1 / PACE:.0f} writes per s", "ms", found["median"], less_is_better=True)
        self.report.add("    p99", "ms", found["p99"], less_is_better=True)

    def idle(self) -> None:
        """What a watch costs on which nothing happens."""
        found: dict[str, list[float]] = {}
        for target in self.targets:
            self.settled(target)
            before = target.memory()
            watchers = Watchers(target.port, target.tls, f"{SPACE}/secrets", _revision(target), IDLE)
            self.settled(target)
            found[target.name] = [(target.memory() - before) / IDLE * 1024]
            watchers.close()
        self.report.add(f"memory (PSS) of each of {IDLE} idle watches", "KiB", found, less_is_better=True)

    def _fan_out(self, target: Target) -> dict[str, float]:
        burst, paced = 500, 60
        watchers = Watchers(target.port, target.tls, f"{SPACE}/configmaps", _revision(target), WATCHERS)
        connections = target.connect(16)
        try:
            watchers.expect(burst)
            start = time.monotonic()
            with self._spent(target) as spent:
                run(connections, config_map, itertools.islice(NAMES, burst))
                seen = watchers.wait(120)
            events, took = burst * WATCHERS, seen.last - start
            watchers.expect(paced)
            for number in itertools.islice(NAMES, paced):
                connections[0].exchange(config_map(number))
                time.sleep(PACE)
            delays = sorted(watchers.wait(60).delays)
        finally:
            watchers.close()
        return {
            "rate": events / took,
            "cpu": spent[0] / events * 1e6,
            "busy": seen.cpu / took * 100,
            "again": seen.again,
            "median": statistics.median(delays) * 1000,
            "p99": delays[int(len(delays) * 0.99)] * 1000,
        }


def _figures(load: Load) -> dict[str, float]:
    ordered = sorted(load.latencies)
    return {
        "rate": load.rate,
        "median": statistics.median(ordered) * 1000,
        "p99": ordered[int(len(ordered) * 0.99)] * 1000,
        "busy": load.cpu / load.seconds * 100,
    }


def _continue(answer: bytes) -> str:
    head = body_of(answer[:4096])
    found = head.partition(b'"continue":"')[2].partition(b'"')[0]
    return found.decode()


def _empty(target: Target, plural: str) -> None:
    """kube-apiserver ends a request after a minute, and some ten thousand deletions take longer: then again, for the rest."""
    for _ in range(20):
        (connection,) = target.connect(1)
        try:
            answer = connection.exchange(request("DELETE", f"{SPACE}/{plural}?gracePeriodSeconds=0"))
        except Refused:
            continue
        finally:
            connection.close()
        if answer.startswith(b"HTTP/1.1 200"):
            return
    raise Refused(f"{target.name} cannot delete its {plural}")


def _revision(target: Target) -> str:
    (connection,) = target.connect(1)
    found = json.loads(body_of(connection.exchange(request("GET", f"{SPACE}/configmaps?limit=1"))))
    connection.close()
    return str(found["metadata"]["resourceVersion"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round of a load")
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--only", choices=PARTS, action="append", help="default: everything")
    words = parser.parse_args()
    parts = words.only or list(PARTS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        targets: list[Target] = [Embedded(Path(folder) / "embedded")]
        targets.append(Kubernetes(Path(folder) / "kubernetes"))
        try:
            measure(Bench(targets, words.rounds, words.seconds, words.pods), parts)
        finally:
            for target in targets:
                target.close()


def measure(bench: Bench, parts: list[str]) -> None:
    for target in bench.targets:
        start = time.monotonic()
        target.start()
        target.enter()
        target.connect(1)[0].exchange(request("POST", "/api/v1/nodes", json.dumps({"metadata": {"name": "bench"}}).encode()))
        print(f"{target.name}: ready after {time.monotonic() - start:.1f} s", flush=True)
    bench.report.head()
    bench.memory("memory (PSS) before")
    if "creates" in parts:
        bench.creates()
    if "watches" in parts:
        bench.watches()
    if "idle" in parts:
        bench.idle()
    if {"lists", "reads"} & set(parts):
        bench.fill()
    if "lists" in parts:
        bench.lists()
    if "reads" in parts:
        bench.reads_and_patches()


if __name__ == "__main__":
    main()
