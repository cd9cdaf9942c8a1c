"""The committed objects of one kind, kept in the order in which lists show them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TypeAlias

from cloudcore.apiserver.history import Entry

Place: TypeAlias = tuple[str, str]
"""Namespace ("" for cluster-scoped) and name."""


class Shelf:
    """Sorting at every look would cost more than the look: controllers look often, and a page of a list is a small part of it."""

    def __init__(self) -> None:
        self._entries: dict[Place, Entry] = {}
        self._order: list[Place] = []

    def __len__(self) -> int:
        return len(self._order)

    def get(self, place: Place) -> Entry | None:
        return self._entries.get(place)

    def put(self, place: Place, entry: Entry) -> None:
        if place not in self._entries:
            insort(self._order, place)
        self._entries[place] = entry

    def remove(self, place: Place) -> None:
        """Harmless when it is not there."""
        if self._entries.pop(place, None) is not None:
            del self._order[bisect_left(self._order, place)]

    def entries(self, namespace: str = "", after: Place | None = None) -> list[Entry]:
        """In order. namespace "": of all. after: only what stands behind this place (which need not exist)."""
        start, end = 0, len(self._order)
        if namespace:
            start, end = bisect_left(self._order, (namespace, "")), bisect_left(self._order, (namespace + "\0", ""))
        if after is not None:
            start = max(start, bisect_right(self._order, after))
        return [self._entries[place] for place in self._order[start:end]]
