"""What every engine promises, asked of each of them: in memory, processes, docker."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from edgecore.edged.runtime.docker import DockerEngine
from edgecore.edged.runtime.engine import (
    ContainerInfo,
    ContainerSpec,
    ContainerStartFailed,
    Engine,
    EngineError,
    Mount,
    PodIdentity,
    SandboxSpec,
    State,
)
from edgecore.edged.runtime.process import ProcessEngine

OBEDIENT = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


class Bench:
    """An engine under test, with what all tests do to it."""

    def __init__(self, engine: Any, kind: str, image: str, again: Callable[[], Any]) -> None:
        self.engine: Engine = engine
        self.kind, self.image, self.again = kind, image, again

    def pod(self, name: str = "web") -> PodIdentity:
        return PodIdentity("default", name, f"uid-{secrets.token_hex(6)}")

    def spec(self, pod: PodIdentity, line: str, *, name: str = "main", attempt: int = 0, **more: Any) -> ContainerSpec:
        return ContainerSpec(pod, name, self.image, attempt, "1a2b", ["/bin/sh"], ["-c", line], **more)

    async def run(self, pod: PodIdentity, line: str, **more: Any) -> str:
        sandbox = await self.engine.create_sandbox(SandboxSpec(pod))
        container = await self.engine.create_container(sandbox, self.spec(pod, line, **more))
        await self.engine.start_container(container)
        return container

    async def container(self, uid: str, name: str = "main") -> ContainerInfo:
        info = await self.engine.pod(uid)
        assert info is not None
        return next(item for item in info.containers if item.name == name)

    async def until(self, check: Callable[[], Awaitable[bool]]) -> None:
        with trio.fail_after(30):
            while not await check():
                await trio.sleep(0.05)

    async def until_state(self, uid: str, state: State, name: str = "main") -> ContainerInfo:
        async def reached() -> bool:
            return (await self.container(uid, name)).state is state

        await self.until(reached)
        return await self.container(uid, name)

    async def until_says(self, container: str, text: str) -> None:
        async def said() -> bool:
            return text in await self.engine.logs_tail(container)

        await self.until(said)


@pytest.fixture(params=["memory", "process", pytest.param("docker", marks=pytest.mark.docker)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    extra: list[Any] = []
    if kind == "memory":
        from engines.memory import MemoryEngine

        memory = MemoryEngine(images=["image"])
        yield Bench(memory, kind, "image", lambda: memory)
        return
    if kind == "process":

        def fresh() -> ProcessEngine:
            extra.append(ProcessEngine(tmp_path / "state"))
            return extra[-1]

        engine: Any = fresh()
        made = Bench(engine, kind, "image", fresh)
    else:
        endpoint, image = request.getfixturevalue("docker_endpoint"), request.getfixturevalue("busybox_image")
        instance = f"test-{secrets.token_hex(6)}"

        def fresh_docker() -> DockerEngine:
            extra.append(DockerEngine(endpoint, instance=instance))
            return extra[-1]

        engine = fresh_docker()
        made = Bench(engine, kind, image, fresh_docker)
    yield made
    for pod in await engine.list_pods():
        for container in pod.containers:
            await engine.remove_container(container.id)
        for sandbox in pod.sandboxes:
            await engine.remove_sandbox(sandbox.id)
    for item in extra:
        await item.aclose()


async def test_tells_its_name_and_version(bench: Bench) -> None:
    info = await bench.engine.info()
    assert info.name == bench.kind
    assert info.version
    assert info.isolates is (bench.kind != "process")


async def test_knows_nothing_of_an_unknown_pod(bench: Bench) -> None:
    assert await bench.engine.pod("uid-nobody") is None
    assert await bench.engine.list_pods() == []


async def test_making_a_sandbox_twice_is_making_it_once(bench: Bench) -> None:
    pod = bench.pod()
    first = await bench.engine.create_sandbox(SandboxSpec(pod))
    second = await bench.engine.create_sandbox(SandboxSpec(pod))
    assert first.id == second.id
    assert second.ready
    found = await bench.engine.pod(pod.uid)
    assert found is not None
    assert [box.id for box in found.sandboxes] == [first.id]
    assert found.pod == pod


@pytest.mark.parametrize("host_network", [False, True])
async def test_a_pod_has_an_address_of_its_own_or_the_hosts(bench: Bench, host_network: bool) -> None:
    pod = bench.pod()
    made = await bench.engine.create_sandbox(SandboxSpec(pod, host_network=host_network))
    found = await bench.engine.pod(pod.uid)
    assert found is not None
    assert found.sandboxes[0] == made
    assert made.host_network is host_network
    assert (made.ip == "") is host_network  # the node knows its own address


async def test_a_container_goes_from_created_to_exited(bench: Bench) -> None:
    pod = bench.pod()
    sandbox = await bench.engine.create_sandbox(SandboxSpec(pod))
    spec = bench.spec(pod, "echo hello; exit 3", labels={"tier": "front"}, annotations={"io.kubernetes.container.ports": "[]"})
    key = await bench.engine.create_container(sandbox, spec)
    created = await bench.container(pod.uid)
    assert (created.state, created.id, created.started_at, created.finished_at) == (State.CREATED, key, 0, 0)
    await bench.engine.start_container(key)
    ended = await bench.until_state(pod.uid, State.EXITED)
    assert (ended.exit_code, ended.reason, ended.name, ended.attempt, ended.hash) == (3, "Error", "main", 0, "1a2b")
    assert 0 < ended.created_at <= ended.started_at <= ended.finished_at
    assert ended.labels == {"tier": "front"}
    assert ended.annotations == {"io.kubernetes.container.ports": "[]"}
    assert (ended.image, ended.pod) == (bench.image, pod)
    assert key.startswith(f"{bench.kind}://")
    assert await bench.engine.logs_tail(key) == "hello\n"


async def test_exit_code_zero_is_completed(bench: Bench) -> None:
    pod = bench.pod()
    await bench.run(pod, "exit 0")
    ended = await bench.until_state(pod.uid, State.EXITED)
    assert (ended.exit_code, ended.reason) == (0, "Completed")


async def test_stop_lets_the_program_end_by_itself(bench: Bench) -> None:
    pod = bench.pod()
    key = await bench.run(pod, OBEDIENT)
    await bench.until_says(key, "ready")
    await bench.engine.stop_container(key, 20)
    ended = await bench.container(pod.uid)
    assert (ended.state, ended.exit_code) == (State.EXITED, 0)


async def test_stop_kills_what_does_not_end_in_time(bench: Bench) -> None:
    pod = bench.pod()
    key = await bench.run(pod, STUBBORN)
    await bench.until_says(key, "ready")
    await bench.engine.stop_container(key, 1)
    ended = await bench.container(pod.uid)
    assert (ended.state, ended.exit_code) == (State.EXITED, 137)


async def test_a_program_that_does_not_exist(bench: Bench) -> None:
    pod = bench.pod()
    sandbox = await bench.engine.create_sandbox(SandboxSpec(pod))
    spec = replace(bench.spec(pod, ""), command=["/no/such/program"], args=[])
    key = await bench.engine.create_container(sandbox, spec)
    with pytest.raises(ContainerStartFailed, match=r"main.*/no/such/program"):
        await bench.engine.start_container(key)
    ended = await bench.container(pod.uid)
    assert (ended.state, ended.exit_code, ended.reason) == (State.EXITED, 127, "ContainerCannotRun")
    assert "/no/such/program" in ended.message


async def test_a_restarted_edgecore_finds_its_containers_and_governs_them(bench: Bench) -> None:
    pod = bench.pod()
    key = await bench.run(pod, OBEDIENT)
    await bench.until_says(key, "ready")
    before = await bench.container(pod.uid)
    bench.engine = bench.again()
    after = await bench.container(pod.uid)
    assert after == before
    assert after.state is State.RUNNING
    sandbox = await bench.engine.create_sandbox(SandboxSpec(pod))
    assert sandbox.id == (await bench.engine.create_sandbox(SandboxSpec(pod))).id
    await bench.engine.stop_container(key, 20)
    assert (await bench.container(pod.uid)).exit_code == 0


async def test_making_a_container_twice_is_making_it_once(bench: Bench) -> None:
    pod = bench.pod()
    sandbox = await bench.engine.create_sandbox(SandboxSpec(pod))
    first = await bench.engine.create_container(sandbox, bench.spec(pod, "exit 0"))
    bench.engine = bench.again()
    second = await bench.engine.create_container(sandbox, bench.spec(pod, "exit 0"))
    assert first == second
    await bench.engine.start_container(second)
    await bench.until_state(pod.uid, State.EXITED)
    await bench.engine.start_container(second)
    assert (await bench.container(pod.uid)).state is State.EXITED


async def test_an_end_is_told(bench: Bench) -> None:
    pod = bench.pod()
    key = await bench.run(pod, OBEDIENT)
    await bench.until_says(key, "ready")
    heard = trio.Event()

    async def listen(task_status: Any) -> None:
        async with aclosing(bench.engine.events()) as events:  # type: ignore[type-var]
            task_status.started()
            async for uid in events:
                if uid == pod.uid and (await bench.container(uid)).state is State.EXITED:
                    heard.set()
                    return

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        await trio.sleep(0.3)  # docker's stream opens with the first wait
        await bench.engine.stop_container(key, 20)
        with trio.fail_after(20):
            await heard.wait()
        nursery.cancel_scope.cancel()


async def test_removal(bench: Bench) -> None:
    pod, other = bench.pod("going"), bench.pod("staying")
    first = await bench.run(pod, OBEDIENT)
    await bench.run(other, OBEDIENT)
    await bench.engine.remove_container(first)
    found = await bench.engine.pod(pod.uid)
    assert found is not None
    assert list(found.containers) == []
    await bench.run(pod, OBEDIENT, attempt=1)
    await bench.engine.stop_sandbox(found.sandboxes[0].id)
    stopped = await bench.engine.pod(pod.uid)
    assert stopped is not None
    assert not stopped.sandboxes[0].ready
    assert [item.state for item in stopped.containers] == [State.EXITED]
    await bench.engine.remove_sandbox(found.sandboxes[0].id)
    assert await bench.engine.pod(pod.uid) is None
    assert [item.pod for item in await bench.engine.list_pods()] == [other]
    assert (await bench.container(other.uid)).state is State.RUNNING


async def test_unknown_ids_are_fine_when_something_shall_go(bench: Bench) -> None:
    for key in (f"{bench.kind}://{'0' * 64}", "0" * 64):
        await bench.engine.stop_container(key, 0)
        await bench.engine.remove_container(key)
        await bench.engine.stop_sandbox(key)
        await bench.engine.remove_sandbox(key)
        assert await bench.engine.logs_tail(key) == ""


async def test_starting_an_unknown_container_is_an_error(bench: Bench) -> None:
    with pytest.raises(EngineError):
        await bench.engine.start_container(f"{bench.kind}://{'0' * 64}")


async def test_no_container_in_a_stopped_sandbox(bench: Bench) -> None:
    pod = bench.pod()
    sandbox = await bench.engine.create_sandbox(SandboxSpec(pod))
    await bench.engine.stop_sandbox(sandbox.id)
    with pytest.raises(EngineError, match="sandbox"):
        key = await bench.engine.create_container(sandbox, bench.spec(pod, "exit 0"))
        await bench.engine.start_container(key)


async def test_the_newest_comes_first(bench: Bench) -> None:
    pod = bench.pod()
    await bench.run(pod, "exit 1")
    await bench.until_state(pod.uid, State.EXITED)
    await bench.run(pod, OBEDIENT, attempt=1)
    found = await bench.engine.pod(pod.uid)
    assert found is not None
    assert [(item.attempt, item.state) for item in found.containers] == [(1, State.RUNNING), (0, State.EXITED)]


async def test_logs_tail_is_bounded_by_lines_and_bytes(bench: Bench) -> None:
    pod = bench.pod()
    key = await bench.run(pod, "; ".join(f"echo line{number}" for number in range(20)))
    await bench.until_says(key, "line19")
    assert await bench.engine.logs_tail(key, lines=2) == "line18\nline19\n"
    assert await bench.engine.logs_tail(key, limit=7) == "line19\n"


@pytest.mark.parametrize("kind", ["process", pytest.param("docker", marks=pytest.mark.docker)])
async def test_environment_and_mounted_files_reach_the_program(bench: Bench, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("welcome\n")
    pod = bench.pod()
    mounts = [Mount(pages, "/www", read_only=True)]
    key = await bench.run(pod, 'cat www/index.html; echo "$GREETING"', env={"GREETING": "a b=c"}, mounts=mounts)
    await bench.until_state(pod.uid, State.EXITED)
    assert await bench.engine.logs_tail(key) == "welcome\na b=c\n"
