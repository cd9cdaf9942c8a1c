"""Between our words and docker's: names, labels and configurations of the containers that make up a pod. Pure.

They are those of cri-dockerd (Mirantis/cri-dockerd: core/naming.go, convert.go, sandbox_helpers.go, security_context.go),
so that tools which look for them find ours, and a node can be taken over with its containers running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from edgecore.edged.runtime.engine import ContainerInfo, ContainerSpec, Mount, PodIdentity, SandboxInfo, SandboxSpec, State

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
TYPE = "io.kubernetes.docker.type"
SANDBOX_ID = "io.kubernetes.sandbox.id"
LOG_PATH = "io.kubernetes.container.logpath"
ANNOTATION = "annotation."
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
INSTANCE = "io.edgecore.instance"
"""Ours: tells the containers of several edgecores on one docker apart; absent for the one with the default root."""

_OWN = frozenset({POD_NAME, POD_NAMESPACE, POD_UID, CONTAINER_NAME, TYPE, SANDBOX_ID, LOG_PATH, INSTANCE})

SANDBOX_CPU_SHARES = 2
SANDBOX_OOM_SCORE = -998
LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}
"""kubelet's containerLogMaxSize x containerLogMaxFiles."""

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared", "None": "rprivate", "": ""}
_EXEC = re.compile(r"exec: .*|stat .*: no such file or directory.*|chdir to cwd .*|mkdir .*|error mounting .*", re.DOTALL)
_EPOCH = re.compile(r"^0001-")
_FRACTION = re.compile(r"\.(\d{1,6})\d*")


def sandbox_name(spec: SandboxSpec) -> str:
    pod = spec.pod
    return f"k8s_POD_{pod.name}_{pod.namespace}_{pod.uid}_{spec.attempt}"


def container_name(spec: ContainerSpec) -> str:
    pod = spec.pod
    return f"k8s_{spec.name}_{pod.name}_{pod.namespace}_{pod.uid}_{spec.attempt}"


def _labels(spec: SandboxSpec | ContainerSpec, name: str, kind: str, annotations: Mapping[str, str]) -> dict[str, str]:
    known = dict(spec.labels) | {ANNOTATION + key: value for key, value in annotations.items()}
    pod = spec.pod
    return known | {POD_NAME: pod.name, POD_NAMESPACE: pod.namespace, POD_UID: pod.uid, CONTAINER_NAME: name, TYPE: kind}


def _instance_label(instance: str) -> dict[str, str]:
    return {INSTANCE: instance} if instance else {}


def sandbox_config(spec: SandboxSpec, image: str, instance: str = "") -> dict[str, Any]:
    """The body of POST /containers/create for the pause container of a pod."""
    host: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network else "default",
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "OomScoreAdj": SANDBOX_OOM_SCORE,
        "CpuShares": SANDBOX_CPU_SHARES,
        "CgroupParent": spec.cgroup_parent,
        "SecurityOpt": ["seccomp=unconfined"],
        "RestartPolicy": {"Name": "no"},
        "LogConfig": LOG_CONFIG,
        "Sysctls": dict(spec.sysctls),
        "Dns": list(spec.dns_servers),
        "DnsSearch": list(spec.dns_searches) or (["."] if spec.dns_servers else []),
        "DnsOptions": list(spec.dns_options),
    }
    config: dict[str, Any] = {
        "Image": image,
        "Labels": _labels(spec, "POD", "podsandbox", spec.annotations) | _instance_label(instance),
        "HostConfig": host,
    }
    if spec.host_network:
        return config
    if spec.hostname:
        config["Hostname"] = spec.hostname
    ports = [port for port in spec.ports if port.host_port]
    config["ExposedPorts"] = {_port_key(port.container_port, port.protocol): {} for port in ports}
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        bindings.setdefault(_port_key(port.container_port, port.protocol), []).append(binding)
    host["PortBindings"] = bindings
    return config


def _port_key(port: int, protocol: str) -> str:
    return f"{port}/{protocol.lower() or 'tcp'}"


def container_config(spec: ContainerSpec, sandbox_id: str, sandbox_host: Mapping[str, Any], instance: str = "") -> dict[str, Any]:
    """The body of POST /containers/create; ``sandbox_host`` is the HostConfig of the sandbox as docker reports it."""
    annotations = {**spec.annotations, HASH: spec.hash, RESTART_COUNT: str(spec.attempt)}
    labels = _labels(spec, spec.name, "container", annotations) | _instance_label(instance)
    labels |= {SANDBOX_ID: sandbox_id, LOG_PATH: str(spec.log_path or "")}
    inside = f"container:{sandbox_id}"
    on_host_network = sandbox_host.get("NetworkMode") == "host"
    on_host_pid = sandbox_host.get("PidMode") == "host"
    binds, mounts = _mounts(spec.mounts)
    resources = spec.resources
    protects = (sandbox_host.get("OomScoreAdj") or 0) < 0  # else docker was not allowed to, for the sandbox
    host: dict[str, Any] = {
        "NetworkMode": inside,
        "IpcMode": inside,
        "PidMode": "host" if on_host_pid else inside if spec.share_process_namespace else "",
        "UTSMode": "host" if on_host_network else "",
        "Binds": binds,
        "Mounts": mounts,
        "Memory": resources.memory,
        "MemorySwap": resources.memory,
        "CpuShares": resources.cpu_shares,
        "OomScoreAdj": resources.oom_score_adj if protects else max(0, resources.oom_score_adj),
        "CgroupParent": sandbox_host.get("CgroupParent") or "",
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only_root,
        "CapAdd": list(spec.capabilities_add),
        "CapDrop": list(spec.capabilities_drop),
        "SecurityOpt": ["seccomp=unconfined", *(["no-new-privileges"] if spec.no_new_privileges else [])],
        "RestartPolicy": {"Name": "no"},
        "LogConfig": LOG_CONFIG,
    }
    if resources.cpu_quota:
        host |= {"CpuQuota": resources.cpu_quota, "CpuPeriod": resources.cpu_period}
    config: dict[str, Any] = {
        "Image": spec.image,
        "Labels": labels,
        "Env": [f"{key}={value}" for key, value in spec.env.items()],
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }
    if spec.command:
        config["Entrypoint"] = list(spec.command)
    if spec.args:
        config["Cmd"] = list(spec.args)
    return config


def _mounts(mounts: Sequence[Mount]) -> tuple[list[str], list[dict[str, Any]]]:
    """Binds, as docker likes them, and long form mounts for the paths that hold a colon, which a bind cannot express."""
    binds: list[str] = []
    long: list[dict[str, Any]] = []
    for mount in mounts:
        propagation = _PROPAGATION.get(mount.propagation, mount.propagation)
        if ":" in str(mount.host_path) or ":" in mount.container_path:
            entry: dict[str, Any] = {"Type": "bind", "Source": str(mount.host_path), "Target": mount.container_path}
            entry["ReadOnly"] = mount.read_only
            if propagation:
                entry["BindOptions"] = {"Propagation": propagation}
            long.append(entry)
            continue
        options = [*(["ro"] if mount.read_only else []), *([propagation] if propagation else [])]
        binds.append(":".join([str(mount.host_path), mount.container_path, *([",".join(options)] if options else [])]))
    return binds, long


def seconds(text: object) -> float:
    """docker's RFC 3339 time with nanoseconds as seconds since the epoch; 0 for its zero time and for what is no time."""
    if not isinstance(text, str) or not text or _EPOCH.match(text):
        return 0.0
    try:
        return datetime.fromisoformat(_FRACTION.sub(r".\1", text)).timestamp()
    except ValueError:
        return 0.0


def identity(labels: Mapping[str, str]) -> PodIdentity:
    return PodIdentity(labels.get(POD_NAMESPACE, ""), labels.get(POD_NAME, ""), labels.get(POD_UID, ""))


def is_sandbox(labels: Mapping[str, str]) -> bool:
    return labels.get(TYPE) == "podsandbox" or labels.get(CONTAINER_NAME) == "POD"


def sandbox_info(inspected: Mapping[str, Any]) -> SandboxInfo:
    """From GET /containers/<id>/json."""
    labels = _section(_section(inspected, "Config"), "Labels")
    network = _section(inspected, "NetworkSettings")
    host_network = _section(inspected, "HostConfig").get("NetworkMode") == "host"
    name = str(inspected.get("Name") or "")
    addresses = [network.get("IPAddress")]
    addresses += [entry.get("IPAddress") for entry in _section(network, "Networks").values() if isinstance(entry, dict)]
    return SandboxInfo(
        id=str(inspected.get("Id") or ""),
        pod=identity(labels),
        ready=_section(inspected, "State").get("Running") is True,
        attempt=attempt_in_name(name),
        ip="" if host_network else next((address for address in addresses if address), ""),
        host_network=host_network,
        created_at=seconds(inspected.get("Created")),
    )


def attempt_in_name(name: str) -> int:
    """The attempt in ``/k8s_POD_web_default_<uid>_3``, also when 8 hex digits follow that avoid a name conflict."""
    parts = name.lstrip("/").split("_")
    text = parts[5] if len(parts) >= 6 else ""
    return int(text) if text.isdecimal() else 0


def container_info(inspected: Mapping[str, Any], image: str, image_id: str) -> ContainerInfo:
    """From GET /containers/<id>/json and the image's name and Kubernetes id."""
    labels: Mapping[str, str] = _section(_section(inspected, "Config"), "Labels")
    state = _section(inspected, "State")
    annotations = {key.removeprefix(ANNOTATION): value for key, value in labels.items() if key.startswith(ANNOTATION)}
    count = annotations.pop(RESTART_COUNT, "")
    created, started, ended = (
        seconds(text) for text in (inspected.get("Created"), state.get("StartedAt"), state.get("FinishedAt"))
    )
    exit_code = state.get("ExitCode")
    code = exit_code if isinstance(exit_code, int) else 0
    phase, reason = _phase(state, code, started)
    return ContainerInfo(
        id=f"docker://{inspected.get('Id') or ''}",
        name=labels.get(CONTAINER_NAME, ""),
        pod=identity(labels),
        state=phase,
        image=image,
        image_id=image_id,
        attempt=int(count) if count.isdecimal() else attempt_in_name(str(inspected.get("Name") or "")),
        hash=annotations.pop(HASH, ""),
        created_at=created,
        started_at=started or (created if phase is State.EXITED else 0.0),
        finished_at=max(ended or created, started) if phase is State.EXITED else 0.0,  # docker's clock reads race
        exit_code=code if phase is State.EXITED else 0,
        reason=reason,
        message=explain(str(state.get("Error") or "")) if phase is State.EXITED else "",
        labels={key: value for key, value in labels.items() if not key.startswith(ANNOTATION) and key not in _OWN},
        annotations=annotations,
    )


def _phase(state: Mapping[str, Any], code: int, started: float) -> tuple[State, str]:
    """cri-dockerd: core/container_status.go. A container whose start failed stays ``created``, with a code."""
    if state.get("Running") or state.get("Paused") or state.get("Restarting"):
        return State.RUNNING, ""
    status = state.get("Status")
    if status in ("exited", "dead", "removing"):
        if state.get("OOMKilled"):
            return State.EXITED, "OOMKilled"
        if code and state.get("Error") and not started:
            return State.EXITED, "ContainerCannotRun"
        return State.EXITED, "Error" if code else "Completed"
    if status == "created":
        return (State.EXITED, "ContainerCannotRun") if code else (State.CREATED, "")
    return State.UNKNOWN, ""


def _section(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def resolv_conf(servers: Sequence[str], searches: Sequence[str], options: Sequence[str]) -> str:
    """The text of resolv.conf for a pod."""
    lines = [f"nameserver {server}" for server in servers]
    lines += [f"search {' '.join(searches)}"] if searches else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "".join(line + "\n" for line in lines)


def explain(text: str) -> str:
    """docker's text without the layers of runtimes that the root cause is wrapped in."""
    text = text.strip().removesuffix(": unknown")
    if "OCI runtime create failed" in text or "failed to create shim" in text or "failed to create task" in text:
        found = _EXEC.search(text)
        return found.group(0) if found else text
    return text
