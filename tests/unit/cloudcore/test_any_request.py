"""Whatever a node sends: one answer, which can be sent, or none where the protocol has none; and never a fault of ours."""

from __future__ import annotations

import json
import logging

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beehive.message import Header, Message, Route, encode
from cloudcore.edgecontroller.cluster import Cluster
from cloudcore.edgecontroller.location import POD, pod_path
from cloudcore.edgecontroller.request import World
from cloudcore.edgecontroller.upstream import RULES, Upstream
from kube.client import Client

WORDS = ["metadata", "name", "uid", "spec", "status", "request", "event", "patchData", "Status", "UID", "Name", "volumes"]
WORDS += ["labels", "annotations", "namespace", "boundObjectRef", "involvedObject", "kind", "nodeName", "preconditions"]
TEXTS = st.sampled_from(
    ["", "web", "edge-1", "default", "Pod", "Node", "{", '{"status":{}}', '{"count":1}', "é", "AAAA", "uid-1"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=15,
)
TYPES = [*sorted({type_ for type_, _ in RULES}), "unheardof"]
OPERATIONS = ["insert", "update", "delete", "query", "patch", "", "x"]
PARTS = st.sampled_from(["default", "null", "web", "edge-1", "edge-2", "kube-node-lease", ".", "..", "", "a b", "%2e", "é?#"])
RESOURCES = st.builds("{}/{}/{}".format, PARTS, st.sampled_from(TYPES), PARTS) | st.text(max_size=10)
CONTENTS = st.one_of(
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps(json.dumps(value)).encode()),
    st.sampled_from([b"[" * 5000 + b"]" * 5000, b'"' + b"[" * 5000 + b'"', b'"\\ud800"', b"\xff", b"{", b"1e999"]),
)
WEB = {
    "metadata": {"name": "web", "namespace": "default", "uid": "uid-1"},
    "spec": {"nodeName": "edge-1", "volumes": [{"persistentVolumeClaim": {"claimName": "web"}}, None, 5], "containers": None},
}


@pytest.fixture(autouse=True)
def no_fault_of_ours(caplog: pytest.LogCaptureFixture):
    yield
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


async def answer(message: Message) -> Message | None:
    """Of a cloud whose API cannot be reached, and which knows one pod."""
    async with Client("http://127.0.0.1:9", tls=None) as client:
        cluster = Cluster(client, lambda node, path, last: None)
        cluster._reflectors[POD].store["default", "web"] = WEB
        cluster.location.update(pod_path(WEB), WEB)
        upstream = Upstream(World(client, cluster))
        upstream.overloaded(message)
        return await upstream.handle("edge-1", message)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operation=st.sampled_from(OPERATIONS),
    resource=RESOURCES,
    content=CONTENTS,
    group=st.sampled_from(["meta", "resource", "twin", ""]),
)
def test_any_request(operation: str, resource: str, content: bytes, group: str) -> None:
    message = Message(Header(id="m1"), Route("edged", "", group, operation, resource), msgspec.Raw(content))
    found = trio.run(answer, message)
    if found is None:
        assert group != "meta" or "/event/" in resource
        return
    assert found.parent_id == "m1"
    assert found.operation in ("response", "error")
    encode(found)
