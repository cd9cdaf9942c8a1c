"""Patches of all kinds, also those that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from differential.conversation import Api
from differential.objects import annotated, config_map, node, pod
from differential.scenario import scenario

JSON_PATCHES: dict[str, Any] = {
    "add": [{"op": "add", "path": "/data/new", "value": "1"}],
    "add-nested": [{"op": "add", "path": "/metadata/labels/x", "value": "1"}],
    "replace": [{"op": "replace", "path": "/data/k", "value": "w"}],
    "replace-missing": [{"op": "replace", "path": "/data/none", "value": "w"}],
    "remove": [{"op": "remove", "path": "/data/k"}],
    "remove-missing": [{"op": "remove", "path": "/data/none"}],
    "remove-below-nothing": [{"op": "remove", "path": "/none/none"}],
    "move": [{"op": "move", "from": "/data/k", "path": "/data/l"}],
    "move-missing": [{"op": "move", "from": "/data/none", "path": "/data/l"}],
    "copy": [{"op": "copy", "from": "/data/k", "path": "/data/l"}],
    "copy-missing": [{"op": "copy", "from": "/data/none", "path": "/data/l"}],
    "test": [{"op": "test", "path": "/data/k", "value": "v"}, {"op": "replace", "path": "/data/k", "value": "w"}],
    "test-fails": [{"op": "test", "path": "/data/k", "value": "x"}, {"op": "replace", "path": "/data/k", "value": "w"}],
    "test-missing": [{"op": "test", "path": "/data/none", "value": "x"}],
    "test-null": [{"op": "test", "path": "/data/none", "value": None}],
    "escapes": [
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/a~1b", "value": "c~0"},
    ],
    "unknown-operation": [{"op": "fly", "path": "/data"}],
    "no-operation": [{"path": "/data/k", "value": "x"}],
    "no-path": [{"op": "add", "value": "x"}],
    "no-value": [{"op": "add", "path": "/data/x"}],
    "object": {"op": "add", "path": "/data/x", "value": "y"},
    "whole": [{"op": "replace", "path": "", "value": {"data": {}}}],
    "relative": [{"op": "add", "path": "data/x", "value": "y"}],
    "wrong-type": [{"op": "replace", "path": "/data", "value": "text"}],
    "number": [{"op": "replace", "path": "/data/k", "value": 5}],
    "text": "text",
    "null": b"null",
    "array-of-numbers": [1],
}


TEXT = ("body.message", "body.details.causes[0].message")
PATCHED = dict.fromkeys(TEXT, "patched-object-in-texts")
DECODED = dict.fromkeys(TEXT, "decoder-texts")
JSON_KNOWN: dict[str, Any] = {
    "copy-missing": "json-patch-leniency",
    "relative": "json-patch-leniency",
    "whole": {"headers.warning": "json-patch-leniency"},
    "wrong-type": PATCHED,
    "number": PATCHED,
}


@scenario
def test_json_patches(api: Api) -> None:
    for case, patch in JSON_PATCHES.items():
        api.post("configmaps", config_map(case, {"k": "v"}, labels={"l": "m"}), keep=False)
        api.patch(f"configmaps/{case}", patch, "json", differs=JSON_KNOWN.get(case, ""))


@scenario
def test_json_patches_of_lists(api: Api) -> None:
    api.post("configmaps", config_map("a", finalizers=["example.com/1", "example.com/2"]), keep=False)
    at = "/metadata/finalizers"
    for patch in (
        [{"op": "add", "path": f"{at}/1", "value": "example.com/x"}],
        [{"op": "add", "path": f"{at}/-", "value": "example.com/y"}],
        [{"op": "remove", "path": f"{at}/0"}],
        [{"op": "replace", "path": f"{at}/1", "value": "example.com/z"}],
        [{"op": "remove", "path": f"{at}/9"}],
        [{"op": "add", "path": f"{at}/9", "value": "example.com/q"}],
        [{"op": "add", "path": f"{at}/-1", "value": "example.com/q"}],
        [{"op": "replace", "path": f"{at}/x", "value": "example.com/q"}],
        [{"op": "test", "path": f"{at}/0", "value": "example.com/nope"}],
        [{"op": "move", "from": f"{at}/0", "path": f"{at}/1"}],
        [{"op": "remove", "path": at}],
    ):
        api.patch("configmaps/a", patch, "json")


@scenario
def test_too_many_operations(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "v"}), keep=False)
    api.patch("configmaps/a", [{"op": "test", "path": "/data/k", "value": "v"}] * 10_001, "json")


MERGE_PATCHES: dict[str, Any] = {
    "add": {"data": {"l": "w"}},
    "remove": {"data": {"k": None}},
    "remove-missing": {"data": {"none": None}, "nothing": None},
    "replace-list": {"metadata": {"finalizers": ["example.com/b"]}},
    "remove-block": {"data": None},
    "number": {"data": {"k": 5}},
    "wrong-type": {"data": "text"},
    "list": [],
    "text": "text",
    "null": b"null",
    "empty": b"",
    "broken": b"{",
    "labels": {"metadata": {"labels": {"l": None, "n": "o"}}},
    "directive": {"$patch": "delete"},
    "name": {"metadata": {"name": "name", "namespace": ""}},
}


@pytest.mark.parametrize("kind", ["merge", "strategic"])
@scenario
def test_merge_patches(api: Api, kind: str) -> None:
    for case, patch in MERGE_PATCHES.items():
        api.post("configmaps", config_map(case, {"k": "v"}, labels={"l": "m"}, finalizers=["example.com/a"]), keep=False)
        known = (PATCHED if kind == "merge" else DECODED) if case in ("number", "wrong-type") else ""
        api.patch(f"configmaps/{case}", patch, kind, differs=known)
        api.patch(f"configmaps/{case}", {"metadata": {"finalizers": None}}, keep=False)


STRATEGIC: dict[str, Any] = {
    "image": {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}},
    "toleration": {"spec": {"tolerations": [{"key": "new", "operator": "Exists"}]}},
    "delete-without-key": {"spec": {"containers": [{"$patch": "delete"}]}},
    "delete-missing": {"spec": {"containers": [{"name": "none", "$patch": "delete"}]}},
    "no-key": {"spec": {"containers": [{"image": "busybox:2"}]}},
    "retain-keys": {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}},
    "element-order": {
        "spec": {"$setElementOrder/containers": [{"name": "c"}], "containers": [{"name": "c", "image": "busybox:3"}]}
    },
    "element-order-misses": {
        "spec": {"$setElementOrder/containers": [{"name": "x"}], "containers": [{"name": "c", "image": "busybox:3"}]}
    },
    "replace-labels": {"metadata": {"labels": {"$patch": "replace", "only": "this"}}},
    "delete-labels": {"metadata": {"labels": {"$patch": "delete"}}},
    "unknown-directive": {"metadata": {"labels": {"$patch": "explode"}}},
    "directive-number": {"metadata": {"labels": {"$patch": 1}}},
    "delete-finalizer": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}},
    "delete-from-number": {"metadata": {"$deleteFromPrimitiveList/finalizers": 1}},
    "add-finalizer": {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}},
    "order-of-finalizers": {
        "metadata": {
            "$setElementOrder/finalizers": ["example.com/c", "example.com/a"],
            "finalizers": ["example.com/c"],
        }
    },
    "owners": {"metadata": {"ownerReferences": [{"uid": "u", "name": "n", "kind": "K", "apiVersion": "v1"}]}},
    "delete-owner": {"metadata": {"ownerReferences": [{"uid": "o", "$patch": "delete"}]}},
    "list-of-texts": {"spec": {"containers": ["text"]}},
    "object-for-list": {"spec": {"containers": {"name": "c"}}},
    "list-for-object": {"metadata": []},
    "null-list": {"spec": {"containers": None}},
    "replace-spec": {"spec": {"$patch": "replace"}},
    "unknown-field": {"spec": {"nonsense": {"a": 1}}},
}


STRATEGIC_KNOWN: dict[str, Any] = dict.fromkeys(
    (
        "delete-without-key",
        "no-key",
        "element-order-misses",
        "unknown-directive",
        "directive-number",
        "delete-from-number",
        "list-of-texts",
    ),
    "strategic-patch-faults",
)
STRATEGIC_KNOWN |= {"object-for-list": DECODED, "list-for-object": DECODED}


@scenario
def test_strategic_merge_patches(api: Api) -> None:
    owner = {"uid": "o", "name": "owner", "kind": "Other", "apiVersion": "example.com/v1"}
    metadata = {"labels": {"l": "m", "n": "o"}, "finalizers": ["example.com/a"], "ownerReferences": [owner]}
    volume = {"name": "v", "emptyDir": {"medium": "Memory"}}
    for case, patch in STRATEGIC.items():
        api.post("pods", pod(case, metadata=metadata, volumes=[volume]), keep=False)
        api.patch(f"pods/{case}", patch, "strategic", differs=STRATEGIC_KNOWN.get(case, ""))
        api.patch(f"pods/{case}", {"metadata": {"finalizers": None}}, keep=False)


def delete_node(api: Api) -> None:
    api.delete(f"/api/v1/nodes/{api.namespace}", keep=False)


@scenario(finish=delete_node, differs={"body.spec.taints": "node-taints", "body.metadata.annotations": "node-ttl"})
def test_strategic_merge_patches_of_taints(api: Api) -> None:
    """Taints have no merge key in fact: the list is replaced."""
    at = f"/api/v1/nodes/{api.namespace}"
    api.post("/api/v1/nodes", node(api.namespace, taints=[{"key": "a", "effect": "NoSchedule"}]))
    annotated(api, at)
    api.patch(at, {"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}}, "strategic")
    never = {"spec": {"taints": [{"key": "b", "effect": "Never"}]}}
    api.patch(at, never, "strategic", differs={"body.details.causes": "doubled-causes"})
    api.patch(at, {"spec": {"taints": None}}, "strategic")


@scenario
def test_forms_of_patches(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "v"}))
    for media in ("application/json", "text/plain", "application/yaml", "application/nothing+json"):
        api.patch("configmaps/a", b"{}", media)
    api.request("PATCH", "configmaps/a", b"{}", media=None)
    api.patch("configmaps/a", {"data": {"k": "w"}}, "application/merge-patch+json; charset=utf-8")
    api.patch("configmaps/a", b"{}\n\n", "merge")
    api.patch("configmaps/a", b"{} trailing", "merge", differs={"body.message": "json-texts"})
    api.patch("configmaps/a", b"\xff", "merge", differs={"body.message": "json-texts"})
    api.patch("configmaps/a", b'{"data": {"k": "\xff"}}', "merge", differs="not-utf-8")
    sync = "reliablesyncs.kubeedge.io/v1alpha1/objectsyncs"
    api.post(sync, {"apiVersion": "reliablesyncs.kubeedge.io/v1alpha1", "kind": "ObjectSync", "metadata": {"name": "s"}})
    api.patch(f"{sync}/s", {"spec": {"objectName": "x"}}, "strategic", differs={"body.message": "no-server-side-apply"})
    api.patch(f"{sync}/s", {"spec": {"objectName": "x"}}, "merge")


@scenario
def test_server_side_apply(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    api.patch("configmaps/a?fieldManager=test", body, "apply", differs="no-server-side-apply")
