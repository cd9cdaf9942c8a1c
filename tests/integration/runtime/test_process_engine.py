"""What only the process engine has: a shim that outlives everybody, process groups, limits."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from edgecore.edged.runtime import process
from edgecore.edged.runtime.engine import (
    ContainerInfo,
    ContainerSpec,
    ContainerStartFailed,
    EngineError,
    PodIdentity,
    Resources,
    SandboxSpec,
    State,
)
from edgecore.edged.runtime.process import ProcessEngine
from edgecore.edged.runtime.processstate import StateFolder, alive

POD = PodIdentity("default", "web", "uid-1")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ProcessEngine]:
    made = ProcessEngine(tmp_path / "state")
    yield made
    for pod in await made.list_pods():
        for sandbox in pod.sandboxes:
            await made.remove_sandbox(sandbox.id)
    await made.aclose()


def spec(line: str, **more: object) -> ContainerSpec:
    return ContainerSpec(POD, "main", "image", 0, "h", ["/bin/sh", "-c", line], **more)  # type: ignore[arg-type]


async def run(engine: ProcessEngine, line: str, **more: object) -> str:
    sandbox = await engine.create_sandbox(SandboxSpec(POD))
    key = await engine.create_container(sandbox, spec(line, **more))
    await engine.start_container(key)
    return key


async def info(engine: ProcessEngine) -> ContainerInfo:
    found = await engine.pod(POD.uid)
    assert found is not None
    return found.containers[0]


async def until(check: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not check():
            await trio.sleep(0.02)


async def ended(engine: ProcessEngine) -> ContainerInfo:
    with trio.fail_after(30):
        while (found := await info(engine)).state is not State.EXITED:
            await trio.sleep(0.02)
    return found


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


STARTER = """
import os, signal, sys, trio
from pathlib import Path
from edgecore.edged.runtime.engine import *
from edgecore.edged.runtime.process import ProcessEngine
async def main():
    engine = ProcessEngine(Path(sys.argv[1]))
    pod = PodIdentity("default", "web", "uid-1")
    sandbox = await engine.create_sandbox(SandboxSpec(pod))
    line = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    key = await engine.create_container(sandbox, ContainerSpec(pod, "main", "image", 0, "h", ["/bin/sh", "-c", line]))
    await engine.start_container(key)
    os.killpg(0, signal.SIGKILL)  # edgecore and its whole process group
trio.run(main)
"""


async def test_containers_outlive_a_killed_edgecore_and_are_taken_over(engine: ProcessEngine, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path / "state")]
    done = await trio.run_process(argv, check=False, start_new_session=True, stdin=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL
    found = await info(engine)
    assert found.state is State.RUNNING
    with trio.fail_after(30):
        while "ready" not in await engine.logs_tail(found.id):
            await trio.sleep(0.02)
    await engine.stop_container(found.id, 20)
    assert (await info(engine)).exit_code == 7
    assert "bye\n" in await engine.logs_tail(found.id)


async def test_the_end_of_an_adopted_container_is_told(engine: ProcessEngine, tmp_path: Path) -> None:
    key = await run(engine, "sleep 1000")
    again = ProcessEngine(tmp_path / "state")
    assert (await info(again)).state is State.RUNNING
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            async with aclosing(again.events()) as events:  # type: ignore[type-var]
                async for uid in events:
                    assert uid == POD.uid
                    nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        await engine.stop_container(key, 0)
        await trio.sleep(30)
    assert nursery.cancel_scope.cancelled_caught
    await again.aclose()


async def test_nothing_of_a_container_outlives_it(engine: ProcessEngine) -> None:
    key = await run(engine, "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; (setsid sleep 1000 & echo $!); echo end; wait")
    with trio.fail_after(30):
        while "end" not in (said := await engine.logs_tail(key)):
            await trio.sleep(0.02)
    pids = [int(word) for word in said.split() if word.isdecimal()]
    assert len(pids) == 3
    assert all(running(pid) for pid in pids)
    await engine.stop_container(key, 20)
    await until(lambda: not any(running(pid) for pid in pids))


async def test_a_killed_shim_takes_its_program_along(engine: ProcessEngine, tmp_path: Path) -> None:
    key = await run(engine, "exec sleep 1000")
    started = StateFolder(tmp_path / "state").started(key)
    assert started is not None
    os.kill(started.shim[0], signal.SIGKILL)
    await until(lambda: not alive(started.child))
    found = await ended(engine)
    assert (found.exit_code, found.reason) == (255, "Error")
    assert "shim was killed" in found.message
    await engine.stop_container(key, 5)


async def test_a_program_killed_by_a_signal(engine: ProcessEngine) -> None:
    await run(engine, "kill -9 $$")
    assert (await ended(engine)).exit_code == 137


async def test_limits_reach_the_program(engine: ProcessEngine) -> None:
    resources = Resources(cpu_shares=102, memory=64 << 20, oom_score_adj=500)
    line = "grep 'Max data size' /proc/self/limits; nice; cat /proc/self/oom_score_adj"
    key = await run(engine, line, resources=resources)
    await ended(engine)
    said = (await engine.logs_tail(key)).split()
    assert str(64 << 20) in said
    assert int(said[-2]) - os.nice(0) == min(10, 19 - os.nice(0))
    assert said[-1] == "500"


async def test_the_working_directory_and_the_root(engine: ProcessEngine) -> None:
    key = await run(engine, 'pwd; echo "$EDGECORE_ROOT"; echo "$HOSTNAME"', working_dir="/srv/app")
    await ended(engine)
    where, root, host = (await engine.logs_tail(key)).split()
    assert where == f"{root}/srv/app"
    assert host == "web"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change to another user")
async def test_another_user() -> None:
    with tempfile.TemporaryDirectory(prefix="edgecore-test-") as folder:
        Path(folder).chmod(0o711)
        engine = ProcessEngine(Path(folder) / "state")
        key = await run(engine, "id -u; id -g; id -G; echo x > file", user="54321:54322")
        assert (await ended(engine)).exit_code == 0  # it may write where it works
        assert (await engine.logs_tail(key)).split() == ["54321", "54322", "54322"]
        await engine.aclose()


async def test_without_a_command_there_is_nothing_to_run(engine: ProcessEngine) -> None:
    sandbox = await engine.create_sandbox(SandboxSpec(POD))
    with pytest.raises(EngineError, match=r"container main of pod default/web: .* set command in the pod"):
        await engine.create_container(sandbox, ContainerSpec(POD, "main", "nginx", 0, "h", args=["-x"]))


async def test_a_program_that_is_not_in_path(engine: ProcessEngine) -> None:
    sandbox = await engine.create_sandbox(SandboxSpec(POD))
    key = await engine.create_container(sandbox, ContainerSpec(POD, "main", "i", 0, "h", ["no-such-program"]))
    with pytest.raises(ContainerStartFailed, match=r"no-such-program: No such file or directory in PATH \(/usr"):
        await engine.start_container(key)


async def test_a_log_that_cannot_be_written_is_told(engine: ProcessEngine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sandbox = await engine.create_sandbox(SandboxSpec(POD))
    key = await engine.create_container(sandbox, spec("exit 0", log_path=tmp_path / "file" / "0.log"))
    with pytest.raises(ContainerStartFailed, match="file"):
        await engine.start_container(key)


async def test_starting_it_twice_at_once_runs_it_once(engine: ProcessEngine, tmp_path: Path) -> None:
    other = ProcessEngine(tmp_path / "state")
    sandbox = await engine.create_sandbox(SandboxSpec(POD))
    key = await engine.create_container(sandbox, spec("echo run; sleep 1000"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.start_container, key)
        nursery.start_soon(other.start_container, key)
    with trio.fail_after(30):
        while not await engine.logs_tail(key):
            await trio.sleep(0.02)
    assert await engine.logs_tail(key) == "run\n"
    await other.aclose()


async def test_a_sandbox_does_not_outlive_the_boot(engine: ProcessEngine, tmp_path: Path) -> None:
    made = await engine.create_sandbox(SandboxSpec(POD))
    state = StateFolder(tmp_path / "state")
    record = state.sandbox(made.id)
    assert record is not None
    record.boot = "an earlier one"
    state.write_sandbox(made.id, record)
    found = await engine.pod(POD.uid)
    assert found is not None
    assert not found.sandboxes[0].ready
    assert (await engine.create_sandbox(SandboxSpec(POD))).ready


async def test_a_killed_shim_takes_along_what_the_program_had_started(engine: ProcessEngine, tmp_path: Path) -> None:
    """Or it would run beside the next container for ever."""
    noted = tmp_path / "pid"
    key = await run(engine, f"sleep 3600 & echo $! > {noted}.new; mv {noted}.new {noted}; wait")
    await until(noted.exists)
    state = StateFolder(tmp_path / "state")
    started = state.started(key.removeprefix("process://"))
    assert started is not None
    os.kill(started.shim[0], signal.SIGKILL)
    await until(lambda: not alive(started.shim) and not alive(started.child))
    assert (await info(engine)).state is State.EXITED
    inner = int(noted.read_text())
    await until(lambda: not running(inner))


async def test_nothing_is_removed_below_a_shim_that_is_about_to_start(
    engine: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill of edgecore between the start of the shim and its report."""
    sandbox = await engine.create_sandbox(SandboxSpec(POD))
    key = await engine.create_container(sandbox, spec("sleep 3600"))
    directory = tmp_path / "state" / "containers" / key.removeprefix("process://")
    monkeypatch.setattr(process, "START_TIME", 0.3)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EngineError, match="has not ended"):
            await engine.remove_container(key)
        assert (directory / "container.json").exists()
    await engine.remove_container(key)
    assert not directory.exists()


async def test_what_a_kill_left_half_made_is_swept_away_once(engine: ProcessEngine, tmp_path: Path) -> None:
    key = (await run(engine, "sleep 3600")).removeprefix("process://")
    state = tmp_path / "state"
    (state / "containers" / "ab" / "root").mkdir(parents=True)
    (state / "sandboxes" / "cd").mkdir(parents=True)
    await engine.list_pods()
    assert (state / "containers" / "ab").exists(), "this engine may be making it"
    after = ProcessEngine(state)
    await after.list_pods()
    await after.aclose()
    assert [entry.name for entry in (state / "containers").iterdir()] == [key]
    assert len(list((state / "sandboxes").iterdir())) == 1
    assert (await info(engine)).state is State.RUNNING
