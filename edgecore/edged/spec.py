"""From a pod to what an engine is told: SandboxSpec and ContainerSpec. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecore.edged import environment, killing, pods, qos
from edgecore.edged.environment import ConfigError, Facts, Sources
from edgecore.edged.plan import BACKOFF_STEP, SANDBOX_LABEL, StartContainer
from edgecore.edged.runtime.engine import ContainerSpec, Mount, PortMapping, SandboxInfo, SandboxSpec
from edgecore.edged.runtime.hashing import container_hash
from edgecore.edged.settings import EdgedSettings
from kube import objects
from kube.objects import Object

TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
HOSTNAME_LIMIT = 63
NO_API_SERVER = {"KUBERNETES_SERVICE_HOST": "", "KUBERNETES_SERVICE_PORT": ""}
"""What every container finds while this node serves no Kubernetes API, as on KubeEdge; what the pod sets itself wins here."""


@dataclass(frozen=True)
class Place:
    """Where a pod lives on this node: its directory, its logs, and the directory behind each volume."""

    directory: Path
    logs: Path
    volumes: Mapping[str, Path]


def hash_of(container: Object) -> str:
    """See edgecore.edged.runtime.hashing."""
    return container_hash(str(container.get("name") or ""), str(container.get("image") or ""))


def termination_file(directory: Path, container: str, attempt: int) -> Path:
    """Where a container leaves its last words."""
    return directory / "containers" / container / f"{attempt:08x}"


def sandbox_spec(pod: Object, attempt: int, settings: EdgedSettings) -> SandboxSpec:
    spec = objects.spec(pod)
    servers, searches, options = _dns(pod, settings)
    security = pods.mapping(spec.get("securityContext"))
    sysctls = {str(s["name"]): str(s.get("value") or "") for s in pods.items(security.get("sysctls")) if s.get("name")}
    return SandboxSpec(
        pod=pods.identity(pod),
        attempt=attempt,
        hostname=hostname(pod, settings),
        host_network=pods.uses_host_network(pod),
        host_pid=spec.get("hostPID") is True,
        host_ipc=spec.get("hostIPC") is True,
        ports=port_mappings(pod),
        dns_servers=servers,
        dns_searches=searches,
        dns_options=options,
        sysctls=sysctls,
        labels={str(k): str(v) for k, v in objects.labels(pod).items()},
        annotations={str(k): str(v) for k, v in objects.annotations(pod).items()} | {"kubernetes.io/config.source": "api"},
    )


def hostname(pod: Object, settings: EdgedSettings) -> str:
    if pods.uses_host_network(pod):
        return settings.node_name
    return (str(objects.spec(pod).get("hostname") or "") or objects.name(pod))[:HOSTNAME_LIMIT].rstrip("-.")


def port_mappings(pod: Object) -> list[PortMapping]:
    """The host ports of all containers; a pod on the host's network binds them itself."""
    if pods.uses_host_network(pod):
        return []
    return [
        PortMapping(_port(port, "containerPort"), _port(port, "hostPort"), protocol(port), str(port.get("hostIP") or ""))
        for container in pods.containers(pod) + [c for c in pods.init_containers(pod) if pods.is_sidecar(c)]
        for port in pods.items(container.get("ports"))
        if _port(port, "hostPort") and _port(port, "containerPort")
    ]


def _port(port: Object, key: str) -> int:
    found = int(pods.number(port.get(key)) or 0)
    return found if 0 < found < 65536 else 0


def protocol(port: Object) -> str:
    return str(port.get("protocol") or "TCP")


def _dns(pod: Object, settings: EdgedSettings) -> tuple[list[str], list[str], list[str]]:
    """Servers, searches, options; empty lists leave the engine's default, which is the node's resolv.conf.

    Without cluster DNS a ClusterFirst pod falls back to the node's, as KubeEdge's edged does."""
    spec = objects.spec(pod)
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pods.uses_host_network(pod))
    if cluster and settings.cluster_dns:
        servers, options = list(settings.cluster_dns), ["ndots:5"]
        domain = settings.cluster_domain
        searches = [f"{objects.namespace(pod)}.svc.{domain}", f"svc.{domain}", domain]
    extra = pods.mapping(spec.get("dnsConfig"))
    servers += [s for s in pods.words(extra.get("nameservers")) if s not in servers]
    searches += [s for s in pods.words(extra.get("searches")) if s not in searches]
    for option in pods.items(extra.get("options")):
        value = option.get("value")
        options.append(f"{option.get('name')}:{value}" if value else str(option.get("name")))
    return servers, searches, options


def container_spec(
    pod: Object,
    start: StartContainer,
    sandbox: SandboxInfo,
    *,
    place: Place,
    sources: Sources,
    facts: Facts,
    memory_capacity: int = 0,
) -> ContainerSpec:
    """Everything resolved.

    Raises ConfigError.
    """
    container = start.container
    env = NO_API_SERVER | environment.build(pod, container, sources, facts)
    security = _security(pod, container)
    message_path = str(container.get("terminationMessagePath") or "/dev/termination-log")
    last_words = termination_file(place.directory, start.name, start.attempt)
    return ContainerSpec(
        pod=pods.identity(pod),
        name=start.name,
        image=str(container.get("image") or ""),
        attempt=start.attempt,
        hash=hash_of(container),
        command=[environment.expand(word, env) for word in pods.words(container.get("command"))],
        args=[environment.expand(word, env) for word in pods.words(container.get("args"))],
        env=env,
        working_dir=str(container.get("workingDir") or ""),
        mounts=[*mounts(container, place, env), Mount(last_words, message_path)],
        resources=qos.resources(pod, container, memory_capacity),
        user=_user(security),
        privileged=security.get("privileged") is True,
        read_only_root=security.get("readOnlyRootFilesystem") is True,
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        capabilities_add=pods.words(pods.mapping(security.get("capabilities")).get("add")),
        capabilities_drop=pods.words(pods.mapping(security.get("capabilities")).get("drop")),
        tty=container.get("tty") is True,
        stdin=container.get("stdin") is True,
        share_process_namespace=objects.spec(pod).get("shareProcessNamespace") is True,
        log_path=place.logs / start.name / f"{start.attempt}.log",
        annotations=_annotations(pod, start, sandbox, message_path),
    )


def _annotations(pod: Object, start: StartContainer, sandbox: SandboxInfo, message_path: str) -> dict[str, str]:
    """What kubelet records on a container (Kubernetes 1.32: pkg/kubelet/kuberuntime/labels.go), and our back-off step."""
    container = start.container
    found = {
        TERMINATION_PATH: message_path,
        TERMINATION_POLICY: str(container.get("terminationMessagePolicy") or "File"),
        killing.GRACE_ANNOTATION: str(int(pods.grace(pod))),
        BACKOFF_STEP: str(start.step),
        SANDBOX_LABEL: sandbox.id,
    }
    if ports := pods.items(container.get("ports")):
        found["io.kubernetes.container.ports"] = json.dumps(ports, separators=(",", ":"))
    if hook := pods.mapping(pods.mapping(container.get("lifecycle")).get("preStop")):
        found["io.kubernetes.container.preStopHandler"] = json.dumps(hook, separators=(",", ":"))
    return found


def _security(pod: Object, container: Object) -> Object:
    """The container's security context over the pod's."""
    shared = pods.mapping(objects.spec(pod).get("securityContext"))
    own = pods.mapping(container.get("securityContext"))
    inherited = {key: shared[key] for key in ("runAsUser", "runAsGroup", "runAsNonRoot") if key in shared}
    return inherited | {key: value for key, value in own.items() if value is not None}


def _user(security: Object) -> str:
    user, group = pods.number(security.get("runAsUser")), pods.number(security.get("runAsGroup"))
    if user is None:
        if group is not None:
            raise ConfigError("runAsGroup is specified without runAsUser")
        return ""
    if user == 0 and security.get("runAsNonRoot") is True:
        raise ConfigError("container's runAsUser breaks non-root policy (runAsNonRoot is true, runAsUser is 0)")
    return f"{int(user)}:{int(group)}" if group is not None else str(int(user))


def mounts(container: Object, place: Place, env: Mapping[str, str]) -> list[Mount]:
    """volumeMounts on the host.

    Raises ConfigError for an unknown volume or a subPath that leads outside.
    """
    found: list[Mount] = []
    for mount in pods.items(container.get("volumeMounts")):
        name, path = str(mount.get("name") or ""), str(mount.get("mountPath") or "")
        if name not in place.volumes or not path:
            raise ConfigError(f'volumeMount "{name}" at {path!r}: the pod has no such volume')
        below = str(mount.get("subPath") or "") or environment.expand(str(mount.get("subPathExpr") or ""), env)
        if Path(below).is_absolute() or ".." in Path(below).parts:
            raise ConfigError(f'volumeMount "{name}": subPath {below!r} must be relative and must not contain ".."')
        path = path if path.startswith("/") else f"/{path}"
        propagation = str(mount.get("mountPropagation") or "")
        found.append(Mount(place.volumes[name] / below, path, mount.get("readOnly") is True, propagation))
    return found
