"""The chart with real Helm on a real node: installed, an edge joined through the Service, upgraded, uninstalled; then keadm init.

One story: each step stands on the one before it.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.charted import CHART, PODS, REPOSITORY, ChartedCloud, make_image, next_chart
from e2e.harness import Edge, eventually, is_ready
from e2e.manifests import sleeper
from helm_command import Helm
from node import Node

pytestmark = pytest.mark.kubernetes

STAYS = {
    "ConfigMap/kube-root-ca.crt",
    "CustomResourceDefinition/clusterobjectsyncs.reliablesyncs.kubeedge.io",
    "CustomResourceDefinition/objectsyncs.reliablesyncs.kubeedge.io",
    "Namespace/kubeedge",
    "Secret/casecret",
    "Secret/cloudcoresecret",
    "Secret/tokensecret",
    "ServiceAccount/default",
}
"""After `helm uninstall`, as docs/kubernetes.md says; and Leases, which the last cloudcore may leave."""


@pytest.fixture(scope="module")
def cloud(real_node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartedCloud]:
    """No cloudcore yet: its image under two tags, and a namespace that takes only restricted pods."""
    folder = tmp_path_factory.mktemp("chart")
    real_node.load_image(make_image(folder))
    ctr = ("ctr", "--namespace=k8s.io", "images")
    real_node.machine.run(*ctr, "tag", f"{REPOSITORY}:first", f"{REPOSITORY}:second")
    cloud = ChartedCloud(folder, real_node)
    cloud.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeedge"}})
    cloud.kubectl("label", "namespace", "kubeedge", "pod-security.kubernetes.io/enforce=restricted")
    yield cloud
    cloud.kubectl("delete", "namespace", "kubeedge", "--ignore-not-found")


@pytest.fixture(scope="module")
def edge(cloud: ChartedCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Not joined yet."""
    edge = Edge(tmp_path_factory.mktemp("edge"), cloud, "process")
    yield edge
    edge.program.kill()
    edge.keadm("reset", "edge", "--force", f"--prefix={edge.folder}")
    cloud.kubectl("delete", "node", edge.name, "--ignore-not-found")
    cloud.kubectl("delete", "deployment", "work", "--ignore-not-found")


def metrics(pod: dict[str, Any]) -> str:
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9091/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def image(tag: str) -> tuple[str, str]:
    return f"--set=cloudCore.image.repository={REPOSITORY}", f"--set=cloudCore.image.tag={tag}"


def work() -> dict[str, Any]:
    """A Deployment whose pods belong on edges."""
    spec = sleeper("work")["spec"] | {"nodeSelector": {"node-role.kubernetes.io/edge": ""}}
    template = {"metadata": {"labels": {"app": "work"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "work"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "work"}}, "template": template},
    }


def running(cloud: ChartedCloud) -> dict[str, tuple[str, int]]:
    """Container and number of restarts of every pod of the Deployment, by its uid; only when all are Ready."""
    pods = cloud.get("pods", "-l", "app=work")["items"]
    assert all(is_ready(pod) for pod in pods), [pod["status"] for pod in pods]
    statuses = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0] for pod in pods}
    return {uid: (one["containerID"], one["restartCount"]) for uid, one in statuses.items()}


def wait_working(cloud: ChartedCloud, edge: Edge, number: int) -> dict[str, tuple[str, int]]:
    """Says what cloudcore said when it does not come about."""

    def all_ready() -> dict[str, tuple[str, int]] | None:
        edge.program.must_run()
        found = running(cloud)
        return found if len(found) == number else None

    try:
        return eventually(f"{number} pods of the Deployment run", all_ready, within=60) or {}
    except AssertionError as error:
        error.add_note(cloud.logs())
        raise


def test_install(cloud: ChartedCloud, helm: Helm) -> None:
    address = "--set=cloudCore.modules.cloudHub.advertiseAddress={" + cloud.host + "}"
    said = helm("install", "cloudcore", CHART, "-n", "kubeedge", address, *image("first"), "--wait", "--timeout=120s")
    assert "keadm join --cloudcore-ipport ADDRESS:30000 --certport 30002 --token TOKEN" in said
    pods = cloud.replicas()
    assert len(pods) == 2
    assert all(is_ready(pod) for pod in pods.values())
    assert {pod["spec"]["nodeName"] for pod in pods.values()} == {"cloud"}


def test_what_runs_is_what_the_recipe_says(cloud: ChartedCloud) -> None:
    """No shell; a user that is not root; nothing can be written but /tmp."""
    pod = next(iter(cloud.replicas()))
    command = ("exec", "-n", "kubeedge", pod, "--")
    assert cloud.kubectl(*command, "sh", "-c", "true", check=False).returncode != 0
    program = "import os; print(os.getuid()); open('/tmp/a', 'w'); open('/home/nonroot/a', 'w')"
    tried = cloud.kubectl(*command, "python3.11", "-I", "-c", program, check=False)
    assert tried.stdout == "65532\n"
    assert "Read-only file system: '/home/nonroot/a'" in tried.stderr
    pages = [metrics(pod) for pod in cloud.replicas().values()]
    assert all("\ncloudcore_ready 1\n" in page for page in pages)
    assert sum("\ncloudcore_leader 1\n" in page for page in pages) == 1


def test_an_edge_joins_through_the_service(cloud: ChartedCloud, edge: Edge) -> None:
    edge.join()
    edge.wait_ready(within=60)
    cloud.apply(work())
    wait_working(cloud, edge, 1)


def test_an_upgrade_brings_the_edges_back_and_leaves_their_pods_alone(
    cloud: ChartedCloud, edge: Edge, helm: Helm, tmp_path: Path
) -> None:
    before, old = running(cloud), cloud.replicas().keys()
    more = (*image("second"), "--set=cloudCore.modules.cloudHub.nodeLimit=500", "--wait", "--timeout=120s")
    helm("upgrade", "cloudcore", next_chart(tmp_path), "-n", "kubeedge", "--reset-then-reuse-values", *more)
    assert not old & cloud.replicas().keys()
    definition = cloud.get("customresourcedefinition", "objectsyncs.reliablesyncs.kubeedge.io")
    assert "In version 99" in definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"]
    cloud.kubectl("scale", "deployment", "work", "--replicas=2")
    after = wait_working(cloud, edge, 2)
    assert before.items() <= after.items(), "the pod that ran before runs on, in the same container"


def test_uninstall_leaves_what_the_documentation_says(cloud: ChartedCloud, edge: Edge, helm: Helm) -> None:
    helm("uninstall", "cloudcore", "-n", "kubeedge", "--wait")
    eventually("its pods are gone", lambda: not cloud.get("pods", *PODS)["items"], within=60)
    assert {one for one in cloud.leftovers() if not one.startswith("Lease/")} == STAYS
    edge.program.must_run()


def test_keadm_init_takes_over_and_the_edge_comes_back(cloud: ChartedCloud, edge: Edge) -> None:
    """The certificates have stayed, so the edge is still joined; the definitions were Helm's and are changed by keadm."""
    flags = (f"--kube-config={cloud.kubeconfig}", f"--advertise-address={cloud.host}", *image("first"))
    done = subprocess.run(
        [sys.executable, "-m", "keadm", "init", *flags], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr + cloud.logs()
    assert f"keadm join --cloudcore-ipport {cloud.host}:30000 --certport 30002" in done.stderr
    assert len(cloud.replicas()) == 2
    cloud.kubectl("scale", "deployment", "work", "--replicas=1")
    wait_working(cloud, edge, 1)


def test_all_of_it_can_be_taken_away(cloud: ChartedCloud, edge: Edge) -> None:
    """As docs/kubernetes.md says."""
    edge.program.kill()
    cloud.kubectl("delete", "node", edge.name)
    printed = edge.keadm("manifest").stdout
    cloud.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=printed)
    assert cloud.leftovers() == set()
