"""The clients whose CONNECT waits for the authenticator."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import trio

from mqtt.access import Authenticator, Identity
from mqtt.packets import Connect
from mqtt.reasons import Reason
from mqtt.sockets import Socket
from mqtt.subject import common_name, subject

log = logging.getLogger(__name__)


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

    def crowd(self) -> Socket | None:
        """Who waits for longest of the host from which most wait, if one has more than one."""
        hosts = {sock: sock.link.peer.address.rpartition(":")[0] for sock in self._waiting}
        if not hosts:
            return None
        host, size = Counter(hosts.values()).most_common(1)[0]
        return next(sock for sock in hosts if hosts[sock] == host) if size > 1 else None
