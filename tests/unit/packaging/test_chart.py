"""What follows from other files is up to date. What helm makes of the chart: tests/e2e/test_chart_values.py."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path
from typing import Any

import yaml

from cloudcore import config

ROOT = Path(__file__).parents[3]
CHART = ROOT / "packaging" / "chart" / "cloudcore"
sys.path.append(str(ROOT / "packaging" / "chart"))

import rendering  # noqa: E402


def test_schema_and_definitions_are_up_to_date() -> None:
    assert rendering.stale(rendering.from_tree()) == [], "run packaging/chart"


def test_the_chart_has_the_version_of_the_project() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == parser["metadata"]["version"]


def test_every_value_is_described_by_the_schema() -> None:
    def holes(values: Any, schema: dict[str, Any], path: str) -> list[str]:
        if "$ref" in schema:
            schema = whole["definitions"][schema["$ref"].rpartition("/")[2]]
        known = schema.get("properties")
        if not isinstance(values, dict) or known is None:
            return []
        missing = [f"{path}.{key}" for key in values.keys() - known.keys()]
        return missing + [
            hole for key in values.keys() & known.keys() for hole in holes(values[key], known[key], f"{path}.{key}")
        ]

    whole = rendering.values_schema()
    assert holes(yaml.safe_load((CHART / "values.yaml").read_text()), whole, "") == []


def plain() -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(rendering.MANIFEST.read_text()) if one]


def test_the_plain_manifests_hold_a_configuration_that_cloudcore_takes(tmp_path: Path) -> None:
    (text,) = [one["data"]["cloudcore.yaml"] for one in plain() if one["kind"] == "ConfigMap"]
    (tmp_path / "cloudcore.yaml").write_text(text)
    found = config.load(tmp_path / "cloudcore.yaml")
    assert config.notices(found) == []
    assert "cloudcore.kubeedge.svc" in found.modules.cloud_hub.dns_names


def test_the_plain_manifests_say_nothing_of_helm() -> None:
    assert "helm" not in rendering.MANIFEST.read_text().lower().replace("edge-helm", "")
    assert {one["kind"] for one in plain()} >= {"Namespace", "Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"}


def test_the_pods_fit_the_restricted_profile() -> None:
    (deployment,) = [one for one in plain() if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {"configMap", "emptyDir"}
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert context == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
