"""The topic filters that the cloud's router wants: kept in KubeEdge's table ``sub_topics``, told to whoever subscribes."""

from __future__ import annotations

from collections.abc import Callable

import trio

from edgecore.store import Store


class Rules:
    """filters: what is wanted now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed: list[Callable[[], None]] = []
        self.filters: set[str] = set()

    async def load(self) -> None:
        """What the last life has left. Raises StoreError."""
        self.filters = set(await self._store.database.read(self._store.topics))

    async def add(self, topic_filter: str) -> None:
        """Returns when it is on disk. Raises StoreError."""
        await self._store.database.write(lambda: self._store.add_topic(topic_filter))
        self.filters.add(topic_filter)
        self._tell()

    async def remove(self, topic_filter: str) -> None:
        """Returns when it is on disk. Raises StoreError."""
        await self._store.database.write(lambda: self._store.remove_topic(topic_filter))
        self.filters.discard(topic_filter)
        self._tell()

    def _tell(self) -> None:
        for each in self._changed:
            each()

    def watch(self) -> Changes:
        """For one who follows them, from now on."""
        return Changes(self._changed)


class Changes:
    """``wait`` returns when something has changed since it returned last; at once the first time."""

    def __init__(self, register: list[Callable[[], None]]) -> None:
        self._register = register
        self._event = trio.Event()
        self._event.set()

    def __enter__(self) -> Changes:
        self._register.append(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._register.remove(self._note)

    def _note(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = trio.Event()
