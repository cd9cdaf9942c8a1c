"""The loop of a controller: look at everything, act on what differs, wait until something changes or time has passed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from cloudcore.apiserver.history import wait_any
from cloudcore.apiserver.store import Store

Kinds: TypeAlias = tuple[str, ...] | Callable[[], tuple[str, ...]]

GAP: Final = 0.05
"""Seconds between two looks at least, so that a burst of changes costs one look and not one each."""


async def run(store: Store, kinds: Kinds, reconcile: Callable[[], Awaitable[None]], *, every: float, gap: float = GAP) -> None:
    """``kinds``: whose changes call for a look, asked for anew each time when it is a function.

    ``every``: seconds after which to look anyway; ``gap``: between two looks.
    """
    while True:
        histories = [store.history(kind) for kind in (kinds() if callable(kinds) else kinds)]
        places = [history.end for history in histories]
        await reconcile()
        await trio.sleep(gap)
        with trio.move_on_after(every):
            await wait_any(zip(histories, places, strict=True))
