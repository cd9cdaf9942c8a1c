"""What a pod gets that its writer left out. Kubernetes 1.32: pkg/apis/core/v1/defaults.go and the admission plugins."""

from __future__ import annotations

from typing import Any, Final

from kube.objects import Object

_NOT_READY: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_COMPUTE: Final = ("cpu", "memory")


def apply(pod: Object) -> None:
    """Fills in defaults in place; doing it twice changes nothing."""
    spec = pod.setdefault("spec", {})
    if not spec.get("nodeName"):
        spec.pop("nodeName", None)
    apply_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    for container in all_containers(spec):
        _requests(container)
        if spec.get("hostNetwork"):
            _host_ports(container)
    _tolerations(spec)


def apply_spec(spec: dict[str, Any]) -> None:
    """What the spec in a template of pods gets, too; the rest comes when a pod is made of it."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in all_containers(spec):
        _container(container)
    for volume in spec.get("volumes", []):
        _volume(volume)


def all_containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Init, ordinary and ephemeral containers."""
    return [container for block in ("initContainers", "containers", "ephemeralContainers") for container in spec.get(block, [])]


def _requests(container: dict[str, Any]) -> None:
    resources = container["resources"]
    for name, amount in resources.get("limits", {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def _host_ports(container: dict[str, Any]) -> None:
    for port in container.get("ports", []):
        if not port.get("hostPort") and "containerPort" in port:
            port["hostPort"] = port["containerPort"]


def _container(container: dict[str, Any]) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", pull_policy(container.get("image", "")))
    container.setdefault("resources", {})
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", []):
        field = variable.get("valueFrom", {}).get("fieldRef")
        if field is not None:
            field.setdefault("apiVersion", "v1")
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            _probe(container[kind])
    for handler in container.get("lifecycle", {}).values():
        if isinstance(handler, dict) and "httpGet" in handler:
            _http(handler["httpGet"])


def pull_policy(image: str) -> str:
    """Always for the tag ``latest`` or none at all; a digest or another tag: IfNotPresent."""
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


def _probe(probe: dict[str, Any]) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    if "httpGet" in probe:
        _http(probe["httpGet"])


def _http(action: dict[str, Any]) -> None:
    action.setdefault("path", "/")
    action.setdefault("scheme", "HTTP")


def _volume(volume: dict[str, Any]) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", 0o644)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for projection in volume.get("projected", {}).get("sources", []):
        if "serviceAccountToken" in projection:
            projection["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _tolerations(spec: dict[str, Any]) -> None:
    """Five minutes on a node that is gone, as the admission plugin DefaultTolerationSeconds grants."""
    present = spec.get("tolerations", [])
    for key in _NOT_READY:
        tolerated = any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in present)
        if not tolerated:
            addition = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            spec.setdefault("tolerations", []).append(addition)


def qos_class(spec: dict[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from cpu and memory of all containers."""
    containers = [*spec.get("initContainers", []), *spec.get("containers", [])]
    amounts = [container.get("resources", {}) for container in containers]
    mentioned = [
        name for resources in amounts for block in ("limits", "requests") for name in resources.get(block, {}) if name in _COMPUTE
    ]
    if not mentioned:
        return "BestEffort"
    for resources in amounts:
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        for name in _COMPUTE:
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                return "Burstable"
    return "Guaranteed"
