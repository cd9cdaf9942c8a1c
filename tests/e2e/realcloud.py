"""cloudcore beside a real Kubernetes: the other flavour of the cloud half."""

from __future__ import annotations

import sys
import time
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

    def __init__(self, folder: Path, cluster: Cluster, *, through: int = 0) -> None:
        """through: a port at which cloudcore, and nobody else, reaches the API server."""
        self.cluster = cluster
        self.api_restarted = False
        self.own_kubeconfig = cluster.cloudcore
        if through:
            self.own_kubeconfig = folder / "through.kubeconfig"
            cluster.give_cloudcore(self.own_kubeconfig, through)
        super().__init__(folder)
        self.kubeconfig = cluster.admin

    def _settings(self, monitor: int) -> dict[str, Any]:
        settings = super()._settings(monitor)
        del settings["standalone"]
        return settings | {"kubeAPIConfig": {"kubeConfig": str(self.own_kubeconfig)}}

    def _argv(self) -> list[str]:
        return [sys.executable, "-m", "cloudcore", "--config", str(self.config)]

    def start(self) -> None:
        before = self.program.output().count(READY)
        self.program.start()

        def ready() -> bool:
            self.program.must_run()
            return self.program.output().count(READY) > before

        eventually("cloudcore serves", ready, within=30)

    def restart_api_server(self, *, after: float = 0.0) -> None:
        """Killed, as by a power cut, and back ``after`` seconds later. For a moment it then refuses what its rules allow."""
        self.api_restarted = True
        self.cluster.apiserver.kill()
        time.sleep(after)
        self.cluster.start_apiserver()

    def close(self) -> None:
        super().close()
        self.cluster.clean()
        if self.api_restarted:
            return
        denied = [line for line in self.program.output().splitlines() if DENIED in line]
        assert not denied, f"cloudcore lacks rights in packaging/kubernetes/rbac.yaml: {denied[0]}"
