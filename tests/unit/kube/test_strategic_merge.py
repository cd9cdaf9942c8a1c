"""Strategic merge patches; the expected results were read off kubectl 1.32 (``kubectl patch --local``)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.patch import MalformedPatch, PatchError, strategic_merge
from kube.strategies import Strategy, strategy_for


def strategy(kind: str = "Pod") -> Strategy:
    found = strategy_for("v1", kind)
    assert found is not None
    return found


def patched(document: dict[str, Any], patch: Any, kind: str = "Pod") -> dict[str, Any]:
    before, asked = copy.deepcopy(document), copy.deepcopy(patch)
    result = strategic_merge(document, patch, strategy(kind))
    assert (document, patch) == (before, asked)
    return result


def containers(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(found)} | more}


def test_containers_merge_by_name_and_new_ones_come_first() -> None:
    before = containers({"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}]}, {"name": "b", "image": "2"})
    patch = containers({"name": "a", "image": "3", "env": [{"name": "y", "value": "2"}]}, {"name": "c"})
    assert patched(before, patch) == containers(
        {"name": "a", "image": "3", "env": [{"name": "y", "value": "2"}, {"name": "x", "value": "1"}]},
        {"name": "c"},
        {"name": "b", "image": "2"},
    )


def test_an_order_that_is_set() -> None:
    before = containers({"name": "a"}, {"name": "b"}, {"name": "c"})
    order = {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}
    assert patched(before, {"spec": order}) == containers({"name": "c"}, {"name": "a"}, {"name": "b"})


def test_what_the_order_does_not_name_keeps_its_place() -> None:
    before = containers({"name": "injected"}, {"name": "a"}, {"name": "b"})
    patch = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "2"}]}}
    assert patched(before, patch) == containers({"name": "injected"}, {"name": "b", "image": "2"}, {"name": "a"})


def test_an_element_is_deleted() -> None:
    assert patched(containers({"name": "a"}, {"name": "b"}), containers({"name": "a", "$patch": "delete"})) == containers(
        {"name": "b"}
    )


def test_a_list_is_replaced() -> None:
    before = {"status": {"addresses": [{"type": "InternalIP", "address": "1"}, {"type": "Hostname", "address": "h"}]}}
    patch = {"status": {"addresses": [{"type": "InternalIP", "address": "2"}, {"$patch": "replace"}]}}
    assert patched(before, patch, "Node") == {"status": {"addresses": [{"type": "InternalIP", "address": "2"}]}}


def test_a_map_is_replaced_or_emptied() -> None:
    before = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    assert patched(before, {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}) == {"metadata": {"labels": {"c": "3"}}}
    assert patched(before, {"metadata": {"labels": {"$patch": "delete"}}}) == {"metadata": {"labels": {}}}


def test_null_removes() -> None:
    assert patched({"status": {"reason": "x", "phase": "y"}}, {"status": {"reason": None, "none": None}}) == {
        "status": {"phase": "y"}
    }


def test_finalizers_are_a_set() -> None:
    before = {"metadata": {"finalizers": ["a", "b"]}}
    assert patched(before, {"metadata": {"finalizers": ["b", "c"]}})["metadata"]["finalizers"] == ["a", "b", "c"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"], "finalizers": ["c"]}}
    assert patched(before, patch)["metadata"]["finalizers"] == ["c", "b"]


def test_a_volume_changes_its_kind() -> None:
    before = {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}}
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}}
    assert patched(before, patch) == {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}


@pytest.mark.parametrize(("kind", "field"), [("Pod", "tolerations"), ("Node", "taints")])
def test_tolerations_and_taints_are_replaced_as_a_whole(kind: str, field: str) -> None:
    before = {"spec": {field: [{"key": "a"}, {"key": "b"}]}}
    assert patched(before, {"spec": {field: [{"key": "b"}]}}, kind) == {"spec": {field: [{"key": "b"}]}}


def test_directives_are_never_stored() -> None:
    env = [{"name": "x", "$patch": "delete"}, {"name": "y", "value": None}]
    patch = {
        "spec": {
            "containers": [{"name": "a", "env": env}],
            "volumes": [{"name": "v", "$retainKeys": ["name"]}],
            "securityContext": {"$patch": "replace"},
        }
    }
    assert patched({}, patch) == {
        "spec": {"containers": [{"name": "a", "env": [{"name": "y"}]}], "volumes": [{"name": "v"}], "securityContext": {}}
    }


def test_the_status_that_an_edge_sends() -> None:
    before = {
        "metadata": {"uid": "u"},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False", "reason": "r"}],
            "containerStatuses": [{"name": "a"}, {"name": "b"}],
        },
    }
    patch = {
        "metadata": {"uid": "u"},
        "status": {
            "$setElementOrder/conditions": [{"type": "Initialized"}, {"type": "Ready"}, {"type": "PodScheduled"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": None}, {"type": "Initialized", "status": "True"}],
            "containerStatuses": [{"name": "a"}],
            "phase": "Running",
            "podIPs": [{"ip": "172.17.0.2"}],
        },
    }
    assert patched(before, patch)["status"] == {
        "phase": "Running",
        "conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "True"},
            {"type": "PodScheduled", "status": "True"},
        ],
        "containerStatuses": [{"name": "a"}],
        "podIPs": [{"ip": "172.17.0.2"}],
    }


@pytest.mark.parametrize(
    ("patch", "fault"),
    [
        ([], "cannot unmarshal array into Go value of type map"),
        (None, "cannot unmarshal null"),
        (containers({"image": "1"}), "does not contain declared merge key: name"),
        (containers({"name": None}), "does not contain declared merge key: name"),
        ({"spec": {"containers": ["a"]}}, "does not contain declared merge key: name"),
        ({"metadata": {"$patch": "twist"}}, "unknown patch type found: twist"),
        ({"metadata": {"$patch": ["replace"]}}, "unknown patch type found"),
        ({"metadata": {"$setElementOrder/finalizers": 5}}, "expected a list for"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": {}}}, "expected a list for"),
        (
            {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}]}},
            "not present in the \\$retainKeys list",
        ),
    ],
)
def test_patches_that_cannot_be_used(patch: Any, fault: str) -> None:
    with pytest.raises(MalformedPatch, match=fault):
        patched({"spec": {"containers": [{"name": "a"}], "volumes": [{"name": "v"}]}}, patch)


def test_a_large_list_takes_linear_work() -> None:
    before = {"metadata": {"finalizers": [f"f/{number}" for number in range(20_000)]}}
    patch = {"metadata": {"finalizers": [f"g/{number}" for number in range(20_000)]}}
    assert len(patched(before, patch)["metadata"]["finalizers"]) == 40_000


def test_custom_resources_have_no_strategy() -> None:
    assert strategy_for("reliablesyncs.kubeedge.io/v1alpha1", "ObjectSync") is None


_leaf = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b", "replace", "delete", "merge"])
_fields = st.sampled_from(
    ["spec", "metadata", "containers", "name", "env", "finalizers", "$patch", "$retainKeys", "$setElementOrder/containers",
     "$setElementOrder/finalizers", "$deleteFromPrimitiveList/finalizers"]
)  # fmt: skip
_any = st.recursive(_leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_fields, inner, max_size=4), max_leaves=12)
_documents = st.dictionaries(_fields.filter(lambda field: not field.startswith("$")), _any, max_size=3)
_named = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"image": st.sampled_from("12")}),
    max_size=4,
    unique_by=lambda entry: entry["name"],
)


@given(_documents, _any)
def test_any_patch_applies_or_says_why_and_harms_nothing(document: dict[str, Any], patch: Any) -> None:
    try:
        patched(document, patch)
    except PatchError as error:
        assert str(error)


@given(_named, _named)
def test_merging_lists_keeps_every_element_once_and_is_idempotent(before: list[Any], wanted: list[Any]) -> None:
    once = patched(containers(*before), containers(*wanted))
    names = [found["name"] for found in once["spec"]["containers"]]
    assert sorted(names) == sorted({entry["name"] for entry in [*before, *wanted]})
    assert patched(once, containers(*wanted)) == once
