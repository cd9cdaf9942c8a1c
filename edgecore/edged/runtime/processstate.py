"""What the process engine keeps on disk: one directory per sandbox and per container, each with small JSON files.

``container.json`` and ``sandbox.json`` are written by the engine, ``start.json`` and ``exit.json`` by the shim. Whatever is
missing or unreadable costs that one record, never more.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from beehive.files import write_atomically
from edgecore.address import local_address
from edgecore.edged.runtime import shim
from edgecore.edged.runtime.engine import ContainerInfo, PodIdentity, SandboxInfo, State

log = logging.getLogger(__name__)

T = TypeVar("T")
LARGEST_FILE = 4 << 20
SCHEME = "process://"
NOBODY = (0, 0)
"""A (pid, start time) that is no process."""


class Limits(msgspec.Struct):
    """data: bytes of RLIMIT_DATA, 0 for none."""

    data: int = 0
    nice: int = 0
    oom_score_adj: int = 0


class Pod(msgspec.Struct):
    namespace: str
    name: str
    uid: str

    def identity(self) -> PodIdentity:
        return PodIdentity(self.namespace, self.name, self.uid)


class ContainerRecord(msgspec.Struct):
    """container.json; the shim reads argv .. log_files."""

    pod: Pod
    sandbox: str
    name: str
    attempt: int
    hash: str
    image: str
    created_at: float
    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int
    gid: int
    limits: Limits
    no_new_privileges: bool
    log: str
    log_size: int
    log_files: int
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class StartRecord(msgspec.Struct):
    shim: tuple[int, int]
    child: tuple[int, int]
    started_at: float
    boot: str = ""


class ExitRecord(msgspec.Struct):
    exit_code: int
    finished_at: float
    reason: str = ""
    message: str = ""


class SandboxRecord(msgspec.Struct):
    """boot: the kernel's boot id; a sandbox does not live longer than the boot that it was made in."""

    pod: Pod
    attempt: int
    created_at: float
    boot: str
    stopped: bool = False
    host_network: bool = False


class StateFolder:
    """The two directories below ``root``, read and written; blocking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.boot = shim.boot_id()

    def container_directory(self, key: str) -> Path:
        return self.root / "containers" / plain(key)

    def sandbox_directory(self, key: str) -> Path:
        return self.root / "sandboxes" / plain(key)

    def containers(self) -> Iterator[tuple[str, ContainerRecord]]:
        """All readable ones; a directory without its record is one whose making or removal was cut short."""
        for directory in _entries(self.root / "containers"):
            if (record := read(directory / "container.json", ContainerRecord)) is not None:
                yield directory.name, record

    def sandboxes(self) -> Iterator[tuple[str, SandboxRecord]]:
        for directory in _entries(self.root / "sandboxes"):
            if (record := read(directory / "sandbox.json", SandboxRecord)) is not None:
                yield directory.name, record

    def container(self, key: str) -> ContainerRecord | None:
        return read(self.container_directory(key) / "container.json", ContainerRecord)

    def sandbox(self, key: str) -> SandboxRecord | None:
        return read(self.sandbox_directory(key) / "sandbox.json", SandboxRecord)

    def started(self, key: str) -> StartRecord | None:
        """Processes of an earlier boot, and numbers that are no container's, are NOBODY: they must never be signalled."""
        record = read(self.container_directory(key) / "start.json", StartRecord)
        if record is not None and (record.boot != self.boot or record.shim[0] <= 1 or record.child[0] <= 1):
            record.shim = record.child = NOBODY
        return record

    def ended(self, key: str) -> ExitRecord | None:
        return read(self.container_directory(key) / "exit.json", ExitRecord)

    def write_container(self, key: str, record: ContainerRecord) -> None:
        write_atomically(self.container_directory(key) / "container.json", msgspec.json.encode(record))

    def write_sandbox(self, key: str, record: SandboxRecord) -> None:
        write_atomically(self.sandbox_directory(key) / "sandbox.json", msgspec.json.encode(record))

    def starting(self, key: str) -> bool:
        """Whether a shim is at work, which may not have told of itself yet."""
        with _only_one(self.container_directory(key)) as free:
            return not free

    def remove_container(self, key: str) -> None:
        """The record goes first: what is left after a crash is no container any more.

        Raises OSError while a shim is at work in it, perhaps one that an edgecore started just before it was killed.
        """
        directory = self.container_directory(key)
        with _only_one(directory) as free:  # held until the record is gone: a shim that comes later gives up
            if not free:
                raise BlockingIOError(f"the shim in {directory} has not ended")
            remove(directory, "container.json")

    def sweep(self) -> None:
        """Removes directories without a record: their making or removal was cut short. Nobody may be making any."""
        for directory in _entries(self.root / "containers"):
            if not (directory / "container.json").exists():
                with _only_one(directory) as free:
                    if free:
                        remove(directory, "container.json")
        for directory in _entries(self.root / "sandboxes"):
            if not (directory / "sandbox.json").exists():
                remove(directory, "sandbox.json")

    def remove_sandbox(self, key: str) -> None:
        remove(self.sandbox_directory(key), "sandbox.json")

    def sandbox_info(self, key: str, record: SandboxRecord) -> SandboxInfo:
        ready = not record.stopped and record.boot == self.boot
        address = "" if record.host_network else local_address()
        return SandboxInfo(key, record.pod.identity(), ready, record.attempt, address, record.host_network, record.created_at)

    def container_info(self, key: str, record: ContainerRecord) -> ContainerInfo:
        started, ended = self.started(key), self.ended(key)
        if started is not None and ended is None and not alive(started.shim):
            # Look again: the shim writes its last record, then goes.
            ended = self.ended(key) or (None if alive(started.child) else _lost(self.container_directory(key), started.child))
        state = State.EXITED if ended else State.RUNNING if started else State.CREATED
        reason = ""
        if ended is not None:
            reason = ended.reason or ("Completed" if ended.exit_code == 0 else "Error")
        return ContainerInfo(
            id=SCHEME + key,
            name=record.name,
            pod=record.pod.identity(),
            state=state,
            image=record.image,
            image_id=SCHEME + record.image,
            attempt=record.attempt,
            hash=record.hash,
            created_at=record.created_at,
            started_at=started.started_at if started else record.created_at if ended else 0.0,
            finished_at=ended.finished_at if ended else 0.0,
            exit_code=ended.exit_code if ended else 0,
            reason=reason,
            message=ended.message if ended else "",
            labels=record.labels,
            annotations=record.annotations,
        )


@contextmanager
def _only_one(directory: Path) -> Iterator[bool]:
    """Whether no shim is at work in the directory; while this lasts none can begin."""
    try:
        lock = os.open(directory / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        yield True
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(lock)


def _lost(directory: Path, leader: tuple[int, int]) -> ExitRecord:
    """Nobody saw the end: the machine went down, or the shim was killed. 255 is what docker says after a power cut.

    A killed shim takes the program itself along, but nobody killed what the program had started.
    """
    signal_group(leader, signal.SIGKILL)
    ended = ExitRecord(
        255, _modified(directory / "start.json"), "Error", "the node went down, or the container's shim was killed"
    )
    try:
        write_atomically(directory / "exit.json", msgspec.json.encode(ended))
    except OSError as error:
        log.warning("cannot record the end of a container in %s: %s", directory, error)
    return ended


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def alive(process: tuple[int, int]) -> bool:
    """Whether this very process (pid, start time) exists, and not a later one with the same pid."""
    pid, started = process
    return started != 0 and shim.start_time(pid) == started


def signal_group(leader: tuple[int, int], number: signal.Signals) -> None:
    """To the leader's process group. When the leader is gone its group may live on; its number is not given to others then."""
    pid, started = leader
    if pid <= 1:  # to these numbers it would mean: our own group, or everybody
        return
    if shim.born(pid) not in (0, started):
        return  # the number is another process' now
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def key_of(*parts: object) -> str:
    """A 64 digit id that is the same for the same parts, so that making a thing twice is making it once."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()


def plain(key: str) -> str:
    """The id without our scheme; anything that is no id of ours becomes one that does not exist."""
    key = key.removeprefix(SCHEME)
    return key if key.isalnum() else key_of(key)


def read(path: Path, kind: type[T]) -> T | None:
    """None when it is not there or not readable as ``kind``; the latter is logged."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE)
        return msgspec.json.decode(data, type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, ValueError) as error:
        log.warning("%s is unreadable: %s", path, error)
        return None


def remove(directory: Path, record: str) -> None:
    (directory / record).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
