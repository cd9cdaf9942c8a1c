"""Creating objects: what the server adds, what it refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from differential.conversation import Api
from differential.objects import LEASES, config_map, lease, node, nowhere, pod, secret
from differential.scenario import scenario


@scenario
def test_create_and_again(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "v"}))
    api.post("configmaps", config_map("a", {"k": "v"}))
    api.get("configmaps/a")
    api.get("configmaps/b")


@scenario
def test_generate_name(api: Api) -> None:
    api.post("configmaps", {"metadata": {"generateName": "made-"}})
    api.post("configmaps", {"metadata": {"generateName": "Made_"}})
    api.post("configmaps", {"metadata": {"generateName": "made-", "name": "own"}})
    api.post("configmaps", {"metadata": {}})
    api.post("configmaps", {})


@scenario
def test_what_the_creator_cannot_decide(api: Api) -> None:
    wanted = {
        "uid": "00000000-0000-0000-0000-000000000000",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 5,
        "generation": 7,
        "selfLink": "/nowhere",
    }
    api.post("configmaps", config_map("a", **wanted))
    api.post("pods", pod("p", metadata=wanted) | {"status": {"phase": "Running"}})
    api.post("configmaps", config_map("b", resourceVersion="5"))


METADATA: dict[str, dict[str, Any]] = {
    "name": {"name": "Not_Good"},
    "long-name": {"name": "a" * 254},
    "label-key": {"labels": {"a b": "c"}},
    "label-prefix": {"labels": {"A_B/c": "c"}},
    "label-without-prefix": {"labels": {"/x": "y"}},
    "label-slashes": {"labels": {"a/b/c": "d"}},
    "label-value": {"labels": {"a": "b c"}},
    "long-label": {"labels": {"a" * 64: "b" * 64}},
    "annotation": {"annotations": {"a b": "c d"}},
    "long-annotation": {"annotations": {"a": "x" * (256 * 1024)}},
    "finalizer": {"finalizers": ["plain"]},
    "bad-finalizer": {"finalizers": ["a/b c"]},
    "standard-finalizer": {"finalizers": ["orphan", "foregroundDeletion", "kubernetes"]},
    "owner": {"ownerReferences": [{"apiVersion": "v1", "kind": "", "name": "", "uid": ""}]},
    "two-controllers": {
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": one, "uid": one, "controller": True} for one in ("a", "b")
        ]
    },
    "event-owner": {"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}]},
}


@scenario
def test_metadata_that_is_refused(api: Api) -> None:
    for case, metadata in METADATA.items():
        api.post("configmaps", config_map(**{"name": case, **metadata}))


@scenario
def test_names_by_kind(api: Api) -> None:
    api.post("/api/v1/namespaces", {"metadata": {"name": "with.dots"}})
    api.post("/api/v1/nodes", node("Upper"))
    api.post("pods", pod("under_score"))
    api.post(LEASES, lease("slash/ed"))
    api.post("secrets", secret(".."))
    api.post("serviceaccounts", {"metadata": {"name": "a..b"}})


@scenario
def test_dry_run(api: Api) -> None:
    api.post("configmaps?dryRun=All", config_map("a", {"k": "v"}))
    api.get("configmaps/a")
    api.post("configmaps", config_map("a"))
    api.post("configmaps?dryRun=All", config_map("a"))
    api.post("configmaps?dryRun=Some", config_map("b"))
    api.post("configmaps?dryRun=", config_map("c"))
    api.put("configmaps/a?dryRun=All", config_map("a", {"k": "w"}))
    api.patch("configmaps/a?dryRun=All", {"data": {"k": "x"}})
    api.delete("configmaps/a?dryRun=All")
    api.delete("configmaps/a", {"dryRun": ["All"]})
    api.delete("configmaps/a", {"dryRun": ["Nothing"]})
    api.get("configmaps/a")


TEXT = ("body.message", "body.details.causes[0].message")


def with_unknown_fields(name: str, **metadata: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i", "imag": "x"}]
    spec = {"containers": containers, "nodeName": nowhere(), "automountServiceAccountToken": False}
    return {"metadata": {"name": name, **metadata}, "spec": spec, "extra": 1}


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore", "Lenient", ""])
@scenario
def test_unknown_fields(api: Api, validation: str) -> None:
    patched = dict.fromkeys(TEXT, "patched-object-in-texts") if validation == "Strict" else {}
    replaced = dict.fromkeys(TEXT, "pod-update-diff") if validation not in ("Strict", "Lenient") else {}
    api.post(f"pods?fieldValidation={validation}", with_unknown_fields("a", colour="red"))
    api.post("pods", with_unknown_fields("b", colour="red"))
    api.put(f"pods/b?fieldValidation={validation}", with_unknown_fields("b"), differs=replaced)
    api.patch(f"pods/b?fieldValidation={validation}", {"metadata": {"labels": {"a": "b"}, "colour": "blue"}}, differs=patched)
    api.patch(f"pods/b?fieldValidation={validation}", {"spec": {"colour": "blue"}, "other": 1}, "strategic")
    add = [{"op": "add", "path": "/colour", "value": "blue"}, {"op": "add", "path": "/metadata/labels", "value": {"a": "c"}}]
    api.patch(f"pods/b?fieldValidation={validation}", add, "json", differs=patched)


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
@scenario
def test_fields_that_stand_twice(api: Api, validation: str) -> None:
    body = b'{"metadata": {"name": "a", "name": "b", "labels": {"x": "1", "x": "2"}}, "data": {"k": "1"}, "data": {"k": "2"}}'
    api.post(f"configmaps?fieldValidation={validation}", body)
    api.get("configmaps/b")


@scenario
def test_names_of_fields_mind_their_case(api: Api) -> None:
    api.post("configmaps?fieldValidation=Strict", {"metadata": {"name": "a"}, "Data": {"k": "v"}})
    api.post("configmaps", {"metadata": {"Name": "a"}, "data": {"k": "v"}})


@scenario
def test_null_is_absent(api: Api) -> None:
    body = config_map("a", {"k": "v"}, labels=None, annotations=None, finalizers=None, ownerReferences=None)
    api.post("configmaps", body | {"immutable": None, "binaryData": None})
    api.post("configmaps", {"metadata": {"name": "b", "labels": {"a": None}}, "data": {"k": None}})
    api.post("configmaps", {"metadata": {"name": "c", "labels": {}, "annotations": {}}, "data": {}, "binaryData": {}})


@scenario
def test_another_place_or_kind_than_the_path_says(api: Api) -> None:
    text = {"body.message": "decoder-texts"}
    api.post("configmaps", {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}, differs=text)
    api.post("configmaps", {"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "a"}}, differs=text)
    api.post("configmaps", {"kind": "ConfigMap", "metadata": {"name": "a"}})
    api.post("configmaps", {"apiVersion": "v1", "metadata": {"name": "b"}})
    api.post("configmaps", {"kind": "Nothing", "apiVersion": "example.com/v1", "metadata": {"name": "a"}}, differs=text)
    api.post("configmaps", config_map("a", namespace="default"))
    api.post("/api/v1/namespaces/not-there/configmaps", config_map("a"))
    api.post("/api/v1/configmaps", config_map("a"))
    api.post("/api/v1/configmaps", config_map("a", namespace=api.namespace))
    api.post("configmaps/a", config_map("a"))


@scenario
def test_data_kinds(api: Api) -> None:
    api.post("configmaps", config_map("a", {"bad key": "v", "..": "w"}) | {"binaryData": {"k": "%%%"}})
    api.post("configmaps", config_map("a", {"k": "v"}) | {"binaryData": {"k": "AAAA"}})
    api.post("secrets", secret("s", stringData={"a": "plain", "b": "ü"}, data={"a": "eA=="}))
    api.post("secrets", secret("t", data={"a": "not base64"}))
    api.post("secrets", secret("t", data={"bad key": ""}))
    redacted = dict.fromkeys(TEXT, "json-texts")
    api.post("secrets", secret("u", type="kubernetes.io/tls", data={"tls.crt": ""}))
    api.post("secrets", secret("v", type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": "bm8="}), differs=redacted)
    api.post("secrets", secret("w", type="kubernetes.io/basic-auth"))
    api.post("secrets", secret("x", type="kubernetes.io/ssh-auth"))
    api.post("secrets", secret("y", type="kubernetes.io/dockercfg", data={".dockercfg": "e30="}))
    api.post("secrets", secret("z", type="kubernetes.io/service-account-token"))


@scenario
def test_immutable_data(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "v"}) | {"immutable": True})
    api.patch("configmaps/a", {"data": {"k": "w"}})
    api.patch("configmaps/a", {"immutable": False})
    api.patch("configmaps/a", {"metadata": {"labels": {"a": "b"}}})
    api.patch("configmaps/a", {"immutable": None, "data": None, "binaryData": {"x": "AAAA"}})
    api.post("secrets", secret("s", data={"k": "AAAA"}, immutable=True))
    api.patch("secrets/s", {"data": {"k": "AAAB"}})
    api.patch("secrets/s", {"type": "other"})


@scenario
def test_leases(api: Api) -> None:
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.000000Z", "leaseTransitions": 1}
    api.post(LEASES, lease("a", **spec))
    api.post(LEASES, lease("b", leaseDurationSeconds=0, leaseTransitions=-1))
    api.post(LEASES, lease("c", renewTime="2026-01-02T03:04:05Z"))
    api.post(LEASES, lease("d", renewTime="yesterday"))
    found = api.get("coordination.k8s.io/v1/leases/a")
    body = dict(found.body)
    body["spec"] = {**spec, "renewTime": "2026-01-02T03:04:15.123456Z"}
    api.put("coordination.k8s.io/v1/leases/a", body)
    api.put("coordination.k8s.io/v1/leases/a", body)
