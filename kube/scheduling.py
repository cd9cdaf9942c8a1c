"""Whether a pod fits a node, and why not: a small part of kube-scheduler, in its words.

Source of the rules and texts: Kubernetes 1.32: pkg/scheduler/framework/plugins/*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from kube import quantity
from kube.objects import Object, labels, metadata, name, namespace, spec, status
from kube.quantity import ZERO, Quantity, QuantityError

UNSCHEDULABLE: Final = "node(s) were unschedulable"
WRONG_NODE: Final = "node(s) didn't match the requested node name"
NO_AFFINITY: Final = "node(s) didn't match Pod's node affinity/selector"
NO_PORTS: Final = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS: Final = "Too many pods"

_UNSCHEDULABLE_TAINT: Final = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def fit(pod: Object, node: Object, others: Iterable[Object] = ()) -> str | None:
    """Why ``pod`` cannot go to ``node``, or None when it can. ``others``: the pods that are bound to the node already
    (itself and finished ones do not count)."""
    running = [other for other in others if not _finished(other) and not _same_pod(pod, other)]
    return (
        _unschedulable(pod, node)
        or (WRONG_NODE if spec(pod).get("nodeName") not in (None, "", name(node)) else None)
        or _untolerated(pod, node)
        or (None if matches_affinity(pod, node) else NO_AFFINITY)
        or (NO_PORTS if _ports_clash(pod, running) else None)
        or _lacks(pod, node, running)
    )


def explain(reasons: Sequence[str]) -> str:
    """The message of the PodScheduled condition and of the FailedScheduling event, given one reason per node."""
    if not reasons:
        return "no nodes available to schedule pods"
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{len(reasons)} nodes are available: {', '.join(counted)}."


def pod_requests(pod: Object) -> dict[str, Quantity]:
    """What the pod asks for in sum: the containers together, or the greediest init container, plus overhead.

    Unreadable quantities count as nothing.
    """
    body = spec(pod)
    total: dict[str, Quantity] = {}
    for container in _maps(body.get("containers")):
        _add(total, _requests(container))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in _maps(body.get("initContainers")):
        wanted = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(total, wanted)
            _add(sidecars, wanted)
        else:
            _add(wanted, sidecars)
        for resource, amount in (sidecars if container.get("restartPolicy") == "Always" else wanted).items():
            peak[resource] = max(peak.get(resource, ZERO), amount)
    for resource, amount in peak.items():
        total[resource] = max(total.get(resource, ZERO), amount)
    _add(total, _amounts(body.get("overhead")))
    return total


def tolerates(pod: Object, taint: dict[str, Any]) -> bool:
    """Whether one of the pod's tolerations covers ``taint``."""
    return any(_covers(toleration, taint) for toleration in _maps(spec(pod).get("tolerations")))


def matches_affinity(pod: Object, node: Object) -> bool:
    """nodeSelector and required node affinity."""
    wanted = spec(pod).get("nodeSelector")
    found = labels(node)
    if isinstance(wanted, dict) and any(found.get(key) != value for key, value in wanted.items()):
        return False
    required = _map(_map(_map(spec(pod), "affinity"), "nodeAffinity"), "requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term_matches(term, node) for term in _maps(required.get("nodeSelectorTerms")))


def _unschedulable(pod: Object, node: Object) -> str | None:
    if spec(node).get("unschedulable") is True and not tolerates(pod, dict(_UNSCHEDULABLE_TAINT)):
        return UNSCHEDULABLE
    return None


def _untolerated(pod: Object, node: Object) -> str | None:
    for taint in _maps(spec(node).get("taints")):
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(pod, taint):
            if taint.get("key") == _UNSCHEDULABLE_TAINT["key"]:
                return UNSCHEDULABLE
            return f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value') or ''}}}"
    return None


def _covers(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    equal = (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(toleration.get("key")) and operator == "Equal" and equal


def _term_matches(term: dict[str, Any], node: Object) -> bool:
    """All expressions of one term; a term without any matches nothing."""
    by_label = [*_maps(term.get("matchExpressions"))]
    by_field = [*_maps(term.get("matchFields"))]
    if not by_label and not by_field:
        return False
    fields = {"metadata.name": name(node)}
    return all(_expression_matches(entry, labels(node)) for entry in by_label) and all(
        _expression_matches(entry, fields) for entry in by_field
    )


def _expression_matches(entry: dict[str, Any], found: dict[str, str]) -> bool:
    value = found.get(str(entry.get("key")))
    raw = entry.get("values")
    values = raw if isinstance(raw, list) else []
    match entry.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(value, values, greater=operator == "Gt")
        case _:
            return False


def _compares(value: str | None, values: list[Any], *, greater: bool) -> bool:
    try:
        left, right = int(value or ""), int(values[0])
    except (ValueError, TypeError, IndexError):
        return False
    return left > right if greater else left < right


def _ports_clash(pod: Object, running: Iterable[Object]) -> bool:
    taken = {port for other in running for port in _host_ports(other)}
    return any(_clashes(port, other) for port in _host_ports(pod) for other in taken)


def _clashes(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    everywhere = "0.0.0.0"  # noqa: S104 - a value to compare with, nothing is bound
    return one[1:] == other[1:] and (one[0] == other[0] or everywhere in (one[0], other[0]))


def _host_ports(pod: Object) -> Iterator[tuple[str, str, int]]:
    """(address, protocol, port) of the host that the pod claims."""
    for container in _maps(spec(pod).get("containers")):
        for port in _maps(container.get("ports")):
            number = port.get("hostPort")
            if spec(pod).get("hostNetwork") is True:
                number = number or port.get("containerPort")
            if isinstance(number, int) and number > 0:
                yield str(port.get("hostIP") or "0.0.0.0"), str(port.get("protocol") or "TCP"), number  # noqa: S104


def _lacks(pod: Object, node: Object, running: Sequence[Object]) -> str | None:
    allocatable = _amounts(status(node).get("allocatable") or status(node).get("capacity"))
    if "pods" in allocatable and len(running) + 1 > allocatable["pods"].value:
        return TOO_MANY_PODS
    wanted = pod_requests(pod)
    if not any(wanted.values()):
        return None
    used: dict[str, Quantity] = {}
    for other in running:
        _add(used, pod_requests(other))
    for resource in sorted(wanted):
        if wanted[resource] and used.get(resource, ZERO) + wanted[resource] > allocatable.get(resource, ZERO):
            return f"Insufficient {resource}"
    return None


def _requests(container: dict[str, Any]) -> dict[str, Quantity]:
    """Requests; a limit without a request is one."""
    resources = _map(container, "resources")
    return _amounts(resources.get("limits")) | _amounts(resources.get("requests"))


def _amounts(found: Any) -> dict[str, Quantity]:
    amounts: dict[str, Quantity] = {}
    for resource, text in (found if isinstance(found, dict) else {}).items():
        try:
            amounts[resource] = quantity.parse(text)
        except QuantityError:
            continue
    return amounts


def _add(total: dict[str, Quantity], more: dict[str, Quantity]) -> None:
    for resource, amount in more.items():
        total[resource] = total.get(resource, ZERO) + amount


def _finished(pod: Object) -> bool:
    return status(pod).get("phase") in ("Succeeded", "Failed")


def _same_pod(one: Object, other: Object) -> bool:
    if metadata(one).get("uid") and metadata(other).get("uid"):
        return bool(metadata(one)["uid"] == metadata(other)["uid"])
    return (namespace(one), name(one)) == (namespace(other), name(other))


def _map(holder: dict[str, Any], field: str) -> dict[str, Any]:
    found = holder.get(field)
    return found if isinstance(found, dict) else {}


def _maps(found: Any) -> Iterator[dict[str, Any]]:
    yield from (entry for entry in (found if isinstance(found, list) else ()) if isinstance(entry, dict))
