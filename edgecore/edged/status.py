"""The status of a pod: phase, conditions, addresses. Pure (Kubernetes 1.32: pkg/kubelet/kubelet_pods.go, status/generate.go)."""

from __future__ import annotations

from dataclasses import dataclass

from edgecore.edged import container_status, pods
from edgecore.edged.container_status import Observation
from edgecore.edged.plan import newest_sandbox
from edgecore.edged.qos import qos_class
from edgecore.edged.runtime.engine import State
from kube import objects
from kube.objects import Object


@dataclass(frozen=True)
class Verdict:
    """A pod that ends by decision of the node: phase Failed with this reason (DeadlineExceeded, NodePorts, ...).

    temporary: it would fit once pods that are ending have ended, so it waits."""

    reason: str
    message: str
    temporary: bool = False


def pod_status(pod: Object, seen: Observation, *, host_ip: str, now: float, verdict: Verdict | None = None) -> Object:
    """The whole status as this node sees it, in the form of the API."""
    old = objects.status(pod)
    if verdict is not None and seen.info is None:
        status: Object = {"containerStatuses": [], "initContainerStatuses": []}
    else:
        status = {
            "containerStatuses": container_status.container_statuses(pod, seen),
            "initContainerStatuses": container_status.init_container_statuses(pod, seen),
        }
    status["phase"] = _phase(pod, seen, status, verdict)
    status["conditions"] = conditions(pod, seen, status, now)
    status["startTime"] = old.get("startTime") or objects.timestamp(now)
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    status["reason"] = verdict.reason if verdict else old.get("reason") if pods.is_terminal(pod) else None
    status["message"] = verdict.message if verdict else old.get("message") if pods.is_terminal(pod) else None
    _addresses(status, pod, seen, host_ip)
    return status


def _addresses(status: Object, pod: Object, seen: Observation, host_ip: str) -> None:
    if host_ip:
        status["hostIP"] = host_ip
        status["hostIPs"] = [{"ip": host_ip}]
    sandbox = newest_sandbox(seen.info)
    found = (host_ip if pods.uses_host_network(pod) else sandbox.ip) if sandbox else ""
    if found := found or str(objects.status(pod).get("podIP") or ""):
        status["podIP"] = found
        status["podIPs"] = [{"ip": found}]


def _phase(pod: Object, seen: Observation, status: Object, verdict: Verdict | None) -> str:
    if pods.is_terminal(pod):
        return pods.phase(pod)
    alive = seen.info is not None and any(c.state is State.RUNNING for c in seen.info.containers)
    if verdict is not None:
        # A terminal phase is held back while containers may still run.
        return "Failed" if not alive else "Running"
    if seen.ended:
        return _final_phase(status)
    return _going_phase(pod, seen, status)


def _final_phase(status: Object) -> str:
    """Of a pod whose containers were all stopped: anything but 0 is a failure."""
    codes = [container_status.exit_code(entry) for entry in status["containerStatuses"]]
    return "Succeeded" if codes and all(code == 0 for code in codes) else "Failed"


def _init_phase(pod: Object, status: Object) -> str | None:
    """Pending while init containers are not done, Failed when one failed for good, None when they are done."""
    for spec, entry in zip(pods.init_containers(pod), status["initContainerStatuses"], strict=True):
        if pods.is_sidecar(spec):
            continue
        code = container_status.exit_code(entry)
        if code == 0:
            continue
        return "Failed" if code is not None and pods.restart_policy(pod) == "Never" else "Pending"
    return None


def _going_phase(pod: Object, seen: Observation, status: Object) -> str:
    """getPhase of kubelet."""
    entries = status["containerStatuses"]
    if not seen.initialized and (init := _init_phase(pod, status)) is not None:
        return init
    running = sum(container_status.is_running(entry) for entry in entries)
    codes = [code for entry in entries if (code := container_status.exit_code(entry)) is not None]
    waiting_again = sum(1 for entry in entries if "waiting" in entry["state"] and entry["lastState"])
    waiting = sum(1 for entry in entries if "waiting" in entry["state"]) - waiting_again
    policy = pods.restart_policy(pod)
    if waiting or not (running or waiting_again or codes):
        return "Pending"
    if running or waiting_again or policy == "Always":
        return "Running"
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def conditions(pod: Object, seen: Observation, status: Object, now: float) -> list[Object]:
    """The five conditions of a kubelet, with the transition times of the old status kept; foreign ones are left alone."""
    phase = status["phase"]
    done = phase if phase in pods.TERMINAL else ""
    sandbox = newest_sandbox(seen.info)
    up = sandbox is not None and sandbox.ready and not done
    found = [
        _condition("PodReadyToStartContainers", up),
        _initialized(pod, seen, done),
        _readiness("Ready", pod, status, done),
        _readiness("ContainersReady", pod, status, done),
        _condition("PodScheduled", True),
    ]
    known = {str(entry.get("type")): entry for entry in pods.items(objects.status(pod).get("conditions"))}
    for entry in found:
        before = known.get(entry["type"], {})
        same = before.get("status") == entry["status"] and before.get("lastTransitionTime")
        entry["lastTransitionTime"] = before["lastTransitionTime"] if same else objects.timestamp(now)
        entry["lastProbeTime"] = None
    return found


def _condition(kind: str, holds: bool, reason: str | None = None, message: str | None = None) -> Object:
    entry: Object = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    return entry


def _initialized(pod: Object, seen: Observation, done: str) -> Object:
    if done == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    if seen.initialized:
        return _condition("Initialized", True)
    entries = zip(pods.init_containers(pod), status_entries(pod, seen), strict=True)
    missing = [
        entry["name"]
        for spec, entry in entries
        if not (container_status.is_running(entry) if pods.is_sidecar(spec) else container_status.exit_code(entry) == 0)
    ]
    if not missing:
        return _condition("Initialized", True)
    text = f"containers with incomplete status: [{' '.join(missing)}]"
    return _condition("Initialized", False, "ContainersNotInitialized", text)


def status_entries(pod: Object, seen: Observation) -> list[Object]:
    return container_status.init_container_statuses(pod, seen)


def _readiness(kind: str, pod: Object, status: Object, done: str) -> Object:
    if done:
        return _condition(kind, False, "PodCompleted" if done == "Succeeded" else "PodFailed")
    watched = list(status["containerStatuses"])
    sidecars = {spec["name"] for spec in pods.init_containers(pod) if pods.is_sidecar(spec)}
    watched += [entry for entry in status["initContainerStatuses"] if entry["name"] in sidecars]
    unready = [entry["name"] for entry in watched if not entry["ready"]]
    if unready or not watched:
        return _condition(kind, False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    return _condition(kind, True)
