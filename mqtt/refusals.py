"""Says in the log who was refused, without letting those who guess fill it."""

from __future__ import annotations

import logging
from typing import Final

from mqtt.access import Peer
from mqtt.packets import Connect
from mqtt.reasons import Reason

log = logging.getLogger(__name__)

_QUIET: Final = 60.0
_HOSTS: Final = 1024


class Refusals:
    """One line for a host in a minute; the next one says how many there were meanwhile. All are counted by the broker."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}

    def refused(self, connect: Connect, peer: Peer, reason: Reason, now: float) -> None:
        host = peer.address if ":" not in peer.address else peer.address.rpartition(":")[0]
        when, more = self._told.get(host, (-_QUIET, 0))
        if now - when < _QUIET:
            self._told[host] = (when, more + 1)
            return
        if len(self._told) >= _HOSTS:
            self._told.clear()
        self._told[host] = (now, 0)
        before = f" (and {more} times before)" if more else ""
        log.warning(
            "%s: client %.200r, user %.200r refused: %s%s; for a minute others of this host are only counted",
            *(peer.address, connect.client_id, connect.username, reason.text, before),
        )
