"""The node that other tests stand on: what runs on it is reached as in any cluster, and it leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.harness import eventually
from engines.dockerimages import IMAGE, busybox_tar
from helm_command import Helm
from images import archive
from node import Node

pytestmark = pytest.mark.kubernetes

PORT = 30080
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "web",
                        "image": IMAGE,
                        "command": ["sh", "-c", "hostname > /tmp/name; exec httpd -f -p 8080 -h /tmp"],
                        "resources": {"limits": {"memory": "32Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/name", "port": 8080}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "helm", "mountPath": "/helm", "readOnly": True}],
                    }
                ],
                "volumes": [{"name": "helm", "hostPath": {"path": "to be said"}}],
            },
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080, "nodePort": PORT}]},
}


def kubectl(node: Node, *arguments: str, stdin: str | None = None) -> str:
    program = shutil.which("kubectl")
    assert program, "kubectl is missing"
    command = [program, f"--kubeconfig={node.admin}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def web(real_node: Node, helm: Helm) -> Iterator[list[str]]:
    """The names of two pods that tell their names, behind Service web. Helm lies in them at /helm."""
    real_node.load_archive(archive(IMAGE, busybox_tar(), command=["/bin/sh"]))
    deployment = json.loads(json.dumps(WEB))
    deployment["spec"]["template"]["spec"]["volumes"][0]["hostPath"]["path"] = str(helm.program.parent)
    kubectl(real_node, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, SERVICE]}))
    try:
        kubectl(real_node, "rollout", "status", "deployment/web", "--timeout=60s")
        yield kubectl(real_node, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").split()
    finally:
        kubectl(real_node, "delete", "deployment/web", "service/web", "--cascade=foreground")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode().strip())


def service_address(node: Node) -> str:
    return kubectl(node, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")


def test_pods_run_in_containers_of_the_node(real_node: Node, web: list[str]) -> None:
    assert len(web) == 2
    running = real_node.machine.run("ctr", "--namespace=k8s.io", "tasks", "list", "--quiet").stdout.split()
    assert len(running) == 4, "two pods, each with a container and its sandbox"


def test_this_machine_reaches_the_service_at_both_addresses(real_node: Node, web: list[str]) -> None:
    for url in (f"http://{service_address(real_node)}/name", f"http://{real_node.address}:{PORT}/name"):
        found: set[str] = set()

        def both_answered(url: str = url, found: set[str] = found) -> bool:
            found.add(fetch(url))
            return found == set(web)

        eventually(f"both pods answered at {url}", both_answered, within=20, every=0.02)


def test_a_pod_reaches_the_service_and_itself_through_it(real_node: Node, web: list[str]) -> None:
    url = f"http://{service_address(real_node)}/name"
    found: set[str] = set()

    def both_answered() -> bool:
        found.add(kubectl(real_node, "exec", web[0], "--", "wget", "-q", "-O", "-", url))
        return found == set(web)

    eventually("both pods answered", both_answered, within=30, every=0.02)


def test_a_pod_is_known_to_the_api_server_by_its_token(real_node: Node, web: list[str]) -> None:
    """Through Service `kubernetes`, whose certificate it verifies: Helm is refused what its account may not do, by name."""
    command = ["exec", web[0], "--", "env", "HOME=/tmp", "/helm/helm", "list"]
    with pytest.raises(AssertionError) as refused:
        kubectl(real_node, *command)
    assert "system:serviceaccount:default:default" in str(refused.value)
    assert 'cannot list resource \\"secrets\\"' in str(refused.value) or 'cannot list resource "secrets"' in str(refused.value)


def test_helm_installs_a_chart(helm: Helm, real_node: Node, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: little\nversion: 0.1.0\n")
    (chart / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-map}\ndata: {word: {{ .Values.word }}}\n"
    )
    helm("install", "first", chart, "--set", "word=hello")
    assert kubectl(real_node, "get", "configmap", "first-map", "-o", "jsonpath={.data.word}") == "hello"
    helm("uninstall", "first")
    assert helm("list", "--short") == ""
