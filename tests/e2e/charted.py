"""cloudcore as pods of a real node: the cloud half as the chart, or keadm init, installs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from e2e.harness import Cloud
from node import Node

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "packaging" / "chart" / "cloudcore"
REPOSITORY = "docker.io/edgecore-test/cloudcore"
PODS = ("-n", "kubeedge", "-l", "k8s-app=kubeedge,kubeedge=cloudcore")


class ChartedCloud(Cloud):
    """Spoken to with kubectl; edges reach it at the node's address and the chart's node ports."""

    def __init__(self, folder: Path, node: Node) -> None:  # nothing to start here
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.node = folder, node
        self.kubeconfig = node.admin
        self.host, self.hub_port, self.cert_port = node.address, 30000, 30002

    def replicas(self) -> dict[str, Any]:
        """The pods of cloudcore by name, those that are going left out."""
        found = self.get("pods", *PODS)["items"]
        return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def logs(self) -> str:
        return self.kubectl("logs", *PODS, "--tail=40", "--prefix", check=False).stdout

    def leftovers(self) -> set[str]:
        """What in the cluster bears a name of ours, as kind/name."""
        kinds = (
            "deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,"
            "clusterrolebindings,networkpolicies,poddisruptionbudgets,leases,customresourcedefinitions,namespaces"
        )
        found = self.kubectl(
            "get", kinds, "-A", "-o", "jsonpath={range .items[*]}{.kind}/{.metadata.name}/{.metadata.namespace}\n{end}"
        )
        lines = [line.strip("/").split("/") for line in found.stdout.splitlines() if line]
        ours = ("cloudcore", "kubeedge")
        return {f"{line[0]}/{line[1]}" for line in lines if "kubeedge" in line[2:] or any(word in line[1] for word in ours)}


def make_image(folder: Path) -> Path:
    """The image, made as a user makes it."""
    path = folder / "cloudcore.tar"
    recipe = [sys.executable, str(ROOT / "packaging" / "image"), f"--output={path}", f"--tag={REPOSITORY}:first"]
    done = subprocess.run(recipe, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return path


def next_chart(folder: Path) -> Path:
    """The chart of a later version: other labels, a definition that says more."""
    target = folder / "next"
    shutil.copytree(CHART, target)
    chart = yaml.safe_load((target / "Chart.yaml").read_text())
    (target / "Chart.yaml").write_text(yaml.safe_dump(chart | {"version": "99.0.0", "appVersion": "99.0.0"}))
    definition = target / "files" / "crds" / "objectsyncs.yaml"
    definition.write_text(definition.read_text().replace("ObjectSync records", "In version 99 ObjectSync records"))
    return target
