"""Objects that scenarios create."""

from __future__ import annotations

import os
import zlib
from typing import Any

from differential.conversation import Api


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    return body | ({"data": data} if data is not None else {})


def nowhere() -> str:
    """A node that there is not, of the test's own: when there are pods of one for long, Kubernetes removes all of them."""
    return f"nowhere-{zlib.crc32(os.environ.get('PYTEST_CURRENT_TEST', '').encode()):x}"


def pod(name: str, *, node: str | None = None, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Bound to a node that there is not, so that neither scheduler nor kubelet changes it; without a token."""
    wanted = {
        "nodeName": nowhere() if node is None else node,
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "busybox:1"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})}, "spec": wanted | spec}


def node(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def annotated(api: Api, path: str) -> None:
    """Waits until Kubernetes has put the annotation on a new node that is only known there (node-ttl)."""
    if api.server.name == "kubernetes":
        api.until(path, lambda found: found["metadata"]["annotations"], keep=False)


def lease(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def secret(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **fields}


LEASES = "coordination.k8s.io/v1/leases"
