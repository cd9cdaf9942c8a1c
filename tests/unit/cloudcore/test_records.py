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
                records.hold(f"edge-{number}")
                records.acknowledged(f"edge-{number}", path, "uid", "5")
                assert records.of(f"edge-{number}", path) == {"uid": Recorded("uid", "5")}
                records.removed(f"edge-{number}", path, "uid")
            assert records.nodes() == set()
            assert len(records._dirty) == (3 if durable else 0), "what nobody will write does not wait to be written"
            for number in range(3):
                records._changed(new_record(f"edge-{number}", path, "uid"), None)
            assert not records._nodes, "nor the names of nodes"


async def test_records_that_cannot_be_written_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with Client("http://127.0.0.1:9", tls=None) as client:
        records = Records(client)
        records.hold("edge-1")
        for number in range(5):
            records.acknowledged("edge-1", Resource("default", "pod", f"web-{number}"), str(number), "5")
        for _ in range(3):
            await records.flush()
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "is written later: POST http://127.0.0.1:9" in told[0].getMessage()


POD_PATH = Resource("default", "pod", "web")


def record(version: str = "", *, node: str = "edge-1", uid: str = "u", revision: int = 1) -> dict:
    found = new_record(node, POD_PATH, uid) | {"status": {"objectResourceVersion": version} if version else {}}
    found["metadata"]["resourceVersion"] = str(revision)
    return found


class Heard:
    """Records that nothing is written of, and what they say has changed without them."""

    def __init__(self) -> None:
        self.told: list[str] = []
        client = Client("http://127.0.0.1:9", tls=None)
        self.records = Records(client, on_foreign_change=lambda node, path: self.told.append(node))

    def change(self, old: dict | None, new: dict | None) -> None:
        self.records._changed(old, new)

    def versions(self) -> dict[str, str]:
        return {uid: one.version for uid, one in self.records.of("edge-1", POD_PATH).items()}


async def test_what_is_another_ones_is_only_followed() -> None:
    heard = Heard()
    heard.change(None, record("5"))
    heard.records.acknowledged("edge-1", POD_PATH, "u", "7")
    heard.records.removed("edge-1", POD_PATH, "u")
    assert heard.versions() == {"u": "5"}
    heard.change(record("5"), record("6", revision=2))
    assert heard.versions() == {"u": "6"}
    heard.change(record("6", revision=2), None)
    assert heard.versions() == {}
    assert not heard.records._dirty, "what somebody else has removed is not made again"
    assert not heard.told


async def test_a_record_that_vanished_is_made_again_by_whoever_holds_the_node_and_nothing_is_believed() -> None:
    heard = Heard()
    heard.change(None, record("5"))
    heard.records.hold("edge-1")
    heard.change(record("5"), None)
    assert heard.versions() == {"u": "0"}
    assert heard.told == ["edge-1"]
    assert not heard.records.holds("edge-1", POD_PATH, "u")
    assert list(heard.records._dirty) == [("edge-1", POD_PATH, "u")]


async def test_news_of_the_one_that_held_the_node_before_is_looked_at() -> None:
    heard = Heard()
    heard.records.hold("edge-1")
    heard.change(None, record("5"))
    assert heard.told == ["edge-1"], "a record that was made just before the node came here"
    heard.change(record("5"), record("0", revision=2))
    assert heard.versions() == {"u": "0"}
    assert heard.told == ["edge-1"] * 2
    heard.change(record("0", revision=2), record("5", revision=1))
    assert heard.versions() == {"u": "0"}, "older news than that"


async def test_whoever_loses_a_node_writes_nothing_more_of_it() -> None:
    heard = Heard()
    heard.change(None, record("5"))
    heard.change(None, record("5", uid="v"))
    heard.records.hold("edge-1")
    heard.records.removed("edge-1", POD_PATH, "u")
    heard.records.acknowledged("edge-1", POD_PATH, "w", "9")
    heard.records.release("edge-1")
    assert heard.versions() == {"u": "5", "v": "5"}
    assert not heard.records._dirty
    await heard.records.flush()


async def test_old_news_of_a_record_does_not_undo_a_write_that_is_on_its_way() -> None:
    """Writes wait for their turn or for an answer, and the watch tells only now that the records were made."""
    paths = [Resource("default", "configmap", f"settings-{number}") for number in range(20)]
    (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with silent, Client(f"http://127.0.0.1:{silent.socket.getsockname()[1]}", tls=None) as client:
        records = Records(client)
        records.hold("edge-1")
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
