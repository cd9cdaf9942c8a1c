"""Requests that make no sense: the server's own Status for each."""

from __future__ import annotations

import json

from differential.conversation import Api
from differential.objects import config_map
from differential.scenario import scenario

PROTOBUF = "application/vnd.kubernetes.protobuf"


@scenario
def test_bodies(api: Api) -> None:
    texts = {"body.message": "json-texts"}
    api.post("configmaps", b"", differs=texts)
    api.post("configmaps", b"{", differs=texts)
    api.post("configmaps", b"[]", differs=texts)
    api.post("configmaps", b"7", differs=texts)
    api.post("configmaps", b'{"metadata": []}', differs=texts)
    api.post("configmaps", b'{"metadata": {"name": "x"}, "data": {"a": 1}}', differs=texts)
    api.post("configmaps", b'{"metadata": {"name": 7}}', differs=texts)
    api.post("configmaps", b'{"metadata": {"name": "utf"}, "data": {"a": "\xff"}}', differs="not-utf-8")


@scenario
def test_sizes(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "x" * (1024 * 1024 + 1)}))
    api.post("configmaps", config_map("a", {"k": "x" * (3 * 1024 * 1024)}))
    api.post("configmaps", config_map("b", {"k": "x" * 1024 * 1000}), keep=False)
    api.patch("configmaps/b", {"data": {"l": "x" * 100_000}})


@scenario
def test_deeply_nested_bodies(api: Api) -> None:
    deep = b'{"metadata": {"name": "a"}, "data": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
    api.post("configmaps", deep, differs={"body.message": "json-texts"})
    api.post("configmaps", config_map("a"))
    api.patch("configmaps/a", b"[" * 20_000, "json", differs={"body.message": "json-texts"})


@scenario
def test_media_types(api: Api) -> None:
    text = {"body.message": "media-types"}
    body = json.dumps(config_map("a")).encode()
    api.post("configmaps", body, media="text/plain", differs=text)
    api.post("configmaps", body, media="application/json; charset=utf-8")
    api.post("configmaps", body, media=None)
    api.get("configmaps/a", accept="application/xml", differs=text)
    api.get("configmaps/a", accept="application/xml, application/json")
    api.get("configmaps/a", accept="*/*")
    api.get("configmaps/a", accept="application/*", differs=text)


@scenario
def test_paths(api: Api) -> None:
    texts = {"body": "not-found-texts", "headers": "not-found-texts"}
    api.get("/nope", differs=texts)
    api.get("/apis/example.com/v1/things", differs=texts)
    api.get("/apis/example.com", differs=texts)
    api.get("/api/v2/pods")
    api.get("/api/v1/nothing")
    api.get("/api/v1/namespaces/default/nothing/x")
    api.get("/api/v1/namespaces/default/nodes")
    api.get("/apis/apps/v1/nothing")
    api.get("configmaps/a/b/c")
    api.get("configmaps/a%2Fb")


@scenario
def test_who_is_not_known(api: Api) -> None:
    api.get("configmaps", anonymous=True, differs="no-anonymous")
    api.get("configmaps", anonymous=True, headers={"Authorization": "Bearer nonsense"})
    api.get("/version", anonymous=True, keep=False)


@scenario
def test_what_an_account_may(api: Api) -> None:
    path = "serviceaccounts/default/token"
    made = api.post(path, {"spec": {"expirationSeconds": 600}}, differs={"body.spec": "token-audiences"})
    api.post("serviceaccounts/none/token", {"spec": {}})
    api.post(path, {"spec": {"expirationSeconds": 5}})
    token = {"Authorization": f"Bearer {made['status']['token']}"}
    api.get("configmaps", anonymous=True, headers=token)
    api.get("configmaps/a", anonymous=True, headers=token)
    api.post("configmaps", config_map("a"), anonymous=True, headers=token)
    api.get("/api/v1/nodes", anonymous=True, headers=token)
    api.delete("coordination.k8s.io/v1/leases/x", anonymous=True, headers=token)
    ask = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
    ask["spec"] = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": api.namespace}}  # type: ignore[assignment]
    may = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for headers in (token, {}):
        found = api.post(may, ask, anonymous=bool(headers), headers=headers, keep=False)
        api.note("may it?", [found.code, found["kind"], found["status"]["allowed"]])
