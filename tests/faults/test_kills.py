"""Random histories with kill -9: nothing acknowledged is lost, and when all is healed the machine is as the API says.

By default a few short histories. ``KILLS=100-149`` (seeds) and ``KILLS_STEPS=200`` run long ones; a failure prints its seed and
what happened. The choices follow from the seed, the moments do not: a seed is run again some times to find a defect again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from e2e.busybox import docker_answers, import_image, static_busybox
from e2e.conftest import require
from faults.history import World, converge, world

MIB = 1024 * 1024
STEPS = int(os.environ.get("KILLS_STEPS", "15"))
MOST_MEMORY = {"cloudcore RSS": 250 * MIB, "edgecore RSS": 200 * MIB, "cloudcore fds": 200, "edgecore fds": 150}


def seeds() -> list[int]:
    first, _, last = os.environ.get("KILLS", "1-1").partition("-")
    return list(range(int(first), int(last or first) + 1))


def history(one: World, steps: int) -> None:
    try:
        for _ in range(steps):
            one.step()
        one.heal()
        took = converge(one)
        wrong = one.broken_rules()
        assert not wrong, "\n".join(wrong)
        too_much = {key: value for key, value in one.largest.items() if value > MOST_MEMORY[key]}
        assert not too_much, f"grew too large: {too_much}"
    except BaseException:
        print(f"seed {one.seed} on {one.edge.runtime}:")
        print("\n".join(one.story))
        raise
    events = sum(watcher.events for watcher in one.watchers)
    print(
        f"seed {one.seed} on {one.edge.runtime}: {steps} steps, kills {one.kills}, converged in {took:.1f} s, "
        f"{events} watch events, {len(one.revisions.seen)} revisions seen, largest {one.largest}"
    )


@pytest.mark.parametrize("seed", seeds())
def test_histories_with_processes(tmp_path: Path, seed: int) -> None:
    require(shutil.which("kubectl") is not None, "kubectl (`python3 tests/kubernetes/programs.py kubectl` builds it)")
    with world(tmp_path, "process", seed) as one:
        history(one, STEPS)


@pytest.mark.docker
@pytest.mark.parametrize("seed", seeds()[::3])
def test_histories_with_docker(tmp_path: Path, seed: int) -> None:
    require(docker_answers(), "a docker engine")
    require(static_busybox() is not None, "a static busybox (apt-get install busybox-static)")
    import_image()
    with world(tmp_path, "docker", seed) as one:
        history(one, STEPS)
