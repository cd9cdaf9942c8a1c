"""A token bucket: so many messages a second, a few more at once."""

from __future__ import annotations


class Pace:
    """``rate`` messages per second on average, ``burst`` of them without waiting; rate 0 means no limit.

    KubeEdge 1.23: edgeHub.messageQPS and messageBurst. Acknowledgements and keepalives are not counted here: a limit on
    them only makes the cloud send things twice.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = max(1, burst)
        self._next = float("-inf")

    def reserve(self, now: float) -> float:
        """Takes one place; returns for how many seconds to wait before using it."""
        if self._rate <= 0:
            return 0.0
        step = 1.0 / self._rate
        self._next = max(self._next, now - self._burst * step) + step
        return max(0.0, self._next - now)
