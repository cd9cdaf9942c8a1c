"""Passwords verified beside the event loop, so that guessing costs the guesser, and the clients nothing."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import Final

import trio

from mqtt.passwords import ITERATIONS, Hashed

_MOST_WAITING: Final = 4096
_MOST_OF_HOST: Final = 1024
_PATIENCE: Final = 8.0
"""Seconds until a client whose turn does not come is sent away: he would soon have lost his connection anyway."""


_NO_LIMIT: Final = trio.CapacityLimiter(inf)
"""For threads that were counted before: within ``to_thread`` nobody can tell who waits for one from who has one."""


class Overloaded(Exception):
    """More clients wait for their passwords to be verified than this broker lets wait."""


def hashing_threads() -> trio.CapacityLimiter:
    """How many passwords are verified at once."""
    # Half of the cores: the loop has to have one for itself.
    return trio.CapacityLimiter(max(1, (os.cpu_count() or 1) // 2))


class PasswordCheck:
    """users: see :func:`mqtt.passwords.load`.

    One password per host is verified at a time, so a host that guesses delays nobody but itself. Who has been let in is
    recognised when he comes again, without the cost: for each user a keyed digest of the password is kept in memory, with a key
    that dies with the process. A wrong password, or a name that does not exist, always costs the full hash.
    """

    def __init__(self, users: Mapping[str, Hashed], limiter: trio.CapacityLimiter | None = None) -> None:
        self._limiter = limiter or hashing_threads()
        self._key = secrets.token_bytes(32)
        self._waiting: Counter[str] = Counter()
        self._all_waiting = 0
        self._turns: dict[str, trio.Lock] = {}
        self.users = users
        self._known: dict[str, bytes] = {}
        self._decoys = list(users.values()) or [Hashed(b"decoy", bytes(64), ITERATIONS)]

    async def verify(self, name: str, password: bytes, address: str) -> bool:
        """Whether that is the user's password. Raises Overloaded."""
        digest = self._digest(password)
        if self._is_known(name, digest):
            return True
        host = address.rpartition(":")[0]
        if self._waiting[host] >= _MOST_OF_HOST or self._all_waiting >= _MOST_WAITING:
            raise Overloaded
        turn = self._turns.setdefault(host, trio.Lock())
        self._waiting[host] += 1
        self._all_waiting += 1
        try:
            with trio.CancelScope(deadline=trio.current_time() + _PATIENCE) as patience:
                async with turn, self._limiter:
                    patience.deadline = inf
                    return await self._hash(name, password, digest)
            raise Overloaded
        finally:
            self._all_waiting -= 1
            self._waiting[host] -= 1
            if not self._waiting[host]:
                del self._waiting[host], self._turns[host]

    async def _hash(self, name: str, password: bytes, digest: bytes) -> bool:
        if self._is_known(name, digest):
            # Another client of this user was before it: after a restart many come at once.
            return True
        hashed = self.users.get(name)
        right = await trio.to_thread.run_sync((hashed or self._decoy(name)).verify, password, limiter=_NO_LIMIT)
        if not right or hashed is None:
            return False
        self._known[name] = digest
        return True

    def _is_known(self, name: str, digest: bytes) -> bool:
        known = self._known.get(name)
        return known is not None and hmac.compare_digest(known, digest)

    def _digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, key=self._key, digest_size=32).digest()

    def _decoy(self, name: str) -> Hashed:
        """The same for the same name, so that names that exist and names that do not are alike in time."""
        return self._decoys[int.from_bytes(self._digest(name.encode())[:8], "big") % len(self._decoys)]
