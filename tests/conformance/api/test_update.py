"""Replacing objects, their status, and what counts as a generation."""

from __future__ import annotations

from differential.conversation import Api
from differential.objects import annotated, config_map, node, pod
from differential.scenario import scenario

TWICE = {"body.details.causes": "doubled-causes"}
TEXT = ("body.message", "body.details.causes[0].message")
PATCHED = dict.fromkeys(TEXT, "patched-object-in-texts")
DIFF = dict.fromkeys(TEXT, "pod-update-diff")
NODE = {"body.spec.taints": "node-taints", "body.metadata.annotations": "node-ttl"}


def delete_node(api: Api) -> None:
    api.delete(f"/api/v1/nodes/{api.namespace}", keep=False)


@scenario
def test_versions_decide_conflicts(api: Api) -> None:
    first = api.post("configmaps", config_map("a", {"k": "1"}))
    api.put("configmaps/a", config_map("a", {"k": "2"}, resourceVersion=first.version))
    api.put("configmaps/a", config_map("a", {"k": "3"}, resourceVersion=first.version))
    api.put("configmaps/a", config_map("a", {"k": "4"}))
    api.put("configmaps/a", config_map("a", {"k": "5"}, resourceVersion="0"))
    api.put("configmaps/a", config_map("a", {"k": "6"}, resourceVersion="nonsense"))
    api.put("configmaps/a", config_map("a", {"k": "6"}, resourceVersion="-4"))
    api.put("configmaps/a", config_map("a", {"k": "6"}, resourceVersion="999999999999"))
    api.get("configmaps/a")


@scenario
def test_identities_decide_conflicts(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "1"}))
    other = "00000000-0000-0000-0000-000000000000"
    api.put("configmaps/a", config_map("a", {"k": "2"}, uid=other))
    api.patch("configmaps/a", {"metadata": {"uid": other}, "data": {"k": "2"}}, differs=TWICE)
    api.patch("configmaps/a", {"metadata": {"uid": other}, "data": {"k": "2"}}, "strategic", differs=TWICE)
    api.patch("configmaps/a", [{"op": "replace", "path": "/metadata/uid", "value": other}], "json", differs=TWICE)
    api.put("configmaps/nothing", config_map("nothing", uid=other))
    api.patch("configmaps/a", {"metadata": {"uid": None}, "data": {"k": "3"}})
    api.patch("configmaps/a", {"metadata": {"uid": "", "resourceVersion": ""}, "data": {"k": "4"}})
    api.patch("configmaps/a", {"metadata": {"resourceVersion": "7"}, "data": {"k": "5"}})
    api.patch("configmaps/a", {"metadata": {"resourceVersion": "7", "uid": other}, "data": {"k": "6"}})
    api.get("configmaps/a")


@scenario
def test_what_is_not_there(api: Api) -> None:
    api.put("configmaps/a", config_map("a"))
    api.put("configmaps/a", config_map("a", resourceVersion="5"))
    api.patch("configmaps/a", {"data": {"k": "v"}})
    api.patch("pods/p/status", {"status": {"phase": "Running"}})
    api.put("pods/p/status", pod("p"))
    api.delete("configmaps/a")


@scenario
def test_nothing_changes(api: Api) -> None:
    made = api.post("configmaps", config_map("a", {"k": "1"}, labels={"a": "b"}))
    api.put("configmaps/a", config_map("a", {"k": "1"}, labels={"a": "b"}))
    api.patch("configmaps/a", {})
    api.patch("configmaps/a", [], "json")
    api.put("configmaps/a", made.body)
    api.patch("configmaps/a", {"metadata": {"annotations": {}}})


@scenario
def test_what_an_update_cannot_change(api: Api) -> None:
    made = api.post("configmaps", config_map("a", {"k": "1"}))
    metadata = dict(made["metadata"])
    api.put("configmaps/a", config_map("b"))
    api.put("configmaps/a", config_map("a", namespace="default"))
    api.put("configmaps/a", {"data": {"k": "nameless"}})
    api.put("configmaps/a", {"metadata": {**metadata, "creationTimestamp": "2001-01-01T00:00:00Z"}, "data": {}})
    api.put("configmaps/a", {"metadata": {"name": "a", "deletionTimestamp": "2001-01-01T00:00:00Z"}}, differs=TWICE)
    api.put("configmaps/a", {"metadata": {"name": "a", "generation": 9, "generateName": "x", "selfLink": "/x"}})
    api.patch("configmaps/a", {"metadata": {"name": "b"}})
    api.patch("configmaps/a", {"metadata": {"namespace": "default"}})
    api.patch("configmaps/a", {"kind": "Secret"}, differs=PATCHED)
    api.patch("configmaps/a", {"apiVersion": "v2"}, differs=PATCHED)
    api.patch("configmaps/a", {"metadata": {"name": None}})
    api.patch("configmaps/a", {"metadata": None})
    api.get("configmaps/a")


@scenario
def test_metadata_of_updates_is_checked(api: Api) -> None:
    api.post("configmaps", config_map("a"))
    api.patch("configmaps/a", {"metadata": {"labels": {"a b": "c"}}}, differs=TWICE)
    api.patch("configmaps/a", {"metadata": {"annotations": {"a b": "c"}}}, differs=TWICE)
    api.patch("configmaps/a", {"metadata": {"finalizers": ["plain"]}}, differs=TWICE)
    api.patch("configmaps/a", {"metadata": {"finalizers": ["example.com/a", "example.com/a"]}})
    api.patch("configmaps/a", {"metadata": {"ownerReferences": [{"name": "x"}]}}, differs=TWICE)
    api.patch("configmaps/a", {"metadata": {"finalizers": None}})


@scenario
def test_the_status_of_a_pod(api: Api) -> None:
    api.post("pods", pod("p"))
    api.put("pods/p", pod("p") | {"status": {"phase": "Running"}}, differs=DIFF)
    api.put("pods/p/status", pod("p", node="other") | {"status": {"phase": "Running", "podIP": "10.1.2.3"}})
    api.patch("pods/p/status", {"metadata": {"labels": {"a": "b"}}, "status": {"message": "hello"}})
    api.patch("pods/p/status", {"spec": {"nodeName": "z"}, "status": {"reason": "because"}}, "strategic")
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "lastProbeTime": None}
    api.patch("pods/p/status", {"status": {"conditions": [condition]}}, "strategic")
    api.patch("pods/p/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "strategic")
    api.patch("pods/p/status", {"status": {"conditions": None}})
    api.patch("pods/p/status", {"status": {"phase": "Flying"}})
    api.patch("pods/p/status", {"status": {"podIP": "nonsense"}})
    api.get("pods/p/status")
    api.delete("pods/p/status")
    api.post("pods/p/status", {})
    api.get("configmaps/p/status")
    api.get("pods/p/nothing")


@scenario(finish=delete_node, differs=NODE)
def test_the_status_of_a_node(api: Api) -> None:
    at = f"/api/v1/nodes/{api.namespace}"
    api.post("/api/v1/nodes", node(api.namespace) | {"status": {"capacity": {"cpu": "4", "memory": "1Gi"}}})
    annotated(api, at)
    api.patch(f"{at}/status", {"status": {"capacity": {"cpu": "2", "memory": "1Gi", "pods": 110}}}, "strategic")
    address = {"type": "InternalIP", "address": "10.0.0.1"}
    api.patch(f"{at}/status", {"status": {"addresses": [address]}}, "strategic")
    api.patch(f"{at}/status", {"status": {"addresses": [{"type": "Hostname", "address": "n"}]}}, "strategic")
    api.patch(f"{at}/status", {"status": {"capacity": {"cpu": "many"}}}, "strategic")
    api.patch(at, {"status": {"phase": "Running"}, "spec": {"unschedulable": True}})
    api.patch(at, {"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}})
    api.patch(at, {"spec": {"podCIDR": "10.8.0.0/24", "podCIDRs": ["10.8.0.0/24"]}})
    api.patch(at, {"spec": {"providerID": "a"}})
    api.patch(at, {"spec": {"providerID": "b"}})


@scenario
def test_generations(api: Api) -> None:
    api.post("pods", pod("p"))
    api.patch("pods/p", {"spec": {"activeDeadlineSeconds": 60}})
    api.patch("pods/p", {"metadata": {"labels": {"a": "b"}}})
    api.patch("pods/p/status", {"status": {"phase": "Running"}})
    sync = {
        "apiVersion": "reliablesyncs.kubeedge.io/v1alpha1",
        "kind": "ObjectSync",
        "metadata": {"name": "s"},
        "spec": {"objectName": "x", "objectKind": "Pod"},
        "status": {"objectResourceVersion": "1"},
    }
    path = "reliablesyncs.kubeedge.io/v1alpha1/objectsyncs"
    api.post(path, sync)
    api.patch(f"{path}/s", {"spec": {"objectName": "y"}})
    api.patch(f"{path}/s", {"metadata": {"labels": {"a": "b"}}})
    api.patch(f"{path}/s/status", {"spec": {"objectName": "z"}, "status": {"objectResourceVersion": "2"}})
    api.patch(f"{path}/s", {"status": {"objectResourceVersion": "3"}})
    api.patch(f"{path}/s", {"spec": {"objectName": "y"}}, "strategic", differs={"body.message": "no-server-side-apply"})
    api.get(f"{path}/s/status")


@scenario
def test_what_may_change_in_a_pod(api: Api) -> None:
    api.post("pods", pod("p", terminationGracePeriodSeconds=5))
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "busybox:2"}]
    api.patch("pods/p", image, "json")
    api.patch("pods/p", {"spec": {"nodeName": "other"}}, differs=DIFF)
    api.patch("pods/p", {"spec": {"tolerations": []}})
    api.patch("pods/p", {"spec": {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute"}]}}, "strategic")
    api.patch("pods/p", {"spec": {"containers": [{"name": "d", "image": "x"}]}}, "strategic")
    api.patch("pods/p", {"spec": {"containers": [{"name": "c", "image": ""}]}}, "strategic", differs=TWICE)
    api.patch("pods/p", {"spec": {"activeDeadlineSeconds": 10}})
    api.patch("pods/p", {"spec": {"activeDeadlineSeconds": 20}})
    api.patch("pods/p", {"spec": {"activeDeadlineSeconds": None}})
    api.patch("pods/p", {"spec": {"terminationGracePeriodSeconds": 6}}, differs=DIFF)
