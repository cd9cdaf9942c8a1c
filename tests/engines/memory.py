"""An Engine whose containers are records in memory: for tests of everything above the engine.

It keeps to the rules that the conformance suite (tests/integration/runtime) holds the real engines to. A container's
program is its shell line, understood as far as tests need: ``exit 3``, ``echo text`` and ``sleep`` (or anything else: it
runs until it is stopped, or until the test calls ``finish``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import trio

from edgecore.edged.runtime.engine import (
    ContainerInfo,
    ContainerSpec,
    ContainerStartFailed,
    Credentials,
    EngineError,
    EngineInfo,
    EngineUnavailable,
    ImagePullFailed,
    PodInfo,
    SandboxInfo,
    SandboxSpec,
    State,
)


@dataclass
class _Container:
    info: ContainerInfo
    spec: ContainerSpec
    sandbox: str
    number: int
    ignores_term: bool = False
    output: str = ""
    ended: trio.Event = field(default_factory=trio.Event)


@dataclass
class _Sandbox:
    info: SandboxInfo
    spec: SandboxSpec
    number: int


class MemoryEngine:
    """A faithful stand-in. What a test may set or read:

    down: every call raises EngineUnavailable. images: what is present. pullable: what the registry has (None = anything).
    failures: method name -> error raised by its next calls (kept until removed). calls: (method, argument) in order.
    specs: the ContainerSpec of each created container by id. now: the clock for timestamps.
    """

    def __init__(self, *, images: Sequence[str] = (), now: Callable[[], float] = time.time) -> None:
        self.images: set[str] = set(images)
        self.pullable: set[str] | None = None
        self.down = False
        self.failures: dict[str, Exception] = {}
        self.calls: list[tuple[str, Any]] = []
        self.now = now
        self.credentials: list[tuple[str, tuple[Credentials, ...]]] = []
        self._containers: dict[str, _Container] = {}
        self._sandboxes: dict[str, _Sandbox] = {}
        self._numbers = count(1)
        self._watchers: list[trio.MemorySendChannel[str]] = []

    # what tests use

    @property
    def specs(self) -> dict[str, ContainerSpec]:
        return {key: record.spec for key, record in self._containers.items()}

    @property
    def sandbox_specs(self) -> dict[str, SandboxSpec]:
        return {key: record.spec for key, record in self._sandboxes.items()}

    def container(self, pod: str, name: str) -> ContainerInfo | None:
        """The newest container ``name`` of the pod with this name or uid."""
        found = [r for r in self._containers.values() if pod in (r.info.pod.name, r.info.pod.uid) and r.info.name == name]
        return max(found, key=lambda record: record.number).info if found else None

    def running(self) -> list[str]:
        """``pod/container`` of all that run, sorted."""
        infos = (record.info for record in self._containers.values())
        return sorted(f"{info.pod.name}/{info.name}" for info in infos if info.state is State.RUNNING)

    def finish(self, container_id: str, exit_code: int = 0, *, reason: str = "", output: str = "") -> None:
        """The program of this container ends by itself, with this code."""
        record = self._containers[container_id]
        record.output += output
        if record.info.state is not State.RUNNING:
            raise AssertionError(f"container {container_id} is {record.info.state.value}, not running")
        self._end(record, exit_code, reason)

    def kill_sandbox(self, uid: str) -> None:
        """The sandboxes of the pod die, as when somebody removes the pause container by hand; so do its containers."""
        for sandbox in self._sandboxes.values():
            if sandbox.info.pod.uid == uid and sandbox.info.ready:
                sandbox.info = replace(sandbox.info, ready=False)
        for record in self._containers.values():
            if record.info.pod.uid == uid and record.info.state is State.RUNNING:
                self._end(record, 137)
        self._tell(uid)

    # the Engine protocol

    async def info(self) -> EngineInfo:
        await self._enter("info")
        return EngineInfo("memory", "1.0")

    async def list_pods(self) -> list[PodInfo]:
        await self._enter("list_pods")
        pods = {record.info.pod.uid: record.info.pod for record in self._sandboxes.values()}
        pods |= {record.info.pod.uid: record.info.pod for record in self._containers.values()}
        return [self._pod(uid) for uid in pods]

    async def pod(self, uid: str) -> PodInfo | None:
        await self._enter("pod", uid)
        info = self._pod(uid)
        return info if info.sandboxes or info.containers else None

    async def events(self) -> AsyncIterator[str]:
        send, receive = trio.open_memory_channel[str](1000)
        self._watchers.append(send)
        try:
            async with receive:
                async for uid in receive:
                    yield uid
        finally:
            self._watchers.remove(send)

    async def image_present(self, image: str) -> bool:
        await self._enter("image_present", image)
        return image in self.images

    async def pull_image(self, image: str, credentials: Sequence[Credentials] = ()) -> None:
        await self._enter("pull_image", image)
        self.credentials.append((image, tuple(credentials)))
        if self.pullable is not None and image not in self.pullable:
            raise ImagePullFailed(f"image {image}: manifest unknown")
        self.images.add(image)

    async def create_sandbox(self, spec: SandboxSpec) -> SandboxInfo:
        await self._enter("create_sandbox", spec.pod.uid)
        for record in self._sandboxes.values():
            if record.info.pod.uid == spec.pod.uid and record.info.attempt == spec.attempt:
                record.info = replace(record.info, ready=True)
                return record.info
        number = next(self._numbers)
        address = "" if spec.host_network else f"10.88.0.{number % 250 + 2}"
        info = SandboxInfo(f"{number:064x}", spec.pod, True, spec.attempt, address, spec.host_network, self.now())
        self._sandboxes[info.id] = _Sandbox(info, spec, number)
        return info

    async def create_container(self, sandbox: SandboxInfo, spec: ContainerSpec) -> str:
        await self._enter("create_container", spec.name)
        if sandbox.id not in self._sandboxes or not self._sandboxes[sandbox.id].info.ready:
            raise EngineError(f"container {spec.name} of pod {spec.pod.namespace}/{spec.pod.name}: its sandbox does not run")
        for record in self._containers.values():
            known = record.info
            if (known.pod.uid, known.name, known.attempt) == (spec.pod.uid, spec.name, spec.attempt):
                return known.id
        number = next(self._numbers)
        info = ContainerInfo(
            id=f"memory://{number:064x}",
            name=spec.name,
            pod=spec.pod,
            state=State.CREATED,
            image=spec.image,
            image_id=f"memory://{spec.image}",
            attempt=spec.attempt,
            hash=spec.hash,
            created_at=self.now(),
            labels=dict(spec.labels),
            annotations=dict(spec.annotations),
        )
        self._containers[info.id] = _Container(info, spec, sandbox.id, number)
        return info.id

    async def start_container(self, container_id: str) -> None:
        await self._enter("start_container", container_id)
        record = self._known(container_id)
        if record.info.state is not State.CREATED:
            return
        argv = [*record.spec.command, *record.spec.args]
        if argv and argv[0].startswith("/no/such"):
            text = f"{argv[0]}: no such file or directory"
            self._end(record, 127, "ContainerCannotRun", text)
            raise ContainerStartFailed(f"container {record.info.name}: {text}")
        record.info = replace(record.info, state=State.RUNNING, started_at=self.now())
        self._interpret(record, argv[-1] if argv else "")
        self._tell(record.info.pod.uid)

    async def stop_container(self, container_id: str, grace: float) -> None:
        await self._enter("stop_container", (container_id, grace))
        record = self._containers.get(container_id)
        if record is None or record.info.state is not State.RUNNING:
            return
        if not record.ignores_term:
            self._end(record, 0 if "trap" in " ".join([*record.spec.command, *record.spec.args]) else 143)
            return
        with trio.move_on_after(grace):
            await record.ended.wait()
            return
        self._end(record, 137)

    async def remove_container(self, container_id: str) -> None:
        await self._enter("remove_container", container_id)
        record = self._containers.pop(container_id, None)
        if record is not None:
            record.ended.set()
            self._tell(record.info.pod.uid)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._enter("stop_sandbox", sandbox_id)
        for record in self._containers.values():
            if record.sandbox == sandbox_id and record.info.state is State.RUNNING:
                self._end(record, 137)
        if (sandbox := self._sandboxes.get(sandbox_id)) is not None:
            sandbox.info = replace(sandbox.info, ready=False)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        await self._enter("remove_sandbox", sandbox_id)
        for container_id in [key for key, record in self._containers.items() if record.sandbox == sandbox_id]:
            del self._containers[container_id]
        if (sandbox := self._sandboxes.pop(sandbox_id, None)) is not None:
            self._tell(sandbox.info.pod.uid)

    async def logs_tail(self, container_id: str, *, lines: int = 80, limit: int = 2048) -> str:
        await self._enter("logs_tail", container_id)
        record = self._containers.get(container_id)
        output = record.output if record else ""
        return "".join(deque(output.splitlines(keepends=True), lines))[-limit:]

    async def aclose(self) -> None:
        for watcher in self._watchers:
            watcher.close()

    # inside

    async def _enter(self, method: str, argument: Any = None) -> None:
        await trio.lowlevel.checkpoint()
        self.calls.append((method, argument))
        if self.down:
            raise EngineUnavailable("the memory engine is down (the test says so)")
        if (error := self.failures.get(method)) is not None:
            raise error

    def _known(self, container_id: str) -> _Container:
        if (record := self._containers.get(container_id)) is None:
            raise EngineError(f"container {container_id}: no such container")
        return record

    def _pod(self, uid: str) -> PodInfo:
        sandboxes = [record for record in self._sandboxes.values() if record.info.pod.uid == uid]
        containers = [record for record in self._containers.values() if record.info.pod.uid == uid]
        sandboxes.sort(key=lambda record: -record.number)
        containers.sort(key=lambda record: -record.number)
        known = [record.info for record in sandboxes], [record.info for record in containers]
        every = [*known[0], *known[1]]
        pod = every[0].pod if every else None
        return PodInfo(pod, *known) if pod else PodInfo(_nobody(uid))

    def _interpret(self, record: _Container, line: str) -> None:
        record.ignores_term = "trap '' TERM" in line
        for part in (piece.strip() for piece in line.split(";")):
            word, _, rest = part.partition(" ")
            if word == "echo":
                record.output += rest.strip("'\"") + "\n"
            elif word == "exit":
                self._end(record, int(rest or 0))
                return

    def _end(self, record: _Container, code: int, reason: str = "", message: str = "") -> None:
        given = reason or ("Completed" if code == 0 else "Error")
        record.info = replace(
            record.info, state=State.EXITED, exit_code=code, reason=given, message=message, finished_at=self.now()
        )
        record.ended.set()
        self._tell(record.info.pod.uid)

    def _tell(self, uid: str) -> None:
        for watcher in self._watchers:
            try:
                watcher.send_nowait(uid)
            except trio.WouldBlock:
                continue  # a hint only: the watcher relists anyway


def _nobody(uid: str) -> Any:
    from edgecore.edged.runtime.engine import PodIdentity

    return PodIdentity("", "", uid)
