"""What edged has to be told. The composition root fills it from edgecore.yaml (``modules.edged``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kube import objects
from kube.objects import Object

KUBERNETES_VERSION = "v1.32.10"
"""The kubelet whose behaviour is followed (KubeEdge 1.23 embeds it)."""


@dataclass(frozen=True)
class EdgedSettings:
    """Durations are seconds.

    root: pod directories (kubelet's rootDirectory). pod_logs: container logs. memory_root: a directory on tmpfs for secrets and
    ``medium: Memory``; None puts them under ``root``. version: of this program, ``0.1.0``. node_ip: "" finds it.
    """

    node_name: str
    version: str
    root: Path = Path("/var/lib/kubelet")
    pod_logs: Path = Path("/var/log/pods")
    memory_root: Path | None = None
    node_ip: str = ""
    interface: str = ""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    node_annotations: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Object] = ()
    register_node: bool = True
    register_schedulable: bool = True
    max_pods: int = 110
    kubelet_port: int = 10350
    status_update_frequency: float = 10.0
    status_report_frequency: float = 300.0
    lease_duration: int = 40
    sync_frequency: float = 60.0
    relist_frequency: float = 10.0
    serialize_image_pulls: bool = True
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    kube_reserved: Mapping[str, str] = field(default_factory=dict)

    @property
    def kubelet_version(self) -> str:
        """As ``kubectl get node`` shows it: ``v1.32.10-kubeedge-v0.1.0``."""
        return f"{KUBERNETES_VERSION}-kubeedge-v{self.version}"

    def pod_directory(self, uid: str) -> Path:
        return self.root / "pods" / uid

    def log_directory(self, pod: Object) -> Path:
        return self.pod_logs / f"{objects.namespace(pod)}_{objects.name(pod)}_{objects.uid(pod)}"
