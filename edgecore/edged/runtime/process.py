"""The process engine: containers as plain processes of this machine, for machines without a container engine.

It isolates nothing: a container sees the machine's files, network and processes, and runs as edgecore's user unless the
pod names another. What it does give: a parent that outlives edgecore, process groups, logs, exit codes, restarts.

- Images do not exist: any name counts as present, and the container's ``command`` names a program of this machine.
- The network is the node's, and so is a pod's address. A host port is the container's port; there is no mapping.
- Mounts cannot be mounted without privileges. ``mountPath: /www`` becomes a link at ``<root>/www``, where ``<root>`` is the
  container's own directory: its working directory (with ``workingDir`` below it) and ``EDGECORE_ROOT`` in its
  environment. A command that says ``www`` instead of ``/www`` works here and on docker. Read-only mounts are not enforced.
- A memory limit becomes RLIMIT_DATA: the heap of each single process, not of the group. Not RLIMIT_AS, which counts address
  space and which Go, Java and node would exceed at once. A program over it gets ENOMEM; the kernel kills nobody.
- CPU shares below 1024 become a nice value. A CPU limit is ignored.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import trio

from edgecore.edged.runtime import shim
from edgecore.edged.runtime.crilog import tail
from edgecore.edged.runtime.engine import (
    ContainerInfo,
    ContainerSpec,
    ContainerStartFailed,
    Credentials,
    EngineError,
    EngineInfo,
    EngineUnavailable,
    PodInfo,
    SandboxInfo,
    SandboxSpec,
    State,
)
from edgecore.edged.runtime.processstate import (
    ContainerRecord,
    Limits,
    Pod,
    SandboxRecord,
    StartRecord,
    StateFolder,
    alive,
    key_of,
    plain,
    signal_group,
)
from edgecore.edged.runtime.processwatch import ProcessWatch, wait_all_gone

log = logging.getLogger(__name__)

T = TypeVar("T")

START_TIME = 30.0
"""Seconds for a shim to report; on a loaded board an interpreter takes long."""
DISK_TIME = 30.0
AFTER_KILL = 10.0
"""Seconds until a killed process must be gone."""
LOG_SIZE, LOG_FILES = 10 << 20, 5
"""kubelet: containerLogMaxSize, containerLogMaxFiles."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VERSION = "1.0"


class ProcessEngine:
    """Engine whose state is below ``root``; see the module's text for what it can and cannot do."""

    def __init__(self, root: Path, *, log_size: int = LOG_SIZE, log_files: int = LOG_FILES) -> None:
        self._state = StateFolder(root)
        self._log_size, self._log_files = log_size, log_files
        self._threads = trio.CapacityLimiter(4)
        """Threads for files: an SD card may take seconds."""
        self._watch = ProcessWatch()
        self._starting = trio.Lock()
        self._sweeping = trio.Lock()
        self._swept = False

    async def aclose(self) -> None:
        """Containers keep running."""
        self._watch.close()

    async def _disk(self, what: str, function: Callable[[], T]) -> T:
        try:
            with trio.fail_after(DISK_TIME):
                return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=self._threads)
        except trio.TooSlowError:
            raise EngineUnavailable(
                f"{what}: the disk below {self._state.root} does not answer within {DISK_TIME:.0f} s"
            ) from None
        except (OSError, ValueError, OverflowError) as error:  # the latter: NUL in a path, a number beyond 64 bits
            raise EngineError(f"{what}: {error}") from error

    async def info(self) -> EngineInfo:
        def check() -> None:
            self._state.root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._state.root, os.W_OK | os.X_OK):
                raise EngineUnavailable(f"the process engine cannot write to {self._state.root}; give it to edgecore's user")

        await self._disk("the process engine", check)
        return EngineInfo("process", VERSION, isolates=False)

    # looking

    async def list_pods(self) -> list[PodInfo]:
        return await self._look("listing processes", "")

    async def pod(self, uid: str) -> PodInfo | None:
        found = await self._look(f"listing processes of pod {uid}", uid)
        return found[0] if found else None

    async def _sweep(self) -> None:
        """Once, before anything is made: what an edgecore that was killed has left half made or half removed."""
        async with self._sweeping:
            if not self._swept:
                await self._disk("the process engine", self._state.sweep)
                self._swept = True

    async def _look(self, what: str, uid: str) -> list[PodInfo]:
        await self._sweep()
        pods, running = await self._disk(what, lambda: self._pods(uid))
        for started, tag in running:
            self._watch.add(started.shim, tag)
        return pods

    def _pods(self, uid: str) -> tuple[list[PodInfo], list[tuple[StartRecord, str]]]:
        sandboxes: dict[str, list[SandboxInfo]] = {}
        containers: dict[str, list[ContainerInfo]] = {}
        running = []
        for key, box in self._state.sandboxes():
            if not uid or box.pod.uid == uid:
                sandboxes.setdefault(box.pod.uid, []).append(self._state.sandbox_info(key, box))
        for key, record in self._state.containers():
            if uid and record.pod.uid != uid:
                continue
            info = self._state.container_info(key, record)
            containers.setdefault(record.pod.uid, []).append(info)
            if info.state is State.RUNNING and (started := self._state.started(key)) is not None:
                running.append((started, record.pod.uid))
        pods = []
        for each in {**sandboxes, **containers}:
            boxes = sorted(sandboxes.get(each, []), key=lambda item: (item.attempt, item.created_at), reverse=True)
            inner = sorted(containers.get(each, []), key=lambda item: (item.created_at, item.attempt), reverse=True)
            pods.append(PodInfo((boxes[0] if boxes else inner[0]).pod, boxes, inner))
        return pods, running

    async def events(self) -> AsyncIterator[str]:
        while True:
            for uid in await self._watch.gone():
                yield uid

    # images

    async def image_present(self, image: str) -> bool:
        """There are none; whatever the pod says is as good as present."""
        await trio.lowlevel.checkpoint()
        return True

    async def pull_image(self, image: str, credentials: Sequence[Credentials] = ()) -> None:
        await trio.lowlevel.checkpoint()

    # sandboxes

    async def create_sandbox(self, spec: SandboxSpec) -> SandboxInfo:
        key = key_of("sandbox", spec.pod.uid, spec.attempt)
        pod = Pod(spec.pod.namespace, spec.pod.name, spec.pod.uid)

        def make() -> SandboxRecord:
            known = self._state.sandbox(key)
            if known is not None and not known.stopped and known.boot == self._state.boot:
                return known
            created = known.created_at if known else time.time()
            record = SandboxRecord(pod, spec.attempt, created, self._state.boot, host_network=spec.host_network)
            self._state.write_sandbox(key, record)
            return record

        await self._sweep()
        record = await self._disk(f"sandbox of pod {spec.pod.namespace}/{spec.pod.name}", make)
        for port in spec.ports:
            if port.host_port and port.host_port != port.container_port:
                log.warning(
                    "pod %s/%s: host port %d stays %d, where the program listens: processes have the node's network",
                    spec.pod.namespace,
                    spec.pod.name,
                    port.host_port,
                    port.container_port,
                )
        return self._state.sandbox_info(key, record)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        key = plain(sandbox_id)
        for container in await self._disk("stopping a sandbox", lambda: self._inside(key)):
            await self.stop_container(container, 0)

        def mark() -> None:
            if (record := self._state.sandbox(key)) is not None and not record.stopped:
                record.stopped = True
                self._state.write_sandbox(key, record)

        await self._disk("stopping a sandbox", mark)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        key = plain(sandbox_id)
        for container in await self._disk("removing a sandbox", lambda: self._inside(key)):
            await self.remove_container(container)
        await self._disk("removing a sandbox", lambda: self._state.remove_sandbox(key))

    def _inside(self, sandbox: str) -> list[str]:
        return [key for key, record in self._state.containers() if record.sandbox == sandbox]

    # containers

    async def create_container(self, sandbox: SandboxInfo, spec: ContainerSpec) -> str:
        what = f"container {spec.name} of pod {spec.pod.namespace}/{spec.pod.name}"
        if not spec.command:
            raise EngineError(
                f"{what}: the process engine runs programs of this machine and has no image {spec.image} that would name one; "
                "set command in the pod"
            )
        uid, gid = user_of(spec.user, what)
        await self._sweep()
        key: str = await self._disk(what, lambda: self._make(plain(sandbox.id), spec, uid, gid))
        return f"process://{key}"

    def _make(self, sandbox: str, spec: ContainerSpec, uid: int, gid: int) -> str:
        box = self._state.sandbox(sandbox)
        if box is None or box.stopped:
            raise EngineError(f"container {spec.name} of pod {spec.pod.namespace}/{spec.pod.name}: its sandbox does not run")
        number = 0
        while True:
            key = key_of("container", spec.pod.uid, spec.name, spec.attempt, sandbox, number)
            known = self._state.container(key)
            if known is None:
                break
            if known.hash == spec.hash and self._state.container_info(key, known).state is State.CREATED:
                return key
            number += 1
        directory = self._state.container_directory(key)
        self._state.remove_container(key)  # what a crash has left
        root = directory / "root"
        cwd = root / spec.working_dir.lstrip("/")
        make_root(root, spec)
        cwd.mkdir(parents=True, exist_ok=True)
        if uid >= 0:
            directory.chmod(0o711)
            with suppress(PermissionError):  # without root the start says that the user cannot be changed
                os.chown(root, uid, gid)
                os.chown(cwd, uid, gid)
        record = ContainerRecord(
            pod=Pod(spec.pod.namespace, spec.pod.name, spec.pod.uid),
            sandbox=sandbox,
            name=spec.name,
            attempt=spec.attempt,
            hash=spec.hash,
            image=spec.image,
            created_at=time.time(),
            argv=[*spec.command, *spec.args],
            env={"PATH": DEFAULT_PATH, "HOSTNAME": spec.pod.name, "EDGECORE_ROOT": str(root), **spec.env},
            cwd=str(cwd),
            uid=uid,
            gid=gid,
            limits=Limits(spec.resources.memory, nice_of(spec.resources.cpu_shares), spec.resources.oom_score_adj),
            no_new_privileges=spec.no_new_privileges,
            log=str(spec.log_path or directory / "log"),
            log_size=self._log_size,
            log_files=self._log_files,
            labels=dict(spec.labels),
            annotations=dict(spec.annotations),
        )
        self._state.write_container(key, record)
        return key

    async def start_container(self, container_id: str) -> None:
        key = plain(container_id)
        record = await self._disk("starting a process", lambda: self._state.container(key))
        if record is None:
            raise EngineError(f"container {container_id}: no such container")
        what = f"container {record.name} of pod {record.pod.namespace}/{record.pod.name}"
        info = await self._disk(what, lambda: self._state.container_info(key, record))
        if info.state is not State.CREATED:
            return
        error = await self._spawn(what, self._state.container_directory(key))
        if error:
            raise ContainerStartFailed(f"{what}: cannot start {record.argv[0]}: {error}")
        started = await self._disk(what, lambda: self._state.started(key))
        if started is not None:
            self._watch.add(started.shim, record.pod.uid)

    async def _spawn(self, what: str, directory: Path) -> str:
        """Starts the shim; why the program could not run, or an empty text. One at a time: they compete for the CPU anyway."""
        try:
            with trio.fail_after(START_TIME):
                async with self._starting:
                    done = await trio.run_process(
                        shim_argv(directory),
                        stdin=subprocess.DEVNULL,
                        capture_stdout=True,
                        check=False,
                        env={"PATH": DEFAULT_PATH},
                        cwd="/",
                        start_new_session=True,
                    )
        except trio.TooSlowError:
            raise ContainerStartFailed(f"{what}: the shim does not report within {START_TIME:.0f} s") from None
        except OSError as error:
            raise ContainerStartFailed(f"{what}: cannot start the shim: {error}") from error
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = {"error": f"the shim ended with {done.returncode} and said {done.stdout[-500:]!r}; see {directory}/shim.log"}
        return str(answer.get("error", "")) if isinstance(answer, dict) else repr(answer)

    async def stop_container(self, container_id: str, grace: float) -> None:
        key = plain(container_id)
        started = await self._disk("stopping a process", lambda: self._state.started(key))
        if started is None:
            started = await self._late_start(key)
        if started is None:
            return
        both = (started.child, started.shim)
        if grace > 0 and alive(started.child):
            signal_group(started.child, signal.SIGTERM)
            with trio.move_on_after(grace):
                await wait_all_gone(both)
                return
        signal_group(started.child, signal.SIGKILL)
        with trio.move_on_after(AFTER_KILL):
            await wait_all_gone(both)
            return
        raise EngineError(
            f"container {key[:12]}: process {started.child[0]} does not end although it was killed (waiting for a device?)"
        )

    async def _late_start(self, key: str) -> StartRecord | None:
        """A shim may be about to start its program: another edgecore asked it to, and was killed."""
        with trio.move_on_after(START_TIME):
            while await self._disk("stopping a process", lambda: self._state.starting(key)):
                if (started := await self._disk("stopping a process", lambda: self._state.started(key))) is not None:
                    return started
                await trio.sleep(0.05)
        return await self._disk("stopping a process", lambda: self._state.started(key))

    async def remove_container(self, container_id: str) -> None:
        key = plain(container_id)
        await self.stop_container(key, 0)
        await self._disk("removing a container", lambda: self._remove(key))

    def _remove(self, key: str) -> None:
        if (record := self._state.container(key)) is not None:
            path = Path(record.log)
            for number in range(record.log_files):
                with suppress(OSError):
                    path.with_name(path.name + (f".{number}" if number else "")).unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()
        self._state.remove_container(key)

    async def logs_tail(self, container_id: str, *, lines: int = 80, limit: int = 2048) -> str:
        record = await self._disk("reading a log", lambda: self._state.container(container_id))
        if record is None:
            return ""
        return await self._disk("reading a log", lambda: tail(Path(record.log), lines=lines, limit=limit))


def shim_argv(directory: Path) -> list[str]:
    """The interpreter without the site module: it starts fast and stays small."""
    return [sys.executable, "-I", "-S", shim.__file__, str(directory)]


def make_root(root: Path, spec: ContainerSpec) -> None:
    """The container's directory with a link for every mount. Raises EngineError for mounts that lie inside one another."""
    root.mkdir(parents=True)
    for mount in sorted(spec.mounts, key=lambda item: item.container_path):
        place = root / mount.container_path.strip("/")
        inside = place.parent.resolve()
        if ".." in Path(mount.container_path).parts or not inside.is_relative_to(root.resolve()) or place.exists():
            raise EngineError(
                f"container {spec.name} of pod {spec.pod.namespace}/{spec.pod.name}: the process engine cannot mount "
                f"{mount.container_path}: it lies inside another mount or outside the container"
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(mount.host_path)


def nice_of(cpu_shares: int) -> int:
    """1024 shares are one CPU and nice 0; each step of nice is worth a factor of 1.25. Never below 0."""
    if cpu_shares <= 0 or cpu_shares >= 1024:
        return 0
    return min(19, round(math.log(1024 / cpu_shares, 1.25)))


def user_of(user: str, what: str) -> tuple[int, int]:
    """``uid``, ``uid:gid`` or a user's name; -1 is edgecore's own. Raises EngineError for a name that does not exist."""
    if not user:
        return -1, -1
    name, _, group = user.partition(":")
    try:
        known = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if not name.isdecimal():
            raise EngineError(f"{what}: there is no user {name!r} on this machine") from None
        return int(name), int(group) if group.isdecimal() else int(name)
    return known.pw_uid, int(group) if group.isdecimal() else known.pw_gid
