"""The clients whose CONNECT waits for the authenticator."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Final

import trio

from mqtt.access import Authenticator, Identity
from mqtt.link import Link
from mqtt.packets import Connect
from mqtt.reasons import Reason
from mqtt.sockets import Socket
from mqtt.subject import common_name, subject

log = logging.getLogger(__name__)

_LOOK: Final = 64


class Asking:
    """Who has gone is no longer asked about: otherwise what he has sent would stay in memory for as long as others wait."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._waiting: dict[Socket, trio.CancelScope] = {}

    async def about(self, sock: Socket, connect: Connect) -> Identity | Reason:
        """The authenticator's answer; nobody shall wait for it when ``gone`` was called meanwhile."""
        link = sock.link
        answer: Identity | Reason = Reason.SERVER_UNAVAILABLE
        try:
            if certificate := sock.certificate():
                name, whole = common_name(certificate), subject(certificate)
                link.peer = replace(link.peer, certificate_name=name, certificate_subject=whole)
            with trio.CancelScope() as self._waiting[sock]:
                answer = await self._authenticator.authenticate(connect, link.peer)
        except Exception:
            log.exception("the authenticator failed for %s", link.peer.address)
        finally:
            self._waiting.pop(sock, None)
        return answer

    def gone(self, sock: Socket) -> None:
        if (scope := self._waiting.get(sock)) is not None:
            scope.cancel()

    def crowd(self, strangers: Iterable[Link]) -> Socket | None:
        """Whom to give up for somebody who comes: one of the host from which most wait, and who is still silent if there is one.
        strangers: they, the oldest first. Only those who wait for longest are looked at, for it has to be quick."""
        silent = [link.shell for link in islice(strangers, _LOOK) if isinstance(link.shell, Socket)]
        waiting = [*silent, *islice(self._waiting, _LOOK)]
        hosts = [each.link.peer.address.rpartition(":")[0] for each in waiting]
        if not hosts:
            return None
        host, size = Counter(hosts).most_common(1)[0]
        place = hosts.index(host)
        return waiting[place] if size > 1 or place < len(silent) else None
