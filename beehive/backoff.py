"""Delays between attempts: exponential, bounded, jittered."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Successive delays in seconds: ``first``, ``first*factor``, ... up to ``limit``, each spread by ``jitter``.

    jitter: 0.5 means that a delay d is drawn from [0.5 d, 1.5 d], so that a thousand edges that lost the same cloud
    do not come back in the same instant.
    """

    first: float = 1.0
    limit: float = 30.0
    factor: float = 2.0
    jitter: float = 0.5
    rng: random.Random = field(default_factory=random.Random, repr=False)
    _attempt: int = field(default=0, init=False)

    def next(self) -> float:
        """The delay before the next attempt."""
        delay = min(self.limit, self.first * self.factor**self._attempt)
        if delay < self.limit:
            self._attempt += 1
        return delay * self.rng.uniform(1 - self.jitter, 1 + self.jitter)

    def reset(self) -> None:
        """After a success the next delay is ``first`` again."""
        self._attempt = 0
