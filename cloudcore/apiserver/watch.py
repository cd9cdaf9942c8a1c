"""A watch: what is there now if wanted, then every change in order, until the client or its time goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from cloudcore.apiserver.history import Change, Entry, Expired
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.store import Store
from kube import status
from kube.objects import Object

BOOKMARK_EVERY: Final = 60.0
"""Seconds of silence after which a client that understands bookmarks gets one."""
_INITIAL_END: Final = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Wish:
    """since: revision after which changes are wanted; None: first everything that is there."""

    kind: Kind
    since: int | None
    matches: Callable[[Entry], bool]
    render: Callable[[Entry, bool], Any]
    """(entry, first) to the form that the client wants."""
    bookmarks: bool = False
    announce_initial_end: bool = False


def _event(type_: str, obj: Any) -> bytes:
    return msgspec.json.encode({"type": type_, "object": obj}) + b"\n"


def _bookmark(kind: Kind, revision: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    obj: Object = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version, "metadata": metadata}
    return _event("BOOKMARK", obj)


async def stream(store: Store, wish: Wish) -> AsyncIterator[bytes]:
    """Lines of JSON without end. A client that is too slow gets an ERROR event (410) and the end."""
    history = store.history(wish.kind.key)
    first = True
    if wish.since is None:
        present, revision, place = store.entries(wish.kind.key), store.revision, history.end
        for entry in present:
            if wish.matches(entry):
                yield _event("ADDED", wish.render(entry, first))
                first = False
        if wish.announce_initial_end and wish.bookmarks:
            yield _bookmark(wish.kind, revision, {_INITIAL_END: "true"})
    else:
        if wish.since > store.revision:
            # A revision from another life of the database: only a fresh list can help.
            yield _expired(wish.since, store.revision)
            return
        try:
            place = history.place_after(wish.since)
        except Expired:
            yield _expired(wish.since, history.floor)
            return
    while True:
        with trio.move_on_after(BOOKMARK_EVERY):
            await history.wait(place)
        try:
            changes = history.read(place)
        except Expired:
            yield _expired(wish.since or 0, history.floor)
            return
        place += len(changes)
        for change in changes:
            if (type_ := _seen_as(change, wish.matches)) is not None:
                yield _event(type_, wish.render(change.entry, first))
                first = False
        if not changes and wish.bookmarks:
            yield _bookmark(wish.kind, store.revision)


def _seen_as(change: Change, matches: Callable[[Entry], bool]) -> str | None:
    """An object that begins to match a selector appears to this watcher, one that ceases to disappears."""
    before = change.before is not None and matches(change.before)
    if change.type == "DELETED":
        return "DELETED" if before else None
    now = matches(change.entry)
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


def _expired(wanted: int, floor: int) -> bytes:
    return _event("ERROR", status.expired_version(wanted, floor).to_status())
