"""The reflector against a server that does everything wrong: its store is right in the end, and every difference told once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from kube.client import Client
from kube.objects import Object, name, resource_version
from kube.reflector import Delays, Reflector
from kube.resources import NODES

EXPIRED = {"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410}


def node(name: str, version: int) -> Object:
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "resourceVersion": str(version)}}


def listing(version: int, *nodes: Object) -> Object:
    return {"kind": "NodeList", "metadata": {"resourceVersion": str(version)}, "items": list(nodes)}


def watching(*events: tuple[str, Object], end: str = "stay") -> Any:
    """A scene: these events, and then stay, end or cut."""

    async def scene(peer: Any, request: Any) -> None:
        await peer.head()
        for kind, obj in events:
            await peer.event(kind, obj)
        if end == "cut":
            await peer.chunk(b'{"type":"ADDED","object":{"metadata":{"name":"half')
            await peer.cut()
        elif end == "end":
            await peer.end()
        else:
            await peer.until_closed()

    return scene


class Told:
    """What on_change was told, as short words: +a1 appeared, ~a2 changed, -a2 is gone."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._changed = trio.Event()

    def __call__(self, old: Object | None, new: Object | None) -> None:
        shown = new or old or {}
        sign = "+" if old is None else "-" if new is None else "~"
        self.words.append(f"{sign}{name(shown)}{resource_version(shown)}")
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, *words: str) -> None:
        while self.words != list(words):
            if len(self.words) >= len(words):
                raise AssertionError(f"told {self.words}, expected {words}")
            await self._changed.wait()


@asynccontextmanager
async def running(api: Any, told: Callable[[Object | None, Object | None], None]) -> AsyncIterator[Reflector]:
    async with Client(api.url, tls=None, timeout=10) as client, trio.open_nursery() as nursery:
        reflector = Reflector(client, NODES, on_change=told, delays=Delays(first=0.5, limit=30))
        nursery.start_soon(reflector.run)
        with trio.fail_after(3600):
            yield reflector
        nursery.cancel_scope.cancel()


async def test_list_and_watch(api: Any, patient_clock: Any) -> None:
    api.then(listing(5, node("a", 1), node("b", 2)))
    api.play(watching(("ADDED", node("c", 6)), ("MODIFIED", node("a", 7)), ("DELETED", node("b", 8))))
    told = Told()
    async with running(api, told) as reflector:
        await reflector.synced.wait()
        await told.until("+a1", "+b2", "+c6", "~a7", "-b2")
        assert reflector.store == {("", "a"): node("a", 7), ("", "c"): node("c", 6)}
        assert reflector.get("a") == node("a", 7)
        assert [name(obj) for obj in reflector] == ["a", "c"]
        assert reflector.resource_version == "8"
    assert api.requests[1].query["resourceVersion"] == "5"


async def test_a_watch_goes_on_where_the_last_one_ended(api: Any, patient_clock: Any) -> None:
    api.then(listing(5))
    api.play(watching(("ADDED", node("a", 6)), end="end"), watching(("BOOKMARK", node("", 40)), end="end"))
    api.play(watching(("ADDED", node("b", 41))))
    told = Told()
    async with running(api, told):
        await told.until("+a6", "+b41")
    assert [request.query["resourceVersion"] for request in api.requests[1:]] == ["5", "6", "40"]


async def test_a_cut_watch_goes_on_too(api: Any, patient_clock: Any) -> None:
    api.then(listing(5))
    api.play(watching(("ADDED", node("a", 6)), end="cut"), watching(("ADDED", node("b", 7))))
    told = Told()
    async with running(api, told):
        await told.until("+a6", "+b7")
    assert [request.query.get("resourceVersion") for request in api.requests] == [None, "5", "6"]


@pytest.mark.parametrize("as_event", [True, False])
async def test_after_expiry_the_difference_is_told_deletions_too(api: Any, patient_clock: Any, as_event: bool) -> None:
    api.then(listing(5, node("a", 1), node("b", 2), node("c", 3)))
    if as_event:
        api.play(watching(("ERROR", EXPIRED)))
    else:
        api.then(EXPIRED, 410)
    api.then(listing(90, node("a", 1), node("c", 80), node("d", 81)))
    api.play(watching(("ADDED", node("e", 91))))
    told = Told()
    async with running(api, told):
        await told.until("+a1", "+b2", "+c3", "-b2", "~c80", "+d81", "+e91")
    assert api.requests[-1].query["resourceVersion"] == "90"


async def test_no_failure_ends_it(api: Any, patient_clock: Any) -> None:
    async def garbage(peer: Any, request: Any) -> None:
        await peer.raw(b"\x16\x03\x01 nonsense\r\n\r\n")
        await peer.cut()

    async def nothing(peer: Any, request: Any) -> None:
        await trio.sleep(20)
        await peer.cut()

    api.play(garbage, garbage, nothing)
    api.then(b"null")
    api.then(b"<html>", 502)
    api.then({"kind": "Status", "message": "nodes is forbidden", "code": 403}, 403)
    api.then(listing(5, node("a", 1)))
    api.play(garbage)
    api.play(watching(("ADDED", {"metadata": None})))
    api.then(listing(6, node("a", 1)))
    api.play(watching(("NONSENSE", node("x", 1))))
    api.then(listing(7, node("a", 1)))
    api.play(watching(("ADDED", node("b", 8))))
    told = Told()
    async with running(api, told) as reflector:
        await told.until("+a1", "+b8")
        assert set(reflector.store) == {("", "a"), ("", "b")}
    assert not api.scenes


async def test_a_server_that_ends_watches_at_once_is_not_asked_in_a_tight_loop(api: Any, patient_clock: Any) -> None:
    api.then(listing(5))
    for _ in range(200):
        api.play(watching(end="end"))
    async with running(api, Told()):
        await trio.sleep(300)
    assert 5 < len(api.requests) < 40


async def test_a_server_whose_history_is_always_too_short_is_not_asked_in_a_tight_loop(api: Any, patient_clock: Any) -> None:
    for _ in range(100):
        api.then(listing(5))
        api.then(EXPIRED, 410)
    async with running(api, Told()):
        await trio.sleep(300)
    assert 10 < len(api.requests) < 80


async def test_the_store_stays_while_the_server_is_away(api: Any, patient_clock: Any) -> None:
    async def cut(peer: Any, request: Any) -> None:
        await peer.cut()

    api.then(listing(5, node("a", 1)))
    api.play(*[cut] * 200)
    told = Told()
    async with running(api, told) as reflector:
        await told.until("+a1")
        await trio.sleep(600)
        assert reflector.store == {("", "a"): node("a", 1)}
    assert told.words == ["+a1"]


async def test_what_could_not_be_told_is_told_by_the_next_run(api: Any, patient_clock: Any) -> None:
    told: list[tuple[Object | None, Object | None]] = []
    failing = True

    def on_change(old: Object | None, new: Object | None) -> None:
        if failing:
            raise RuntimeError("a bug")
        told.append((old, new))

    api.then(listing(5, node("a", 1)))
    api.then(listing(5, node("a", 1)))
    api.play(watching())
    async with Client(api.url, tls=None) as client:
        reflector = Reflector(client, NODES, on_change=on_change)
        with pytest.raises(RuntimeError, match="a bug"):
            await reflector.run()
        assert reflector.store == {}
        failing = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reflector.run)
            await reflector.synced.wait()
            nursery.cancel_scope.cancel()
    assert told == [(None, node("a", 1))]


async def test_selectors_are_passed_on(api: Any, patient_clock: Any) -> None:
    api.then(listing(5))
    api.play(watching(("ADDED", node("a", 6))))
    async with Client(api.url, tls=None) as client, trio.open_nursery() as nursery:
        told = Told()
        reflector = Reflector(client, NODES, label_selector="a=b", field_selector="metadata.name=a", on_change=told)
        nursery.start_soon(reflector.run)
        await told.until("+a6")
        nursery.cancel_scope.cancel()
    for request in api.requests:
        assert (request.query["labelSelector"], request.query["fieldSelector"]) == ("a=b", "metadata.name=a")
