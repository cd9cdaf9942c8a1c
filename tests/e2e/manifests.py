"""The objects that the end-to-end tests apply. Every pod runs unchanged in a container and as a host process."""

from __future__ import annotations

import sys
from typing import Any

IMAGE = "edge-test/busybox:1"
Object = dict[str, Any]


def pod(name: str, *command: str, node: str = "", **spec: Any) -> Object:
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": list(command)}
    container |= spec.pop("container", {})
    block: Object = {"containers": [container], "terminationGracePeriodSeconds": 2, **spec}
    if node:
        block["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": block}


def sleeper(name: str, **spec: Any) -> Object:
    """A pod that runs until it is stopped."""
    return pod(name, "sleep", "3600", **spec)


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def python() -> str:
    return sys.executable
