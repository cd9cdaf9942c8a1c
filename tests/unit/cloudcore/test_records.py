from __future__ import annotations

import pytest

from beehive.resource import Resource
from cloudcore.edgecontroller.compare import Recorded
from cloudcore.edgecontroller.records import new_record, parse_record


def test_a_record_says_what_kubeedge_says() -> None:
    record = new_record("edge-1", Resource("default", "pod", "web"), "4c0e")
    assert record == {
        "apiVersion": "reliablesyncs.kubeedge.io/v1alpha1",
        "kind": "ObjectSync",
        "metadata": {"name": "edge-1.4c0e", "namespace": "default"},
        "spec": {"objectAPIVersion": "v1", "objectKind": "Pod", "objectName": "web"},
    }
    cluster = new_record("edge-1", Resource("null", "node", "edge-1"), "77")
    assert cluster["kind"] == "ClusterObjectSync"
    assert "namespace" not in cluster["metadata"]


@pytest.mark.parametrize("path", [Resource("default", "pod", "web"), Resource("null", "node", "edge.one")])
def test_a_record_is_read_back_also_with_dots_in_the_name_of_the_node(path: Resource) -> None:
    record = new_record("edge.one", path, "4c0e") | {"status": {"objectResourceVersion": "48213"}}
    assert parse_record(record) == ("edge.one", path, Recorded("4c0e", "48213"))


def test_an_empty_status_counts_as_never_acknowledged() -> None:
    """KubeEdge stalls on such a record for ever."""
    for status in ({}, {"status": None}, {"status": {"objectResourceVersion": ""}}, {"status": {"objectResourceVersion": 5}}):
        parsed = parse_record(new_record("edge-1", Resource("default", "pod", "web"), "4c0e") | status)
        assert parsed is not None
        assert parsed[2].version == "0"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"metadata": None},
        {"metadata": {"name": "nodots"}, "spec": {"objectAPIVersion": "v1", "objectKind": "Pod", "objectName": "x"}},
        {"metadata": {"name": "n.u"}, "spec": None},
        {"metadata": {"name": "n.u"}, "spec": {"objectAPIVersion": "v1", "objectKind": 5, "objectName": "x"}},
        {"metadata": {"name": "n.u"}, "spec": {"objectAPIVersion": "v1", "objectKind": "Pod", "objectName": None}},
        {"metadata": {"name": "n.u"}, "spec": {"objectAPIVersion": "devices.kubeedge.io/v1beta1", "objectKind": "Device"}},
    ],
)
def test_broken_records_and_those_of_other_controllers_are_left_alone(record: dict) -> None:
    assert parse_record(record) is None
