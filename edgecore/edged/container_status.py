"""``containerStatuses`` of a pod, purely from its spec and from what the engine has.

Follows convertToAPIContainerStatuses (Kubernetes 1.32: pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgecore.edged import pods
from edgecore.edged.plan import Problem, is_finished, latest, pod_problem, restarts
from edgecore.edged.runtime.engine import ContainerInfo, PodInfo, State
from kube import objects
from kube.objects import Object

UNKNOWN_MESSAGE: Final = "The container could not be located when the pod was terminated"
LOST_MESSAGE: Final = "The container could not be located when the pod was deleted.  The container used to be Running"


@dataclass(frozen=True)
class Observation:
    """All that a status is computed from, besides the pod.

    crash_waits and problems: see edgecore.edged.plan. ready: results of readiness probes by container name; a container without
    an entry is ready while it runs. messages: termination messages by container id. stopping: the pod is being ended, so what
    waits will never start.
    """

    info: PodInfo | None
    initialized: bool
    crash_waits: Mapping[str, float] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)
    ready: Mapping[str, bool] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    stopping: bool = False
    ended: bool = False


def container_statuses(pod: Object, seen: Observation) -> list[Object]:
    """For the main containers, in the order of the spec."""
    return [_status(pod, spec, seen, init=False) for spec in pods.containers(pod)]


def init_container_statuses(pod: Object, seen: Observation) -> list[Object]:
    return [_status(pod, spec, seen, init=True) for spec in pods.init_containers(pod)]


def state_time(seconds: float) -> str | None:
    return objects.timestamp(seconds) if seconds > 0 else None


def terminated(info: ContainerInfo, message: str = "") -> Object:
    """The ``terminated`` block of an ended container."""
    reason = info.reason or ("Completed" if info.exit_code == 0 else "Error")
    block: Object = {"exitCode": info.exit_code, "reason": reason, "containerID": info.id}
    block["startedAt"] = state_time(info.started_at)
    block["finishedAt"] = state_time(info.finished_at)
    if text := message or info.message:
        block["message"] = text
    return block


def _status(pod: Object, spec: Object, seen: Observation, *, init: bool) -> Object:
    name = str(spec["name"])
    current = latest(seen.info, name)
    before = _remembered(pod, name, init=init)
    status: Object = {
        "name": name,
        "image": str(spec.get("image") or ""),
        "imageID": "",
        "restartCount": 0,
        "ready": False,
        "started": False,
        "lastState": {},
        "state": {},
    }
    if current is None or current.state is State.CREATED:
        _without_container(status, pod, seen, before, name, init=init)
        if current is not None:
            status["restartCount"] = current.attempt
            _last_state(status, seen, _previous(seen.info, current))
        return status
    status |= {"image": current.image or status["image"], "imageID": current.image_id, "containerID": current.id}
    status["restartCount"] = current.attempt
    _with_container(status, pod, spec, seen, current, init=init)
    return status


def _with_container(status: Object, pod: Object, spec: Object, seen: Observation, current: ContainerInfo, *, init: bool) -> None:
    if current.state is State.RUNNING:
        plain_init = init and not pods.is_sidecar(spec)
        status["state"] = {"running": {"startedAt": state_time(current.started_at)}}
        status["ready"] = False if plain_init else seen.ready.get(current.name, True)
        status["started"] = not plain_init
        _last_state(status, seen, _previous(seen.info, current))
        return
    block = terminated(current, seen.messages.get(current.id, ""))
    if current.state is State.UNKNOWN:
        block |= {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": UNKNOWN_MESSAGE}
    waiting = None if _is_last(pod, spec, seen, current, init=init) else _waiting(pod, seen, current.name)
    if waiting is None:
        status["state"] = {"terminated": block}
        status["ready"] = init and current.exit_code == 0 and not pods.is_sidecar(spec)
        _last_state(status, seen, _previous(seen.info, current))
    else:
        status["state"] = {"waiting": waiting}
        status["lastState"] = {"terminated": block}


def _is_last(pod: Object, spec: Object, seen: Observation, current: ContainerInfo, *, init: bool) -> bool:
    return seen.stopping or is_finished(pod, seen.info) or not restarts(pod, spec, current, init=init)


def _waiting(pod: Object, seen: Observation, name: str) -> Object | None:
    """Why an ended container is not running again yet; None while its restart is at hand."""
    problem = seen.problems.get(name) or pod_problem(seen.problems)
    if problem is not None:
        return {"reason": problem.reason, "message": problem.message}
    if name in seen.crash_waits:
        identity = f"{objects.name(pod)}_{objects.namespace(pod)}({objects.uid(pod)})"
        text = f"back-off {_go_duration(seen.crash_waits[name])} restarting failed container={name} pod={identity}"
        return {"reason": "CrashLoopBackOff", "message": text}
    return None


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _without_container(status: Object, pod: Object, seen: Observation, before: Object, name: str, *, init: bool) -> None:
    """No container: it waits, or the engine lost it, or it will never start."""
    old_state = pods.mapping(before.get("state"))
    if before.get("containerID"):
        status["restartCount"] = int(pods.number(before.get("restartCount")) or 0)
        if seen.stopping or pods.is_terminal(pod):
            kept = pods.mapping(old_state.get("terminated")) or _lost(before)
            status |= {"state": {"terminated": kept}, "containerID": before["containerID"]}
            status |= {"imageID": before.get("imageID") or "", "lastState": before.get("lastState") or {}}
            status["ready"] = init and kept.get("exitCode") == 0
            return
        if "running" in old_state or "terminated" in old_state:
            status["lastState"] = {"terminated": pods.mapping(old_state.get("terminated")) or _lost(before)}
    if seen.stopping:
        # Kubernetes 1.32 (kubelet, SyncTerminatedPod): what waits when its pod ends is reported as terminated.
        status["state"] = {"terminated": _never_started()}
        return
    reason = "ContainerCreating" if seen.initialized or _is_first_init(pod, name) else "PodInitializing"
    if reason == "ContainerCreating" and not init and pods.init_containers(pod):
        reason = "PodInitializing"
    problem = seen.problems.get(name) or pod_problem(seen.problems)
    waiting: Object = {"reason": reason}
    if problem is not None and (name in seen.problems or reason == "ContainerCreating"):
        waiting = {"reason": problem.reason, "message": problem.message}
    status["state"] = {"waiting": waiting}


def _is_first_init(pod: Object, name: str) -> bool:
    inits = pods.init_containers(pod)
    return bool(inits) and inits[0].get("name") == name


def _lost(before: Object) -> Object:
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": LOST_MESSAGE,
        "startedAt": None,
        "finishedAt": None,
        "containerID": before.get("containerID"),
    }


def _never_started() -> Object:
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": UNKNOWN_MESSAGE,
        "startedAt": None,
        "finishedAt": None,
    }


def _remembered(pod: Object, name: str, *, init: bool) -> Object:
    """What the cloud last heard of this container."""
    key = "initContainerStatuses" if init else "containerStatuses"
    for entry in pods.items(objects.status(pod).get(key)):
        if entry.get("name") == name:
            return entry
    return {}


def _previous(info: PodInfo | None, current: ContainerInfo) -> ContainerInfo | None:
    older = [c for c in info.containers if c.name == current.name and c.attempt < current.attempt] if info else []
    return max(older, key=lambda c: c.attempt, default=None)


def _last_state(status: Object, seen: Observation, previous: ContainerInfo | None) -> None:
    if previous is not None and previous.state is State.EXITED:
        status["lastState"] = {"terminated": terminated(previous, seen.messages.get(previous.id, ""))}


def is_running(status: Object) -> bool:
    return "running" in pods.mapping(status.get("state"))


def exit_code(status: Object) -> Any:
    """The exit code of an ended container, else None."""
    return pods.mapping(pods.mapping(status.get("state")).get("terminated")).get("exitCode")
