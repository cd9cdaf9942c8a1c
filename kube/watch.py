"""What a watch sends: one JSON document per line. Pure: bytes in, events out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from kube.objects import Object
from kube.status import ApiError, BadAnswer

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"
"""Carries nothing but a resourceVersion to go on from."""

_TYPES: Final = frozenset({ADDED, MODIFIED, DELETED, BOOKMARK})


class WatchEvent(NamedTuple):
    """One change. ``object`` is the state after it (for DELETED the last one)."""

    type: str
    object: Object


class _Wire(msgspec.Struct):
    type: str
    object: dict[str, Any]


_decoder: Final = msgspec.json.Decoder(_Wire)


def decode(line: bytes) -> WatchEvent:
    """Reads one line.

    Raises the ApiError that an ERROR event carries, BadAnswer for what is no event.
    """
    try:
        wire = _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"a line of the watch is no event: {error}: {line[:80]!r}") from None
    if wire.type == "ERROR":
        raise ApiError.from_status(wire.object)
    if wire.type not in _TYPES:
        raise BadAnswer(f"the watch sent an event of the unknown type {wire.type[:40]!r}")
    return WatchEvent(wire.type, wire.object)


class LineSplitter:
    """Cuts a stream of bytes into lines, and holds no more than ``limit`` bytes of an unfinished one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether the stream stands in the middle of a line."""
        return bool(self._rest.strip())

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that ``data`` completes, empty ones left out.

        Raises BadAnswer when a line grows beyond the limit.
        """
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            self._grow(data[begin:end])
            line = bytes(self._rest).strip()
            self._rest.clear()
            begin = end + 1
            if line:
                yield line
        self._grow(data[begin:])

    def _grow(self, part: bytes) -> None:
        if len(self._rest) + len(part) > self._limit:
            raise BadAnswer(f"the watch sent a line of more than {self._limit} bytes")
        self._rest += part
