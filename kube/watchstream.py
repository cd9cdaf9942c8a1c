"""The events of one open watch."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Self

import trio

from kube.status import ApiUnreachable, BadAnswer
from kube.watch import LineSplitter, WatchEvent, decode


class WatchStream:
    """Iterates over the events that ``chunks`` carry, until ``deadline`` (of trio's clock) at the latest."""

    def __init__(self, chunks: AsyncIterator[bytes], splitter: LineSplitter, deadline: float, what: str) -> None:
        self._chunks = chunks
        self._splitter = splitter
        self._deadline = deadline
        self._what = what
        self._lines: deque[bytes] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._lines:
            await self._more()
        return self._decode(self._lines.popleft())

    async def _more(self) -> None:
        chunk: bytes | None = None
        try:
            with trio.fail_at(self._deadline):
                chunk = await anext(self._chunks, None)
        except trio.TooSlowError:
            raise ApiUnreachable(f"{self._what}: the server did not end it in time; the connection is dead") from None
        if chunk is None:
            if self._splitter.unfinished:
                raise ApiUnreachable(f"{self._what}: ended in the middle of an event")
            raise StopAsyncIteration
        try:
            self._lines.extend(self._splitter.feed(chunk))
        except BadAnswer as error:
            raise BadAnswer(f"{self._what}: {error}") from None

    def _decode(self, line: bytes) -> WatchEvent:
        try:
            return decode(line)
        except BadAnswer as error:
            raise BadAnswer(f"{self._what}: {error}") from None
