"""How long pods take and what the two programs cost at idle. One command: ``python3 build.py bench``.

Everything runs on this machine, edge and cloud as two processes, kubectl as the user. With docker the same container is also
started by ``docker run`` in the same run, twice per pod (a sandbox and a container), so that figures of different machines can
be compared as a ratio.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from e2e.busybox import docker_answers, import_image
from e2e.harness import Cloud, Edge, Program, eventually, remove_containers
from e2e.manifests import IMAGE, Object, pod

ROUNDS = 10
MANY = 20
IDLE = 20.0
"""Seconds of rest before memory and processor time are read."""


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def report(what: str, samples: list[float], unit: str = "s") -> float:
    middle = statistics.median(samples)
    print(f"{what:<58} {middle:8.2f} {unit}  ({min(samples):.2f}-{max(samples):.2f}, n={len(samples)})", flush=True)
    return middle


def pss(program: Program) -> float:
    """Proportional set size in MiB."""
    for line in Path(f"/proc/{program.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no Pss of {program.name}")


def processor(program: Program) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def imports(module: str) -> list[float]:
    return [seconds(lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True)) for _ in range(ROUNDS)]


def obedient(name: str) -> Object:
    """A pod that ends at once on TERM, so that a deletion measures us and not the grace period."""
    return pod(name, "sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait")


def connect(edge: Edge) -> None:
    """Starts edgecore and waits for the line that says it has its link."""
    before = edge.program.output().count("connected to the cloud")
    edge.start()
    eventually("the link is up", lambda: edge.program.output().count("connected to the cloud") > before, every=0.01)


def one_pod(cloud: Cloud) -> tuple[float, float]:
    """Seconds from apply to Running and Ready, and from delete to gone."""
    up = seconds(lambda: (cloud.apply(obedient("bench")), cloud.wait_running("bench")))
    return up, seconds(lambda: cloud.kubectl("delete", "pod", "bench", "--wait=true"))


def many_pods(cloud: Cloud) -> float:
    names = [f"bench-{number:02d}" for number in range(MANY)]
    took = seconds(lambda: (cloud.apply(*(obedient(name) for name in names)), cloud.wait_running(*names, within=180)))
    cloud.kubectl("delete", "pods", *names, "--wait=true", within=180)
    return took


def docker_run_twice() -> float:
    """The least that docker needs for a sandbox and a container."""
    started: list[str] = []

    def run() -> None:
        for _ in range(2):
            command = ["docker", "run", "-d", "--init", IMAGE, "sleep", "3600"]
            started.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())

    took = seconds(run)
    subprocess.run(["docker", "rm", "-f", *started], capture_output=True, check=True)
    return took


def measure(folder: Path, runtime: str) -> None:
    cloud = Cloud(folder / "cloud")
    edge = Edge(folder / "edge", cloud, runtime)
    try:
        report("cloudcore --standalone: start to API ready", [seconds(cloud.start)])
        edge.join()
        edge.wait_ready()
        edge.program.stop()
        report("edgecore: start to connected (joined before)", [seconds(lambda: connect(edge))])
        time.sleep(IDLE)
        for program in (cloud.program, edge.program):
            before = processor(program)
            time.sleep(IDLE)
            load = (processor(program) - before) / IDLE * 100
            resident = program.memory() / 1024 / 1024
            print(f"{program.name} idle: PSS {pss(program):.1f} MiB, RSS {resident:.1f} MiB, processor {load:.2f} %", flush=True)
        rounds = [one_pod(cloud) for _ in range(ROUNDS)]
        up = report(f"{runtime}: one pod, apply to Running and Ready", [up for up, _ in rounds])
        report(f"{runtime}: one pod, delete to gone", [down for _, down in rounds])
        report(f"{runtime}: {MANY} pods at once, apply to all Running and Ready", [many_pods(cloud)])
        if runtime == "docker":
            least = report(
                "docker run, twice (the least for a sandbox and a container)", [docker_run_twice() for _ in range(ROUNDS)]
            )
            print(f"a pod takes {up / least:.1f} times what docker alone takes", flush=True)
        print(f"edgecore after the pods: PSS {pss(edge.program):.1f} MiB", flush=True)
    finally:
        edge.program.kill()
        cloud.program.kill()
        edge.keadm("reset", "edge", "--force", f"--prefix={edge.folder}")
        remove_containers(edge.root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", choices=("docker", "process"), default="docker" if docker_answers() else "process")
    runtime = parser.parse_args().runtime
    if runtime == "docker":
        import_image()
    for module in ("edgecore.app", "cloudcore.app"):
        report(f"python: import {module}", imports(module))
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), runtime)


if __name__ == "__main__":
    main()
