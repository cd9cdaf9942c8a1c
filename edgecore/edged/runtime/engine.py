"""What edged asks of a container engine. Engines are exchangeable: docker, plain processes, later CRI.

An engine holds no truth of its own: after a restart of edgecore everything here is read back from the engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol


class EngineError(Exception):
    """The engine failed or refused. The text is the engine's own, with the object in front."""


class EngineUnavailable(EngineError):
    """The engine does not answer at all."""


class ImagePullFailed(EngineError):
    """reason is ErrImagePull, InvalidImageName, RegistryUnavailable or ErrImageNeverPull."""

    def __init__(self, text: str, *, reason: str = "ErrImagePull") -> None:
        super().__init__(text)
        self.reason = reason


class ContainerStartFailed(EngineError):
    """The container exists but its program could not be started (KubeEdge and kubelet: RunContainerError)."""


class State(Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PodIdentity:
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class PortMapping:
    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True)
class SandboxSpec:
    """What all containers of a pod share."""

    pod: PodIdentity
    attempt: int = 0
    hostname: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    ports: Sequence[PortMapping] = ()
    dns_servers: Sequence[str] = ()
    dns_searches: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""


@dataclass(frozen=True)
class Mount:
    host_path: Path
    container_path: str
    read_only: bool = False
    propagation: str = ""


@dataclass(frozen=True)
class Resources:
    """Already converted: cpu_shares as docker counts them, cpu_quota in us per cpu_period, memory in bytes; 0 is unset."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 100_000
    memory: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True)
class ContainerSpec:
    """One container, everything resolved: env expanded, mounts on the host, user numeric or as the image says."""

    pod: PodIdentity
    name: str
    image: str
    attempt: int
    hash: str
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    mounts: Sequence[Mount] = ()
    resources: Resources = Resources()
    user: str = ""
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    capabilities_add: Sequence[str] = ()
    capabilities_drop: Sequence[str] = ()
    tty: bool = False
    stdin: bool = False
    share_process_namespace: bool = False
    log_path: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerInfo:
    """A container as the engine has it. Times are seconds since the epoch, 0 when not reached.

    id: with the engine's scheme, ``docker://<64 hex>``. image_id: as Kubernetes reports it. attempt: the restart count.
    hash, labels, annotations: what ``ContainerSpec`` carried.
    """

    id: str
    name: str
    pod: PodIdentity
    state: State
    image: str
    image_id: str
    attempt: int
    hash: str
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SandboxInfo:
    id: str
    pod: PodIdentity
    ready: bool
    attempt: int
    ip: str = ""
    host_network: bool = False
    created_at: float = 0.0


@dataclass(frozen=True)
class PodInfo:
    """All that the engine has of one pod: newest sandbox and newest container first."""

    pod: PodIdentity
    sandboxes: Sequence[SandboxInfo] = ()
    containers: Sequence[ContainerInfo] = ()


@dataclass(frozen=True)
class EngineInfo:
    """name and version make up ``containerRuntimeVersion`` of the Node, ``docker://20.10.24``."""

    name: str
    version: str
    cgroup_driver: str = ""
    isolates: bool = True


@dataclass(frozen=True)
class Credentials:
    username: str
    password: str
    registry: str = ""


class Engine(Protocol):
    """Every call is bounded in time by the engine itself and raises EngineError or a subclass."""

    async def info(self) -> EngineInfo:
        """Raises EngineUnavailable. Cheap: it is the engine's health check, too."""

    async def list_pods(self) -> list[PodInfo]:
        """Everything of ours, running or not."""

    async def pod(self, uid: str) -> PodInfo | None:
        """The same for one pod."""

    def events(self) -> AsyncIterator[str]:
        """UIDs of pods in which something happened (a container died). A hint to look again, never the truth; it may end
        with EngineError at any time and is then opened anew."""

    async def image_present(self, image: str) -> bool: ...

    async def pull_image(self, image: str, credentials: Sequence[Credentials] = ()) -> None:
        """Raises ImagePullFailed."""

    async def create_sandbox(self, spec: SandboxSpec) -> SandboxInfo:
        """Creates and starts it. An existing sandbox of the same name and attempt is returned."""

    async def create_container(self, sandbox: SandboxInfo, spec: ContainerSpec) -> str:
        """Creates without starting; returns the id. Raises EngineError (CreateContainerError)."""

    async def start_container(self, container_id: str) -> None:
        """Raises ContainerStartFailed."""

    async def stop_container(self, container_id: str, grace: float) -> None:
        """TERM, then KILL after ``grace`` seconds; returns when it is not running. Unknown ids are fine."""

    async def remove_container(self, container_id: str) -> None: ...

    async def stop_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """With everything in it."""

    async def logs_tail(self, container_id: str, *, lines: int = 80, limit: int = 2048) -> str:
        """The end of its output, for ``FallbackToLogsOnError`` and for error messages."""
