"""The custom resource definitions and the rules that the project ships, against what the code uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from beehive.resource import Resource as Path_
from cloudcore.edgecontroller.location import POD
from cloudcore.edgecontroller.records import new_record
from kube.resources import CLUSTER_OBJECT_SYNCS, OBJECT_SYNCS, Resource

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("resource", [OBJECT_SYNCS, CLUSTER_OBJECT_SYNCS], ids=lambda one: one.plural)
def test_the_definitions_are_those_of_the_code(resource: Resource) -> None:
    found = yaml.safe_load((ROOT / "cloudcore" / "crds" / f"{resource.plural}.yaml").read_text())
    spec = found["spec"]
    (version,) = spec["versions"]
    assert found["metadata"]["name"] == resource.qualified
    assert (spec["group"], version["name"]) == (resource.group, resource.version)
    assert (spec["names"]["plural"], spec["names"]["singular"]) == (resource.plural, resource.singular)
    assert (spec["names"]["kind"], spec["names"]["listKind"]) == (resource.kind, resource.kind + "List")
    assert spec["scope"] == ("Namespaced" if resource.namespaced else "Cluster")
    assert "status" in version["subresources"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]
    record = new_record("edge-1", Path_("default", POD, "web"), "uid")
    assert set(record["spec"]) == set(fields["spec"]["properties"])
    assert set(fields["status"]["properties"]) == {"objectResourceVersion"}


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load_all((ROOT / "packaging" / "kubernetes" / "rbac.yaml").read_text())
    return [rule for one in found if one["kind"] in ("Role", "ClusterRole") for rule in one["rules"]]


def test_nothing_is_granted_wholesale() -> None:
    for rule in rules():
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], rule
        assert not {"deletecollection", "impersonate", "escalate", "bind"} & set(rule["verbs"]), rule
