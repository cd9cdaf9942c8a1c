"""What ``keadm init`` would apply, and what it keeps of what is there."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from keadm import manifest
from keadm.manifest import CHECKSUM, Present, Wishes, manifests, merged_definition
from keadm.steps import KeadmError

VERSION = importlib.metadata.version("edgecore")
NOTHING, EMPTY = Wishes(), Present()


def made(wishes: Wishes = NOTHING, present: Present = EMPTY) -> dict[str, Any]:
    return {obj["kind"]: obj for obj in manifests(wishes, present) if obj["metadata"].get("namespace") == "kubeedge"}


def hub(objects: dict[str, Any]) -> Any:
    return yaml.safe_load(objects["ConfigMap"]["data"]["cloudcore.yaml"])["modules"]["cloudHub"]


def pod(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_without_wishes_it_is_what_was_shipped() -> None:
    shipped, now = manifest.shipped(), manifests(Wishes())
    assert [(one["kind"], one["metadata"]["name"]) for one in now] == [(one["kind"], one["metadata"]["name"]) for one in shipped]
    for before, after in zip(shipped, now, strict=True):
        if before["kind"] not in ("ConfigMap", "Deployment"):
            assert before == after


def test_the_command_line_arrives() -> None:
    sets = ("cloudCore.modules.cloudHub.nodeLimit=7,cloudCore.replicaCount=3", "cloudCore.service.type=ClusterIP")
    found = made(Wishes(("192.0.2.1", "192.0.2.2"), "v9", "registry.example/edge", sets))
    assert hub(found)["advertiseAddress"] == ["192.0.2.1", "192.0.2.2"]
    assert hub(found)["nodeLimit"] == 7
    assert pod(found)["containers"][0]["image"] == "registry.example/edge/cloudcore:v9"
    assert found["Deployment"]["spec"]["replicas"] == 3
    assert found["Service"]["spec"]["type"] == "ClusterIP"
    assert not any("nodePort" in port for port in found["Service"]["spec"]["ports"])


def test_a_second_run_keeps_what_is_there() -> None:
    sets = (
        "cloudCore.modules.cloudHub.dnsNames={edge.example}",
        "cloudCore.image.repository=registry.example:5000/cloudcore,cloudCore.image.tag=old",
        "cloudCore.nodeSelector.disk=ssd,cloudCore.resources.limits.memory=2Gi,cloudCore.image.pullSecrets[0].name=mine",
    )
    first = made(Wishes(("192.0.2.1",), sets=sets))
    service = first["Service"]
    service["spec"]["ports"][0]["nodePort"] = 31000
    deployment = first["Deployment"]
    deployment["spec"]["replicas"] = 5
    found = made(Wishes(), Present(first["ConfigMap"]["data"]["cloudcore.yaml"], deployment, service))
    assert found["ConfigMap"] == first["ConfigMap"]
    assert hub(found)["dnsNames"][0] == "edge.example"
    assert found["Deployment"]["spec"]["replicas"] == 5
    assert pod(found)["containers"][0]["image"] == f"registry.example:5000/cloudcore:{VERSION}"
    assert pod(found)["containers"][0]["resources"] == {"limits": {"memory": "2Gi"}}
    assert pod(found)["nodeSelector"] == {"disk": "ssd"}
    assert pod(found)["imagePullSecrets"] == [{"name": "mine"}]
    assert [port["nodePort"] for port in found["Service"]["spec"]["ports"]] == [31000, 30002]


def test_the_command_line_counts_before_what_is_there() -> None:
    present = Present("modules: {cloudHub: {advertiseAddress: [192.0.2.1], nodeLimit: 9}}", {"spec": {"replicas": 5}})
    found = made(Wishes(("192.0.2.7",), sets=("cloudCore.replicaCount=1,cloudCore.modules.cloudHub.nodeLimit=8",)), present)
    assert (hub(found)["advertiseAddress"], hub(found)["nodeLimit"]) == (["192.0.2.7"], 8)
    assert found["Deployment"]["spec"]["replicas"] == 1


def test_a_changed_configuration_rolls_the_pods() -> None:
    def checksum(wishes: Wishes) -> Any:
        return made(wishes)["Deployment"]["spec"]["template"]["metadata"]["annotations"][CHECKSUM]

    assert checksum(Wishes()) == checksum(Wishes())
    assert checksum(Wishes()) != checksum(Wishes(("192.0.2.1",)))


def test_the_probes_stay_where_the_manifests_look_for_them() -> None:
    found = made(present=Present("commonConfig: {monitorServer: {bindAddress: '127.0.0.1:9091'}}"))
    config = yaml.safe_load(found["ConfigMap"]["data"]["cloudcore.yaml"])
    assert config["commonConfig"]["monitorServer"]["bindAddress"] == "0.0.0.0:9091"


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("cloudCore.replicas=3", "did you mean `replicaCount`"),
        ("iptablesManager.enable=true", "unknown key `iptablesManager`"),
        ("cloudCore.replicaCount=many", "replicaCount"),
        ("cloudCore.modules.cloudHub.nodelimit=3", "did you mean `nodeLimit`"),
        ("cloudCore.modules.cloudHub.advertiseAddress={box}", "'box' is not an IP address"),
        ("nonsense", "path=value"),
        ("cloudCore.modules.cloudHub=null", "`modules.cloudHub`: expected `object`"),
        ("cloudCore.modules.cloudHub.dnsNames=edge.example", "`modules.cloudHub.dnsNames`: expected `array`"),
        ("cloudCore.service.type=Nodeport", "`cloudCore.service.type`: invalid enum value 'Nodeport'"),
        ("cloudCore.service.cloudhubNodePort=70000", "`cloudCore.service.cloudhubNodePort`"),
        ("cloudCore.replicaCount=-1", "`cloudCore.replicaCount`"),
    ],
)
def test_what_does_not_fit_is_named(expression: str, why: str) -> None:
    with pytest.raises(KeadmError, match=r".*") as error:
        manifests(Wishes(sets=(expression,)))
    assert why in error.value.message


def test_the_configuration_of_a_kubeedge_that_was_there_is_kept() -> None:
    recorded = Path(__file__).parents[2] / "conformance" / "cloud" / "recorded" / "cloudcore.yaml"
    found = made(present=Present(recorded.read_text()))
    assert hub(found)["keepaliveInterval"] == yaml.safe_load(recorded.read_text())["modules"]["cloudHub"]["keepaliveInterval"]
    assert "cloudcore.kubeedge.svc" in hub(found)["dnsNames"]


@pytest.mark.parametrize("text", ["a: [b", "- a", "text", "modules: [a]", "modules: {cloudHub: {dnsNames: edge.example}}"])
def test_a_broken_configuration_in_the_cluster_is_named(text: str) -> None:
    with pytest.raises(KeadmError, match=r"ConfigMap kubeedge/cloudcore: .*kubectl -n kubeedge edit configmap cloudcore"):
        manifests(Wishes(), Present(text))


@pytest.mark.parametrize(
    "text", ["", "modules:\n", "modules: {cloudHub: }", "commonConfig:\n", "commonConfig: {monitorServer: }"]
)
def test_a_block_without_content_is_as_none(text: str) -> None:
    assert hub(made(present=Present(text))) == hub(made())


def test_the_service_finds_ports_that_the_configuration_has_changed() -> None:
    found = made(Wishes(sets=("cloudCore.modules.cloudHub.websocket.port=11000,cloudCore.modules.cloudHub.https.port=11002",)))
    ports = {port["name"]: port["containerPort"] for port in pod(found)["containers"][0]["ports"]}
    assert ports == {"cloudhub": 11000, "cloudhub-https": 11002, "monitor": 9091}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} == {"cloudhub", "cloudhub-https"}


@pytest.mark.parametrize("labels", [{}, {"pod-security.kubernetes.io/enforce": "privileged"}])
def test_the_pod_security_of_a_namespace_that_is_there_stays(labels: dict[str, str]) -> None:
    there = {"metadata": {"name": "kubeedge", "labels": labels | {"kubernetes.io/metadata.name": "kubeedge"}}}
    (space,) = (one for one in manifests(Wishes(), Present(namespace=there)) if one["kind"] == "Namespace")
    assert space["metadata"]["labels"] == labels


def definition(**versions: bool) -> dict[str, Any]:
    return {"spec": {"versions": [{"name": name, "served": True, "storage": storage} for name, storage in versions.items()]}}


def test_no_version_of_a_definition_is_taken_away() -> None:
    found = merged_definition(definition(v1=True), definition(v1beta1=True, v1=False, v2=False))
    assert found == definition(v1=True, v1beta1=False, v2=False)
    assert merged_definition(definition(v1=True), None) == definition(v1=True)
