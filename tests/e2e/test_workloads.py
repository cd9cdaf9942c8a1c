"""What makes pods, on both APIs: Deployments and DaemonSets whose pods run on a real edge."""

from __future__ import annotations

from typing import Any

from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import sleeper


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": sleeper(name)["spec"]}
    body = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": body}


def pods_of(cloud: Cloud, app: str) -> dict[str, str]:
    """The nodes of the pods, by name."""
    found = cloud.get("pods", "-l", f"app={app}")["items"]
    return {item["metadata"]["name"]: item["spec"].get("nodeName", "") for item in found}


def test_deployments_and_daemon_sets_run_on_the_edge(halves: tuple[Cloud, Edge]) -> None:
    cloud, edge = halves
    try:
        cloud.apply(workload("Deployment", "web", replicas=2))
        cloud.apply(workload("DaemonSet", "agent"))
        cloud.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        cloud.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
        first = pods_of(cloud, "web")
        assert set(first.values()) == set(pods_of(cloud, "agent").values()) == {edge.name}
        cloud.kubectl("set", "env", "deployment/web", "daemonset/agent", "VERSION=2")
        cloud.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        cloud.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
        eventually(
            "the old pods are gone", lambda: len(pods_of(cloud, "web")) == 2 and not set(pods_of(cloud, "web")) & set(first)
        )
        assert len(pods_of(cloud, "agent")) == 1
    finally:
        cloud.kubectl("delete", "deployment/web", "daemonset/agent", "--wait=true", "--cascade=foreground")
    assert not pods_of(cloud, "web") | pods_of(cloud, "agent")
