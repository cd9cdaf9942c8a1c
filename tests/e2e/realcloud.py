"""cloudcore beside a real Kubernetes: the other flavour of the cloud half."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cluster import Cluster
from e2e.harness import Cloud, eventually

READY = "ready: edges on port"
"""What cloudcore logs when it serves."""
DENIED = 'User "system:serviceaccount:kubeedge:cloudcore" cannot'
"""What the API server says when the rules leave something out."""


class KubernetesCloud(Cloud):
    """cloudcore as its own service account, with the rights of packaging/kubernetes/rbac.yaml; kubectl as administrator."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        super().__init__(folder)
        self.kubeconfig = cluster.admin

    def _settings(self, monitor: int) -> dict[str, Any]:
        settings = super()._settings(monitor)
        del settings["standalone"]
        return settings | {"kubeAPIConfig": {"kubeConfig": str(self.cluster.cloudcore)}}

    def _argv(self) -> list[str]:
        return [sys.executable, "-m", "cloudcore", "--config", str(self.config)]

    def start(self) -> None:
        before = self.program.output().count(READY)
        self.program.start()

        def ready() -> bool:
            self.program.must_run()
            return self.program.output().count(READY) > before

        eventually("cloudcore serves", ready, within=30)

    def close(self) -> None:
        super().close()
        self.cluster.clean()
        denied = [line for line in self.program.output().splitlines() if DENIED in line]
        assert not denied, f"cloudcore lacks rights in packaging/kubernetes/rbac.yaml: {denied[0]}"
