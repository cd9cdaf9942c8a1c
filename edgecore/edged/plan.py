"""What to do next for a pod: a pure function of the wanted pod, of what the engine has, and of the time.

It follows kubelet's computePodActions (Kubernetes 1.32: pkg/kubelet/kuberuntime/kuberuntime_manager.go). The state of the
back-off travels in an annotation of each container, so a restart of edgecore continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from edgecore.edged import pods
from edgecore.edged.runtime.engine import ContainerInfo, PodInfo, SandboxInfo, State
from kube import objects
from kube.objects import Object

BACKOFF_FIRST: Final = 10.0
BACKOFF_LIMIT: Final = 300.0
BACKOFF_RESET: Final = 600.0
"""Seconds of running after which a crash counts as the first one again."""

SANDBOX_PAUSE: Final = 5.0
"""Seconds at least between two sandboxes of a pod: something may kill them as fast as they are made."""

CLOCK_SLACK: Final = 10.0
"""Seconds by which an engine's clock may be ahead of ours."""

BACKOFF_STEP: Final = "edgecore.io/backoff-step"
"""Annotation of a container: how many crashes in a row led to it."""

VOLUMES: Final = "/volumes"
SANDBOX: Final = "/sandbox"
"""Names under which problems of the whole pod are kept, beside those of its containers."""

SANDBOX_LABEL: Final = "io.kubernetes.sandbox.id"

Hash: TypeAlias = Callable[[Object], str]


@dataclass(frozen=True)
class Problem:
    """Why a container is not there: a waiting reason, its text, and when it is tried again (seconds since the epoch)."""

    reason: str
    message: str
    retry_at: float = 0.0
    failures: int = 1


@dataclass(frozen=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True)
class StopPod:
    """Stops every container and every sandbox; nothing is removed."""

    reason: str


@dataclass(frozen=True)
class StartContainer:
    """container: its part of the pod spec. replaces: a container that was created but never started, to be removed first."""

    container: Object
    attempt: int
    step: int = 0
    init: bool = False
    replaces: str = ""

    @property
    def name(self) -> str:
        return str(self.container["name"])


@dataclass(frozen=True)
class StopContainer:
    id: str
    name: str
    reason: str


Action: TypeAlias = CreateSandbox | StopPod | StartContainer | StopContainer


@dataclass(frozen=True)
class Plan:
    """actions: in order. wake_at: look again at that time at the latest. crash_waits: containers in CrashLoopBackOff, with the
    length of the delay in seconds."""

    actions: Sequence[Action] = ()
    wake_at: float | None = None
    crash_waits: Mapping[str, float] = field(default_factory=dict)


def backoff_delay(step: int) -> float:
    """Seconds from the end of a container to its successor: 0, 10, 20, 40 ... 300."""
    if step <= 0:
        return 0.0
    return float(min(BACKOFF_LIMIT, BACKOFF_FIRST * 2.0 ** min(step - 1, 16)))


def backoff_step(info: ContainerInfo) -> int:
    """The step that ``info`` carries; a container of another kubelet has none, its restart count stands in."""
    text = info.annotations.get(BACKOFF_STEP, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else info.attempt


def pod_problem(problems: Mapping[str, Problem]) -> Problem | None:
    """What holds up all containers."""
    return problems.get(VOLUMES) or problems.get(SANDBOX)


def latest(info: PodInfo | None, name: str) -> ContainerInfo | None:
    """The newest container of that name."""
    found = [c for c in info.containers if c.name == name] if info else []
    return max(found, key=lambda c: (c.attempt, c.created_at), default=None)


def newest_sandbox(info: PodInfo | None) -> SandboxInfo | None:
    return max(info.sandboxes, key=lambda s: (s.attempt, s.created_at), default=None) if info else None


def ready_sandbox(pod: Object, info: PodInfo | None) -> SandboxInfo | None:
    """The newest sandbox if it can be used."""
    sandbox = newest_sandbox(info)
    if sandbox is None or not sandbox.ready or sandbox.host_network != pods.uses_host_network(pod):
        return None
    return sandbox


def belongs(container: ContainerInfo, sandbox: SandboxInfo) -> bool:
    """Whether it was made for this sandbox: after a new sandbox everything starts from the first init container again."""
    owner = container.labels.get(SANDBOX_LABEL) or container.annotations.get(SANDBOX_LABEL)
    return owner == sandbox.id if owner else container.created_at >= sandbox.created_at


def is_initialized(pod: Object, info: PodInfo | None, sandbox: SandboxInfo | None) -> bool:
    """All plain init containers ended with 0 and every sidecar was started, or a main container exists already."""
    if sandbox is None or info is None:
        return not pods.init_containers(pod)
    mains = {c["name"] for c in pods.containers(pod)}
    if any(c.name in mains and c.state is not State.CREATED and belongs(c, sandbox) for c in info.containers):
        return True
    for spec in pods.init_containers(pod):
        found = latest(info, spec["name"])
        if found is None or not belongs(found, sandbox):
            return False
        done = found.state is State.RUNNING if pods.is_sidecar(spec) else found.state is State.EXITED and found.exit_code == 0
        if not done:
            return False
    return True


def restarts(pod: Object, container: Object, info: ContainerInfo, *, init: bool = False) -> bool:
    """Whether an ended container is started again by the rules of its pod."""
    policy = pods.restart_policy(pod)
    if init:
        return pods.is_sidecar(container) or (policy != "Never" and info.exit_code != 0)
    return policy == "Always" or (policy == "OnFailure" and info.exit_code != 0)


def is_finished(pod: Object, info: PodInfo | None) -> bool:
    """Every main container ended and none will be started again, or an init container failed for good."""
    if pods.restart_policy(pod) == "Never":
        for spec in pods.init_containers(pod):
            found = latest(info, spec["name"])
            if found and not pods.is_sidecar(spec) and found.state is State.EXITED and found.exit_code != 0:
                return True
    ended = [(spec, latest(info, spec["name"])) for spec in pods.containers(pod)]
    return bool(ended) and all(c and c.state is State.EXITED and not restarts(pod, spec, c) for spec, c in ended)


def deadline(pod: Object) -> float | None:
    """When ``activeDeadlineSeconds`` ends, in seconds since the epoch."""
    seconds = pods.number(objects.spec(pod).get("activeDeadlineSeconds"))
    started = objects.status(pod).get("startTime")
    if seconds is None or not isinstance(started, str):
        return None
    try:
        return objects.parse_timestamp(started) + seconds
    except ValueError:
        return None


def plan(pod: Object, info: PodInfo | None, now: float, *, hash_of: Hash, problems: Mapping[str, Problem] | None = None) -> Plan:
    """The next steps for a pod that shall run (neither deleted nor terminal).

    problems: recent failures by container name, VOLUMES or SANDBOX; nothing of theirs is tried before its time.
    """
    draft = _Draft(pod, info, now, hash_of, problems or {})
    draft.decide()
    return Plan(tuple(draft.actions), min(draft.wakes, default=None), draft.crash_waits)


@dataclass
class _Draft:
    pod: Object
    info: PodInfo | None
    now: float
    hash_of: Hash
    problems: Mapping[str, Problem]
    actions: list[Action] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)
    crash_waits: dict[str, float] = field(default_factory=dict)

    def decide(self) -> None:
        if (end := deadline(self.pod)) is not None:
            self.wakes.append(end)
        if is_finished(self.pod, self.info):
            self.stop_rest("the pod has finished")
            return
        sandbox = ready_sandbox(self.pod, self.info)
        if sandbox is None:
            self.make_sandbox()
        elif not self.stop_strays(sandbox):
            self.keep_all(sandbox)

    def keep_all(self, sandbox: SandboxInfo) -> None:
        if not is_initialized(self.pod, self.info, sandbox):
            self.initialize(sandbox)
        else:
            self.keep_sidecars(sandbox)
            for spec in pods.containers(self.pod):
                self.keep_container(sandbox, spec)

    def stop_rest(self, reason: str) -> None:
        info = self.info
        if info and (any(c.state is State.RUNNING for c in info.containers) or any(s.ready for s in info.sandboxes)):
            self.actions.append(StopPod(reason))

    def stop_strays(self, sandbox: SandboxInfo) -> bool:
        """Stops what still runs for an older sandbox (edgecore was killed while it replaced that)."""
        running = [c for c in self.info.containers if c.state is State.RUNNING] if self.info else []
        strays = [c for c in running if not belongs(c, sandbox)]
        self.actions += [StopContainer(c.id, c.name, "its sandbox was replaced") for c in strays]
        return bool(strays)

    def make_sandbox(self) -> None:
        newest = newest_sandbox(self.info)
        if newest and pods.restart_policy(self.pod) == "Never" and self.has_started():
            self.stop_rest("its sandbox is gone and restartPolicy is Never")
        elif newest and self.waits_until(again := newest.created_at + SANDBOX_PAUSE, SANDBOX_PAUSE):
            self.wakes.append(again)
        elif not self.blocked(SANDBOX) and not self.blocked(VOLUMES):
            self.stop_rest("its sandbox has to be made anew")
            self.actions.append(CreateSandbox(newest.attempt + 1 if newest else 0))

    def has_started(self) -> bool:
        """Whether a main container ever ran: with restartPolicy Never it must not run again."""
        mains = [latest(self.info, spec["name"]) for spec in pods.containers(self.pod)]
        return any(found and found.state is not State.CREATED for found in mains)

    def waits_until(self, until: float, longest: float) -> bool:
        """Whether that time is still to come, and no farther away than a wait of ``longest`` can put it: what lies beyond was put
        off before the clock was set back. A board without a clock of its own boots in the past, perhaps with nobody to tell it
        the time, and must start its pods all the same."""
        return self.now < until <= self.now + longest + CLOCK_SLACK

    def blocked(self, name: str) -> bool:
        problem = self.problems.get(name)
        if problem is None or not self.waits_until(problem.retry_at, BACKOFF_LIMIT * 1.2):
            return False
        self.wakes.append(problem.retry_at)
        return True

    def initialize(self, sandbox: SandboxInfo) -> None:
        """The first init container that is not done; a sidecar is done when it runs."""
        for spec in pods.init_containers(self.pod):
            found = latest(self.info, spec["name"])
            fresh = found is not None and belongs(found, sandbox)
            if found and fresh and found.state is State.RUNNING:
                if pods.is_sidecar(spec):
                    continue
                return
            if found and fresh and found.state is State.EXITED and not pods.is_sidecar(spec):
                if found.exit_code == 0:
                    continue
                if not restarts(self.pod, spec, found, init=True):
                    return
            self.start(spec, found, fresh=fresh, init=True)
            return

    def keep_sidecars(self, sandbox: SandboxInfo) -> None:
        for spec in pods.init_containers(self.pod):
            found = latest(self.info, spec["name"])
            if pods.is_sidecar(spec) and (found is None or found.state is not State.RUNNING):
                self.start(spec, found, fresh=found is not None and belongs(found, sandbox), init=True)

    def keep_container(self, sandbox: SandboxInfo, spec: Object) -> None:
        found = latest(self.info, spec["name"])
        if found is None or found.state is State.CREATED:
            self.start(spec, found, fresh=False)
            return
        fresh = belongs(found, sandbox)
        changed = bool(found.hash) and found.hash != self.hash_of(spec)
        if found.state is State.RUNNING:
            if changed:
                self.actions.append(StopContainer(found.id, found.name, f"Container {found.name} definition changed"))
                self.actions.append(StartContainer(spec, found.attempt + 1))
        elif found.state is State.UNKNOWN:
            self.actions.append(StopContainer(found.id, found.name, "its state is unknown to the engine"))
            self.start(spec, found, fresh=False)
        elif changed or restarts(self.pod, spec, found):
            self.start(spec, found, fresh=fresh and not changed, reset=changed)

    def start(self, spec: Object, found: ContainerInfo | None, *, fresh: bool, init: bool = False, reset: bool = False) -> None:
        """Starts the successor of ``found``, or notes how long it has to wait. fresh: it crashed in this very sandbox."""
        name = str(spec["name"])
        if self.blocked(name) or self.blocked(VOLUMES):
            return
        if found is None:
            self.actions.append(StartContainer(spec, _first_attempt(self.pod, name), init=init))
        elif found.state is State.CREATED:
            self.actions.append(StartContainer(spec, found.attempt, backoff_step(found), init, replaces=found.id))
        else:
            step = 0 if reset else backoff_step(found)
            if fresh and found.state is State.EXITED:
                step = self.crashed(name, found, step)
            if step >= 0:
                self.actions.append(StartContainer(spec, found.attempt + 1, step, init))

    def crashed(self, name: str, found: ContainerInfo, step: int) -> int:
        """The step of the successor, or -1 while it has to wait."""
        ran_long = found.started_at > 0 and found.finished_at - found.started_at >= BACKOFF_RESET
        step = 0 if ran_long else step
        delay = backoff_delay(step)
        until = found.finished_at + delay
        if not self.waits_until(until, delay):
            return step + 1
        self.wakes.append(until)
        self.crash_waits[name] = delay
        return -1


def _first_attempt(pod: Object, name: str) -> int:
    """0, or the next number after what the cloud remembers when the engine has lost the container."""
    status = objects.status(pod)
    for entry in pods.items(status.get("containerStatuses")) + pods.items(status.get("initContainerStatuses")):
        if entry.get("name") == name and entry.get("containerID"):
            return int(pods.number(entry.get("restartCount")) or 0) + 1
    return 0
