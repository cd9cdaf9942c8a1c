"""How fast a client may ask: a bound for all its requests together, in which heartbeats come first."""

from __future__ import annotations

import re
from typing import Final

import trio

_HEARTBEAT: Final = re.compile(r"/apis/coordination\.k8s\.io/|/api/v1/nodes/[^/]+/status(?:$|\?)")
_TINY: Final = 1e-4
"""Seconds added to each wait, so that rounding never makes it too short."""


def is_heartbeat(path: str) -> bool:
    """Leases and node status: should they wait behind a storm of pods, Kubernetes would take living nodes for dead and evict
    their pods, and the storm would grow."""
    return _HEARTBEAT.match(path) is not None


class Throttle:
    """A token bucket that fills with ``rate`` requests a second and holds ``burst`` of them.

    Urgent requests may overdraw it by half of ``burst`` and never queue behind others; the rest waits until the debt is paid, so
    that ``rate`` holds for both together. Each kind is served in its order.
    """

    def __init__(self, rate: float, burst: int) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"a rate above 0 and a burst of at least 1 are needed, not {rate} and {burst}")
        self._rate = rate
        self._burst = float(burst)
        self._tokens = self._burst
        self._at: float | None = None
        self._lanes = {True: trio.Lock(), False: trio.Lock()}

    async def take(self, *, urgent: bool = False) -> None:
        """Returns when one more request may leave."""
        async with self._lanes[urgent]:
            floor = -self._burst / 2 if urgent else 0.0
            while (missing := floor + 1 - self._filled()) > 0:  # noqa: ASYNC110 - it is time that is waited for
                await trio.sleep(missing / self._rate + _TINY)
            self._tokens -= 1

    def _filled(self) -> float:
        now = trio.current_time()
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return self._tokens
