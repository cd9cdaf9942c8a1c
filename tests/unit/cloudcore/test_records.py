from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from beehive.resource import Resource
from cloudcore.edgecontroller.compare import Recorded
from cloudcore.edgecontroller.records import Records, new_record, parse_record
from kube.client import Client


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


async def test_nothing_is_kept_of_what_has_gone() -> None:
    path = Resource("default", "pod", "web")
    async with Client("http://127.0.0.1:9", tls=None) as client:
        for durable in (True, False):
            records = Records(client)
            records._durable = durable
            for number in range(3):
                records.acknowledged(f"edge-{number}", path, "uid", "5")
                assert records.of(f"edge-{number}", path) == {"uid": Recorded("uid", "5")}
                records.removed(f"edge-{number}", path, "uid")
            assert records.nodes() == set()
            assert not records._nodes, "nor the names of nodes"
            assert len(records._dirty) == (3 if durable else 0), "what nobody will write does not wait to be written"
            assert len(records._removing) == (3 if durable else 0)


async def test_records_that_cannot_be_written_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with Client("http://127.0.0.1:9", tls=None) as client:
        records = Records(client)
        for number in range(5):
            records.acknowledged("edge-1", Resource("default", "pod", f"web-{number}"), str(number), "5")
        for _ in range(3):
            await records.flush()
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "is written later: POST http://127.0.0.1:9" in told[0].getMessage()


async def test_old_news_of_a_record_does_not_undo_a_write_that_is_on_its_way() -> None:
    """Writes wait for their turn or for an answer, and the watch tells only now that the records were made."""
    paths = [Resource("default", "configmap", f"settings-{number}") for number in range(20)]
    (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with silent, Client(f"http://127.0.0.1:{silent.socket.getsockname()[1]}", tls=None) as client:
        records = Records(client)
        for path in paths:
            records._changed(None, new_record("edge-1", path, path.name))
            records.acknowledged("edge-1", path, path.name, "706")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(records.flush)
            await wait_all_tasks_blocked()
            for path in paths:
                records._changed(None, new_record("edge-1", path, path.name))
            nursery.cancel_scope.cancel()
        assert all(records.of("edge-1", path) == {path.name: Recorded(path.name, "706")} for path in paths)
