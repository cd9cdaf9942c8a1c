"""``keadm init`` on a real API server. That cloudcore then runs is shown where there is a node: test_chart.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster, Refused

from keadm.__main__ import main

pytestmark = pytest.mark.kubernetes

SPACE = "/namespaces/kubeedge"
DEPLOYMENT = f"/apis/apps/v1{SPACE}/deployments/cloudcore"
MADE = (
    DEPLOYMENT,
    f"/api/v1{SPACE}/services/cloudcore",
    f"/api/v1{SPACE}/configmaps/cloudcore",
    f"/apis/policy/v1{SPACE}/poddisruptionbudgets/cloudcore",
    f"/apis/networking.k8s.io/v1{SPACE}/networkpolicies/cloudcore",
)
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/objectsyncs.reliablesyncs.kubeedge.io"


def remove(cluster: Cluster, *paths: str) -> None:
    for path in paths:
        try:
            cluster.request("DELETE", path)
        except Refused as error:
            assert error.code == 404, error


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[Cluster]:
    """The namespace, the rights and the definitions are there: every other test uses them, too."""
    remove(cluster, *MADE)
    yield cluster
    remove(cluster, *MADE)


def there(cluster: Cluster, path: str) -> bool:
    try:
        cluster.request("GET", path)
    except Refused as error:
        assert error.code == 404, error
        return False
    return True


def init(kubeconfig: Path, *more: str) -> int:
    return main(["init", f"--kube-config={kubeconfig}", *more])


def config(cluster: Cluster) -> Any:
    return yaml.safe_load(cluster.request("GET", MADE[2])["data"]["cloudcore.yaml"])


def test_a_second_run_changes_nothing_and_a_third_only_what_is_asked(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(clean.admin, "--force", "--advertise-address=192.0.2.1,192.0.2.2", "--set=cloudCore.replicaCount=3") == 0
    assert "created" in capsys.readouterr().err
    first = {path: clean.request("GET", path)["metadata"]["resourceVersion"] for path in MADE[1:3]}
    assert init(clean.admin, "--force") == 0
    said = capsys.readouterr().err
    assert "created" not in said
    assert "changed" not in said.replace("unchanged", "")
    assert {path: clean.request("GET", path)["metadata"]["resourceVersion"] for path in MADE[1:3]} == first

    assert init(clean.admin, "--force", "--set=cloudCore.modules.cloudHub.nodeLimit=9") == 0
    assert "2 changed" in capsys.readouterr().err  # the ConfigMap, and the Deployment whose pods it rolls
    hub = config(clean)["modules"]["cloudHub"]
    assert (hub["nodeLimit"], hub["advertiseAddress"]) == (9, ["192.0.2.1", "192.0.2.2"])
    assert clean.request("GET", DEPLOYMENT)["spec"]["replicas"] == 3


def test_the_pod_security_of_the_namespace_stays_as_it_is(clean: Cluster) -> None:
    """Also where an earlier run has set it: others' pods may need another level."""
    assert init(clean.admin, "--force") == 0
    level = "pod-security.kubernetes.io/enforce"
    before = clean.request("GET", f"/api/v1{SPACE}")
    assert before["metadata"]["labels"][level] == "restricted"
    for wanted in ("privileged", "restricted"):
        space = clean.request("GET", f"/api/v1{SPACE}")
        space["metadata"]["labels"][level] = wanted
        clean.request("PUT", f"/api/v1{SPACE}", space)
        assert init(clean.admin, "--force") == 0
        assert clean.request("GET", f"/api/v1{SPACE}")["metadata"]["labels"][level] == wanted


def test_a_dry_run_changes_nothing(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(clean.admin, "--dry-run") == 0
    said = capsys.readouterr().err
    assert "would be 5 created" in said
    assert "nothing was changed" in said
    assert not any(there(clean, path) for path in MADE)


def test_without_the_rights_nothing_is_begun(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(clean.cloudcore, "--crds-only") == 1
    assert "this user may not get, create, patch customresourcedefinitions.apiextensions.k8s.io" in capsys.readouterr().err
    assert init(clean.cloudcore) == 1
    said = capsys.readouterr().err
    assert "deployments.apps, networkpolicies.networking.k8s.io, " in said
    assert "patch clusterrolebindings.rbac.authorization.k8s.io, clusterroles.rbac.authorization.k8s.io" in said
    assert "get secrets" not in said


def test_that_no_address_is_named_is_said(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    warning = "no address that edges could dial is named"
    assert init(clean.admin, "--force") == 0
    assert warning in capsys.readouterr().err
    assert init(clean.admin, "--force", "--set=cloudCore.modules.cloudHub.dnsNames={cloud.example}") == 0
    assert warning not in capsys.readouterr().err
    assert init(clean.admin, "--force", "--advertise-address=192.0.2.1") == 0
    assert warning not in capsys.readouterr().err


def test_what_keeps_it_from_running_is_said(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Here is no node."""
    assert init(clean.admin, "--timeout=3") == 1
    said = capsys.readouterr().err
    assert "cloudcore is installed, but not ready after 3 s: pod cloudcore-" in said
    assert "it fits on no node" in said


def test_an_installation_of_helm_is_left_to_helm(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(clean.admin, "--force") == 0
    body = clean.request("GET", DEPLOYMENT)
    body["metadata"] |= {
        "annotations": {"meta.helm.sh/release-name": "mine"},
        "resourceVersion": "",
    }  # whatever was written since
    clean.request("PUT", DEPLOYMENT, body)
    capsys.readouterr()
    assert init(clean.admin) == 1
    assert "installed by the Helm release mine" in capsys.readouterr().err
    assert init(clean.admin, "--crds-only") == 0


def test_an_upgrade_of_a_definition_keeps_its_other_versions(clean: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    original = clean.request("GET", DEFINITION)
    newer = clean.request("GET", DEFINITION)
    (version,) = newer["spec"]["versions"]
    newer["spec"]["versions"] = [version | {"storage": False}, version | {"name": "v1beta1"}]
    clean.request("PUT", DEFINITION, newer)
    try:
        assert init(clean.admin, "--crds-only") == 0
        found = clean.request("GET", DEFINITION)
        assert [(one["name"], one["storage"]) for one in found["spec"]["versions"]] == [("v1alpha1", True), ("v1beta1", False)]
        assert set(found["status"]["storedVersions"]) == {"v1alpha1", "v1beta1"}
    finally:
        found = clean.request("GET", DEFINITION)
        found["status"]["storedVersions"] = ["v1alpha1"]
        clean.request("PUT", f"{DEFINITION}/status", found)
        found = clean.request("GET", DEFINITION)
        clean.request("PUT", DEFINITION, found | {"spec": original["spec"]})


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {token: t}}]\n"
    )
    assert init(path) == 1
    assert "Error: GET https://127.0.0.1:1/version: cannot connect: Connection refused" in capsys.readouterr().err
