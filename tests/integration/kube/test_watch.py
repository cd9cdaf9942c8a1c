"""Watches that end, break, garble, expire and fall silent."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from kube.client import WATCH_MARGIN, Client
from kube.resources import NODES, PODS
from kube.status import ApiError, ApiUnreachable, BadAnswer, Gone
from kube.transport import Limits
from kube.watch import WatchEvent

EXPIRED = {"kind": "Status", "status": "Failure", "message": "too old resource version: 3 (9)", "reason": "Expired", "code": 410}


def node(name: str, version: str) -> dict[str, Any]:
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "resourceVersion": version}}


async def collect(api: Any, into: list[WatchEvent], **options: Any) -> None:
    """Watches until the watch ends."""
    async with Client(api.url, tls=None, **options) as client, client.watch(NODES, resource_version="5", seconds=60) as events:
        async for event in events:
            into.append(event)  # noqa: PERF401 - what came before a failure counts


async def test_events_and_bookmarks_until_the_server_ends_it(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.event("ADDED", node("a", "6"))
        await peer.event("MODIFIED", node("a", "7"))
        await peer.event("DELETED", node("a", "8"))
        await peer.event("BOOKMARK", {"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "20"}})
        await peer.end()

    api.play(scene)
    seen: list[WatchEvent] = []
    await collect(api, seen)
    assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert seen[1].object == node("a", "7")
    assert api.requests[0].path == "/api/v1/nodes"
    assert api.requests[0].query == {
        "watch": "true",
        "timeoutSeconds": "60",
        "resourceVersion": "5",
        "allowWatchBookmarks": "true",
    }


async def test_selectors_and_namespace_are_asked_for(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.end()

    api.play(scene)
    async with Client(api.url, tls=None) as client:
        selection: Any = {"namespace": "ns", "label_selector": "a=b", "field_selector": "spec.nodeName=n", "bookmarks": False}
        async with client.watch(PODS, **selection) as events:
            assert [event async for event in events] == []
    asked = api.requests[0]
    assert asked.path == "/api/v1/namespaces/ns/pods"
    assert (asked.query["labelSelector"], asked.query["fieldSelector"]) == ("a=b", "spec.nodeName=n")
    assert 300 <= int(asked.query["timeoutSeconds"]) <= 600
    assert not {"resourceVersion", "allowWatchBookmarks"} & asked.query.keys()


async def test_an_event_may_come_in_pieces_and_several_at_once(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        for part in (
            b'{"type":"ADD',
            b'ED","object":{}}',
            b'\n\n{"type":"DELETED","object":{}}\n{"type":"BOOK',
            b'MARK","object":{}}\n',
        ):
            await peer.chunk(part)
        await peer.end()

    api.play(scene)
    seen: list[WatchEvent] = []
    await collect(api, seen)
    assert [event.type for event in seen] == ["ADDED", "DELETED", "BOOKMARK"]


async def test_expired_as_a_status_code(api: Any) -> None:
    api.then(EXPIRED, 410)
    with pytest.raises(Gone, match="too old resource version") as caught:
        await collect(api, [])
    assert caught.value.reason == "Expired"


async def test_expired_as_an_event(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.event("ADDED", node("a", "6"))
        await peer.event("ERROR", EXPIRED)
        await peer.until_closed()

    api.play(scene)
    seen: list[WatchEvent] = []
    with pytest.raises(Gone, match="too old resource version"):
        await collect(api, seen)
    assert len(seen) == 1


async def test_another_error_event(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.event("ERROR", {"kind": "Status", "code": 500, "message": "etcd is away"})

    api.play(scene)
    with pytest.raises(ApiError, match="etcd is away") as caught:
        await collect(api, [])
    assert caught.value.code == 500


async def test_a_cut_in_the_middle_of_a_line_loses_no_finished_event(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.event("ADDED", node("a", "6"))
        await peer.chunk(b'{"type":"MODIFIED","obj')
        await peer.cut()

    api.play(scene)
    seen: list[WatchEvent] = []
    with pytest.raises(ApiUnreachable, match="the connection broke"):
        await collect(api, seen)
    assert seen == [WatchEvent("ADDED", node("a", "6"))]


async def test_a_proper_end_in_the_middle_of_a_line(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.chunk(b'{"type":"MODIFIED"')
        await peer.end()

    api.play(scene)
    with pytest.raises(ApiUnreachable, match="ended in the middle of an event"):
        await collect(api, [])


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"null",
        b"[]",
        b'{"type":1,"object":{}}',
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":null}',
        b'{"type":"NEW","object":{}}',
    ],
)
async def test_a_line_that_is_no_event(api: Any, line: bytes) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.chunk(line + b"\n")
        await peer.until_closed()

    api.play(scene)
    with pytest.raises(BadAnswer, match="watch of nodes at "):
        await collect(api, [])


async def test_a_line_without_end_is_not_collected(api: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        while True:
            await peer.chunk(b"x" * 4096)

    api.play(scene)
    with pytest.raises(BadAnswer, match="a line of more than 20000 bytes"):
        await collect(api, [], limits=Limits(line=20_000))


async def test_a_watch_that_outlasts_its_time_is_dead(api: Any, patient_clock: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.until_closed()

    api.play(scene)
    started = trio.current_time()
    with pytest.raises(ApiUnreachable, match="the connection is dead"):
        await collect(api, [])
    assert trio.current_time() - started == pytest.approx(60 + WATCH_MARGIN, abs=1)


async def test_a_watch_that_never_begins(api: Any, patient_clock: Any) -> None:
    with pytest.raises(ApiUnreachable, match="no complete answer within 10 s"):
        await collect(api, [], timeout=10)


async def test_a_quiet_watch_outlasts_the_timeout_of_requests(api: Any, patient_clock: Any) -> None:
    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await trio.sleep(50)
        await peer.event("ADDED", node("a", "6"))
        await peer.end()

    api.play(scene)
    seen: list[WatchEvent] = []
    await collect(api, seen, timeout=10)
    assert len(seen) == 1


async def test_leaving_a_watch_closes_its_connection(api: Any) -> None:
    closed = trio.Event()

    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.event("ADDED", node("a", "6"))
        await peer.event("ADDED", node("b", "7"))
        await peer.until_closed()
        closed.set()

    api.play(scene)
    async with Client(api.url, tls=None) as client:
        async with client.watch(NODES) as events:
            async for event in events:
                assert event.object["metadata"]["name"] == "a"
                break
        with trio.fail_after(5):
            await closed.wait()


async def test_cancelling_a_watch_closes_its_connection(api: Any) -> None:
    closed, begun = trio.Event(), trio.Event()

    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        await peer.event("ADDED", node("a", "6"))
        await peer.until_closed()
        closed.set()

    async def watch(client: Client) -> None:
        async with client.watch(NODES) as events:
            async for _ in events:
                begun.set()

    api.play(scene)
    async with Client(api.url, tls=None) as client, trio.open_nursery() as nursery:
        nursery.start_soon(watch, client)
        await begun.wait()
        nursery.cancel_scope.cancel()
    with trio.fail_after(5):
        await closed.wait()
