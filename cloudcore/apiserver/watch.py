"""A watch: what is there now if wanted, then every change in order, until the client or its time goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from cloudcore.apiserver.history import Change, Entry, Expired, History
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.store import Store
from kube import status
from kube.objects import Object

BOOKMARK_EVERY: Final = 60.0
"""Seconds of silence after which a client that understands bookmarks gets one."""
_TOGETHER: Final = 128
"""Objects that are sent at once when a watch begins."""
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


async def stream(store: Store, wish: Wish) -> AsyncGenerator[bytes, None]:
    """Whole lines of JSON, one or more at a time, without end.

    A client that asks for too much of the past, or is too slow, gets an ERROR event (410) and the end.
    """
    history = store.history(wish.kind.key)
    lines = _Lines(wish)
    try:
        if wish.since is None:
            place, revision = history.end, store.revision
            present = store.entries(wish.kind.key)
            for start in range(0, len(present), _TOGETHER):
                yield b"".join(lines.initial(present[start : start + _TOGETHER]))
            if wish.announce_initial_end and wish.bookmarks:
                yield _bookmark(wish.kind, revision, {_INITIAL_END: "true"})
        else:
            place = _place(store, wish.since, history)
        while True:
            with trio.move_on_after(BOOKMARK_EVERY):
                await history.wait(place)
            changes = history.read(place)
            place += len(changes)
            if changes:
                yield b"".join(lines.of(changes))  # one write for all that has come together
            elif wish.bookmarks:
                yield _bookmark(wish.kind, store.revision)
    except Expired:
        yield _event("ERROR", status.expired_version(wish.since or 0, history.floor).to_status())


def _place(store: Store, since: int, history: History) -> int:
    if since > store.revision:
        raise Expired  # a revision from another life of the database: only a fresh list can help
    return history.place_after(since)


class _Lines:
    """Events of one watch; the first one carries what later ones need not repeat."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._first = True

    def initial(self, entries: list[Entry]) -> Iterator[bytes]:
        return (self._line("ADDED", entry) for entry in entries if self._wish.matches(entry))

    def of(self, changes: list[Change]) -> Iterator[bytes]:
        for change in changes:
            if (type_ := _seen_as(change, self._wish.matches)) is not None:
                left = type_ == "DELETED" and change.type != "DELETED" and change.before is not None
                yield self._line(type_, _last_seen(change) if left else change.entry)

    def _line(self, type_: str, entry: Entry) -> bytes:
        line = _event(type_, self._wish.render(entry, self._first))
        self._first = False
        return line


def _last_seen(change: Change) -> Entry:
    """An object that has left a selection is told as it was in it, but with the version at which it left."""
    assert change.before is not None  # noqa: S101 - what was not there cannot leave
    obj = msgspec.json.decode(change.before.raw)
    obj["metadata"]["resourceVersion"] = str(change.revision)
    return Entry(change.revision, obj, msgspec.json.encode(obj))


def _seen_as(change: Change, matches: Callable[[Entry], bool]) -> str | None:
    """An object that begins to match a selector appears to this watcher, one that ceases to disappears."""
    before = change.before is not None and matches(change.before)
    if change.type == "DELETED":
        return "DELETED" if before else None
    now = matches(change.entry)
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None
