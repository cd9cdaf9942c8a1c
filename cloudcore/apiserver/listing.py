"""Lists: which version of the collection is shown, and how it is cut into pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudcore.apiserver.history import Entry, Expired
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.request import Request
from cloudcore.apiserver.store import Store
from kube import status

_TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter."
)
_ALL: Final = 1 << 30


@dataclass(frozen=True)
class Page:
    """entries: as stored. metadata: of the list."""

    entries: list[Entry]
    metadata: dict[str, Any]


def page(store: Store, kind: Kind, namespace: str, request: Request, matches: Callable[[Entry], bool]) -> Page:
    """The part of a collection that a request asks for. options.check_list has been passed.

    Raises ApiError: a version that cannot be read (400), is not known yet (504) or not any more (410), a bad token (400).
    """
    limit, start = request.integer("limit") or 0, None
    wanted, exact = parse_version(request.query.get("resourceVersion", "")), request.query.get("resourceVersionMatch") == "Exact"
    if token := request.query.get("continue"):
        if wanted:
            raise status.bad_request("specifying resource version is not allowed when using continue")
        wanted, start = read_continue(token)
        exact = True
    check_reached(store, wanted)
    exact = exact or bool(wanted and limit and not request.query.get("resourceVersionMatch"))
    revision = wanted if exact and wanted else store.revision
    try:
        entries = _as_of(store, kind, namespace, start, revision)
    except Expired:
        raise _expired(store, kind, revision, continued=bool(token)) from None
    found = [entry for entry in entries if matches(entry)]
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if 0 < limit < len(found):
        metadata["continue"] = _write_continue(revision, place(found[limit - 1]))
        if not request.query.get("labelSelector") and not request.query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return Page(found, metadata)


def parse_version(text: str) -> int:
    """0 for none. Raises ApiError (400)."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise status.bad_request(f"invalid resource version: {unreadable(text)}")
    return int(text)


def unreadable(version: str) -> str:
    return f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'


def check_reached(store: Store, wanted: int) -> None:
    """Raises ApiError (504) for a version that this database has not come to: nobody can say when it will."""
    if wanted > store.revision:
        raise status.too_large_version(wanted, store.revision)


def _as_of(store: Store, kind: Kind, namespace: str, start: tuple[str, str] | None, revision: int) -> list[Entry]:
    """The collection after ``start`` as it was at ``revision``, by undoing what has happened since. Raises Expired."""
    if revision >= store.revision:
        return store.entries(kind.key, namespace, start)
    history = store.history(kind.key)
    changes = history.read(history.place_after(revision), _ALL)
    if not changes:
        return store.entries(kind.key, namespace, start)
    found = {place(entry): entry for entry in store.entries(kind.key, namespace, start)}
    for change in reversed(changes):
        key = place(change.entry)
        if (namespace and key[0] != namespace) or (start is not None and key <= start):
            continue
        if change.before is None:
            found.pop(key, None)
        else:
            found[key] = change.before
    return [found[key] for key in sorted(found)]


def _expired(store: Store, kind: Kind, revision: int, *, continued: bool) -> status.ApiError:
    if continued:
        return status.expired(_TOO_OLD)
    return status.expired_version(revision, store.history(kind.key).floor)


def place(entry: Entry) -> tuple[str, str]:
    """Namespace ("" for none) and name: the order of a list."""
    found = entry.obj["metadata"]
    return found.get("namespace", ""), found["name"]


def _write_continue(revision: int, last: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([revision, *last])).decode().rstrip("=")


def read_continue(token: str) -> tuple[int, tuple[str, str]]:
    """Raises ApiError (400)."""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        revision, namespace, name = msgspec.json.decode(data, type=tuple[int, str, str])
    except (binascii.Error, ValueError) as error:
        raise status.bad_request("invalid continue token: continue key is not valid: it was not issued by this server") from error
    return revision, (namespace, name)
