"""The columns of a pod. Kubernetes 1.32: printPod in pkg/printers/internalversion/printers.go."""

from __future__ import annotations

from typing import Any, Final

from cloudcore.apiserver.table_parts import Column, age, column, duration
from kube.objects import Object, parse_timestamp

POD_COLUMNS: Final[tuple[Column, ...]] = (
    column("Name", "Name must be unique within a namespace.", format="name"),
    column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    column("Status", "The aggregate status of the containers in this pod."),
    column("Restarts", "The number of times the containers in this pod have been restarted and when the last one was."),
    column("Age", "Time since the pod was created."),
    column("IP", "IP address allocated to the pod.", wide=True),
    column("Node", "The node that the pod is bound to.", wide=True),
    column("Nominated Node", "The node that the pod is promised to.", wide=True),
    column("Readiness Gates", "Conditions that count for readiness.", wide=True),
)


def pod_cells(pod: Object, now: float) -> list[Any]:
    spec, status = pod.get("spec", {}), pod.get("status", {})
    containers = status.get("containerStatuses", [])
    restarts = sum(container.get("restartCount", 0) for container in containers)
    last = max((_finished(container) for container in containers), default=0.0)
    ready = sum(1 for container in containers if container.get("ready") and "running" in container.get("state", {}))
    restarted = f"{restarts} ({duration(now - last)} ago)" if restarts and last else str(restarts)
    gates = spec.get("readinessGates", [])
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions", [])}
    passed = sum(1 for gate in gates if conditions.get(gate.get("conditionType")) == "True")
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers', []))}",
        pod_reason(pod),
        restarted,
        age(pod, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{passed}/{len(gates)}" if gates else "<none>",
    ]


def _finished(container: dict[str, Any]) -> float:
    text = container.get("lastState", {}).get("terminated", {}).get("finishedAt", "")
    try:
        return parse_timestamp(text)
    except ValueError:
        return 0.0


def pod_reason(pod: Object) -> str:
    """The one word of the STATUS column."""
    status = pod.get("status", {})
    reason: str = status.get("reason") or status.get("phase", "")
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    reason = _init_reason(pod) or _container_reason(status, reason)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _init_reason(pod: Object) -> str:
    """While init containers run or fail: ``Init:0/2``, ``Init:Error``; "" once they are done."""
    inits = pod.get("spec", {}).get("initContainers", [])
    sidecars = {container.get("name") for container in inits if container.get("restartPolicy") == "Always"}
    for place, container in enumerate(pod.get("status", {}).get("initContainerStatuses", [])):
        state = container.get("state", {})
        terminated, waiting = state.get("terminated"), state.get("waiting", {}).get("reason", "")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if terminated is not None:
            return f"Init:{_ending(terminated)}"
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{place}/{len(inits)}"
    return ""


def _ending(terminated: dict[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _container_reason(status: dict[str, Any], reason: str) -> str:
    running = False
    for container in reversed(status.get("containerStatuses", [])):
        state = container.get("state", {})
        if state.get("waiting", {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif "terminated" in state:
            reason = _ending(state["terminated"])
        elif container.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions", []))
        return "Running" if ready else "NotReady"
    return reason
