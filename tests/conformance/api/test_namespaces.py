"""Namespaces and what becomes of them; events; tables."""

from __future__ import annotations

from typing import Any

import pytest
from differential.conversation import Api
from differential.objects import LEASES, config_map, lease, pod
from differential.scenario import scenario

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
COLUMNS = {"body.columnDefinitions[*].description": "column-descriptions"}


@scenario
def test_a_namespace_goes_when_it_is_empty(api: Api) -> None:
    name = f"{api.namespace}-b"
    path = f"/api/v1/namespaces/{name}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    api.post(f"{path}/configmaps", config_map("held", finalizers=["example.com/a"]))
    api.post(f"{path}/configmaps", config_map("free"))
    api.delete(path)
    api.until(f"{path}/configmaps/free", lambda answer: answer.code == 404)
    api.post(f"{path}/configmaps", config_map("late"))
    api.patch(f"{path}/configmaps/held", {"metadata": {"finalizers": None}}, keep=False)
    api.until(path, lambda answer: answer.code == 404)


@scenario
def test_namespaces_that_stay(api: Api) -> None:
    api.delete("/api/v1/namespaces/default")
    api.delete("/api/v1/namespaces/kube-system")
    api.patch(f"/api/v1/namespaces/{api.namespace}", {"metadata": {"labels": {"kubernetes.io/metadata.name": "x"}}})
    api.get(f"/api/v1/namespaces/{api.namespace}/status")


@scenario
def test_what_is_in_a_new_namespace(api: Api) -> None:
    api.get("serviceaccounts")
    api.get("secrets")
    found = (
        api.until("configmaps?limit=5", lambda answer: answer["items"], keep=False) if api.server.name == "kubernetes" else None
    )
    api.note("ConfigMaps", [one["metadata"]["name"] for one in found["items"]] if found else [], differs="no-root-ca")


@scenario
def test_events(api: Api) -> None:
    about = {"kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": api.namespace}
    body: dict[str, Any] = {
        "metadata": {"name": "e"},
        "involvedObject": about,
        "reason": "Testing",
        "message": "hello",
        "type": "Normal",
    }
    api.post("events", body | {"source": {"component": "test"}, "count": 1})
    api.post("events", body | {"metadata": {"name": "f"}, "involvedObject": {**about, "namespace": "default"}})
    api.get("events?fieldSelector=involvedObject.name=p,reason=Testing")
    api.patch("events/e", {"count": 2})
    api.delete("events?fieldSelector=reason=Testing")


@pytest.mark.parametrize("plural", ["configmaps", "secrets", "serviceaccounts", "pods", LEASES])
@scenario
def test_tables(api: Api, plural: str) -> None:
    api.post("configmaps", config_map("a", {"k": "v"}), keep=False)
    api.post("secrets", {"metadata": {"name": "a"}, "stringData": {"k": "v"}}, keep=False)
    api.post("serviceaccounts", {"metadata": {"name": "a"}}, keep=False)
    api.post("pods", pod("a"), keep=False)
    api.post(LEASES, lease("a", holderIdentity="me"), keep=False)
    api.get(f"{plural}?fieldSelector=metadata.name=a", accept=TABLE, differs=COLUMNS)
    api.get(f"{plural}/a", accept=TABLE, differs=COLUMNS)
    api.get(f"{plural}/a?includeObject=Object", accept=TABLE, differs=COLUMNS)
    api.get(f"{plural}/a?includeObject=None", accept=TABLE, differs=COLUMNS)
    api.get(f"{plural}/a", accept=PARTIAL)
    api.get(f"{plural}?fieldSelector=metadata.name=a", accept=PARTIAL_LIST)


@scenario
def test_tables_of_the_cluster(api: Api) -> None:
    api.get(f"/api/v1/namespaces/{api.namespace}", accept=TABLE, differs=COLUMNS)
    api.post("/api/v1/nodes", {"metadata": {"name": api.namespace}}, keep=False)
    api.get(f"/api/v1/nodes/{api.namespace}?includeObject=None", accept=TABLE, differs=COLUMNS)
    api.delete(f"/api/v1/nodes/{api.namespace}", keep=False)


@scenario
def test_what_kubernetes_adds(api: Api) -> None:
    """Things that the other scenarios leave aside."""
    api.post("configmaps", config_map("a", {"k": "v"}), raw=True, differs={"body.metadata.managedFields": "no-server-side-apply"})
    body = pod("p")
    del body["spec"]["automountServiceAccountToken"]
    token = {"body.spec.volumes": "no-token-volume", "body.spec.containers[0].volumeMounts": "no-token-volume"}
    api.post("pods", body, differs=token)
