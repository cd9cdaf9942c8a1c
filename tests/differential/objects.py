"""Objects that scenarios create."""

from __future__ import annotations

import os
import zlib
from typing import Any


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    return body | ({"data": data} if data is not None else {})


def pod(name: str, *, node: str | None = None, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Bound to a node that there is not, so that neither scheduler nor kubelet changes it; without a token.

    The node is the test's own: the pods of one that has been missing for long are removed.
    """
    if node is None:
        node = f"nowhere-{zlib.crc32(os.environ.get('PYTEST_CURRENT_TEST', '').encode()):x}"
    wanted = {"nodeName": node, "automountServiceAccountToken": False, "containers": [{"name": "c", "image": "busybox:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})}, "spec": wanted | spec}


def node(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


def lease(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def secret(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **fields}


LEASES = "coordination.k8s.io/v1/leases"
