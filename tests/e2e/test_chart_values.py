"""What real Helm makes of the chart's values, and that an API server takes it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import yaml
from e2e.charted import CHART, ROOT, ChartedCloud
from helm_command import Helm
from node import Node

sys.path.append(str(ROOT / "packaging" / "chart"))

import rendering

pytestmark = pytest.mark.kubernetes

EVERYTHING = (
    "autoscaling.enabled=true",
    "serviceMonitor.enabled=true",
    "serviceMonitor.labels.release=prometheus",
    "networkPolicy.egress.enabled=true",
    "networkPolicy.monitoringFrom[0].namespaceSelector.matchLabels.name=monitoring",
    "cloudCore.service.type=LoadBalancer",
    "cloudCore.service.loadBalancerSourceRanges={192.0.2.0/24}",
    "cloudCore.service.externalTrafficPolicy=Local",
    "cloudCore.image.pullSecrets[0].name=registry",
    "cloudCore.priorityClassName=system-cluster-critical",
    "cloudCore.nodeSelector.disk=ssd",
    "cloudCore.tolerations[0].operator=Exists",
    "cloudCore.labels.team=edge",
    "cloudCore.annotations.note=this",
    "cloudCore.kubeAPIConfig.qps=50",
    "cloudCore.modules.cloudHub.advertiseAddress={192.0.2.1}",
    "cloudCore.modules.cloudHub.dnsNames={edge.example}",
    "cloudCore.modules.cloudHub.websocket.port=11000",
    "serviceAccount.annotations.role=that",
)


def render(helm: Helm, *sets: str) -> dict[str, Any]:
    text = helm("template", "mine", CHART, "-n", "kubeedge", "--kube-version=1.34.0", *(f"--set={one}" for one in sets))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(text) if one}


def test_the_plain_manifests_are_up_to_date(helm: Helm) -> None:
    assert rendering.stale(rendering.from_chart(str(helm.program))) == [], "run packaging/chart"


def test_it_passes_lint(helm: Helm) -> None:
    helm("lint", CHART, "-n", "kubeedge", "--strict", "--kube-version=1.34.0")


@pytest.mark.parametrize("sets", [(), EVERYTHING, ("cloudCore.hostNetWork=true",)], ids=["defaults", "everything", "host"])
def test_an_api_server_takes_it(helm: Helm, real_node: Node, sets: tuple[str, ...], tmp_path: Any) -> None:
    cloud = ChartedCloud(tmp_path, real_node)
    objects = render(helm, *sets).values()
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeedge"}}
    cloud.apply(space)
    taken = [one for one in objects if one["kind"] != "ServiceMonitor"]
    text = "---\n".join(yaml.safe_dump(one) for one in taken)
    said = cloud.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text).stdout
    assert len(said.splitlines()) == len(taken)


def test_with_an_autoscaler_the_number_of_replicas_is_its_own(helm: Helm) -> None:
    assert "replicas" not in render(helm, "autoscaling.enabled=true")["Deployment/cloudcore"]["spec"]
    assert render(helm)["Deployment/cloudcore"]["spec"]["replicas"] == 2


def test_a_changed_configuration_rolls_the_pods(helm: Helm) -> None:
    def checksum(*sets: str) -> Any:
        template = render(helm, *sets)["Deployment/cloudcore"]["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert checksum() == checksum("cloudCore.service.type=ClusterIP")
    assert checksum() != checksum("cloudCore.modules.cloudHub.nodeLimit=7")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("cloudCore.replicas=3", "additional properties 'replicas' not allowed"),
        ("cloudCore.modules.cloudHub.nodelimit=3", "additional properties 'nodelimit' not allowed"),
        ("cloudCore.modules.cloudHub.nodeLimit=many", "got string, want integer"),
        ("cloudCore.modules.cloudHub.nodeLimit=0", "minimum: got 0, want 1"),
        ("cloudCore.modules.cloudHub.websocket.port=65536", "maximum: got 65,536, want 65,535"),
        ("cloudCore.modules.cloudHub.advertiseAddress={edge.example}", "'edge.example' does not match pattern"),
        ("cloudCore.modules.edgeController.enable=false", "value must be true"),
        ("cloudCore.securityContext.privileged=true", "additional properties 'securityContext' not allowed"),
        ("iptablesManager.enable=true", "additional properties 'iptablesManager' not allowed"),
        ("cloudCore.modules.cloudHub.dnsNames=edge.example", "got string, want array"),
        ("cloudCore.modules=null", "missing property 'modules'"),
        ("autoscaling=null", "missing property 'autoscaling'"),
        ("cloudCore.service.type=Nodeport", "value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"),
    ],
)
def test_values_that_mean_nothing_are_refused(helm: Helm, wrong: str, why: str) -> None:
    done = helm.run("template", "mine", CHART, "-n", "kubeedge", "--kube-version=1.34.0", f"--set={wrong}")
    assert done.returncode != 0
    assert why in done.stderr


def test_another_namespace_is_refused(helm: Helm) -> None:
    done = helm.run("template", "mine", CHART, "-n", "elsewhere", "--kube-version=1.34.0")
    assert "install it with --namespace kubeedge (not elsewhere)" in done.stderr
