from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.status_patch import bare, status_diff
from kube.objects import Object
from kube.strategicpatch import strategic_merge
from kube.strategies import strategy_for

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "a", "lastProbeTime": None}
FOREIGN = {"type": "example.com/gate", "status": "True"}


@pytest.mark.parametrize(
    ("base", "wanted", "patch"),
    [
        ({"phase": "Running"}, {"phase": "Running"}, {}),
        ({}, {"phase": "Running"}, {"phase": "Running"}),
        ({"reason": "Evicted"}, {"reason": None}, {"reason": None}),
        ({}, {"reason": None}, {}),
        ({}, {"initContainerStatuses": []}, {}),
        ({"containerStatuses": [{"name": "a", "lastState": {}}]}, {"containerStatuses": [{"name": "a", "x": None}]}, {}),
        ({"conditions": [READY]}, {"conditions": [READY | {"lastProbeTime": "z"}]}, {}),
        (
            {"conditions": [READY | {"reason": "Old"}, FOREIGN]},
            {"conditions": [READY]},
            {
                "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "example.com/gate"}],
                "conditions": [READY | {"reason": None}],
            },
        ),
        (
            {"podIPs": [{"ip": "1"}]},
            {"podIPs": [{"ip": "2"}]},
            {"$setElementOrder/podIPs": [{"ip": "2"}], "podIPs": [{"ip": "2"}, {"ip": "1", "$patch": "delete"}]},
        ),
    ],
)
def test_differences(base: Object, wanted: Object, patch: Object) -> None:
    assert status_diff(base, wanted) == patch


WORDS = st.sampled_from(["", "a", "b"])
CONDITIONS = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["Ready", "Initialized", "X"]), "status": WORDS, "reason": WORDS}),
    unique_by=lambda entry: entry["type"],
)
IPS = st.lists(st.sampled_from(["1", "2", "3"]), unique=True).map(lambda ips: [{"ip": ip} for ip in ips])
STATUSES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["Pending", "Running"]),
        "reason": st.sampled_from([None, "Evicted"]),
        "conditions": CONDITIONS,
        "podIPs": IPS,
        "containerStatuses": st.lists(st.fixed_dictionaries({"name": WORDS, "restartCount": st.integers(0, 2)}), max_size=2),
    }
)


@given(STATUSES, STATUSES)
def test_a_merged_patch_leaves_no_difference(base: Object, wanted: Object) -> None:
    patch = status_diff(base, wanted)
    strategy = strategy_for("v1", "Pod")
    assert strategy is not None
    merged = strategic_merge({"status": base}, {"status": patch}, strategy)["status"]
    assert status_diff(merged, wanted) == {}
    assert bare(merged.get("podIPs")) == bare(wanted["podIPs"]) or not wanted["podIPs"]
