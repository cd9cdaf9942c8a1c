"""The sockets that are open, and how they end."""

from __future__ import annotations

import select
from contextlib import suppress
from math import inf
from typing import Final

from mqtt.asking import Asking
from mqtt.core import Core
from mqtt.faults import Faults
from mqtt.link import Link
from mqtt.sockets import Socket

LAST_WORDS: Final = 5.0
"""Seconds in which a client must take what is still to be sent when its connection ends."""
_LINGER: Final = 2.0
"""Seconds in which a client that was refused may read why, and close."""

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT


class Connections:
    """sockets: by descriptor. sealed: those to which something is held back until it is on disk. leaving: those that are over
    but for what is still to be sent, or read. asking: those of which the authenticator is asked."""

    def __init__(self, core: Core, epoll: select.epoll, asking: Asking, faults: Faults) -> None:
        self._core = core
        self.epoll = epoll
        self.asking = asking
        self.faults = faults
        self.sockets: dict[int, Socket] = {}
        self.sealed: set[Socket] = set()
        self.leaving: set[Socket] = set()

    def watch(self, sock: Socket) -> None:
        self.epoll.modify(sock.fd, (_IN if sock.reading else 0) | (_OUT if sock.writing else 0))

    def drop(self, sock: Socket, now: float) -> None:
        """The connection is gone."""
        if self.sockets.pop(sock.fd, None) is None:
            return
        with suppress(OSError):
            self.epoll.unregister(sock.fd)
        sock.close()
        sock.link.shell = None
        if sock.door is not None:
            sock.door.connections -= 1
        self.sealed.discard(sock)
        self.leaving.discard(sock)
        self.asking.gone(sock)
        # Last, because a will is published here, and whatever comes of that, the socket must be closed.
        self._lost(sock.link, now)

    def _lost(self, link: Link, now: float) -> None:
        try:
            self._core.lost(link, now)
        except Exception as error:
            self.faults.met(error, f"when {link.peer.address} had gone")

    def leave(self, sock: Socket, now: float) -> None:
        """The core has said its last word: the session goes its way, the socket is closed when that is sent."""
        self._lost(sock.link, now)
        if sock.lingering:
            return
        if not sock.pending and not sock.sealed:
            if not sock.link.refused:
                self.drop(sock, now)
                return
            sock.finish()
            sock.give_up = now + _LINGER
            sock.reading = True
            self.leaving.add(sock)
            self.watch(sock)
        elif sock.give_up is None:
            sock.give_up = now + LAST_WORDS
            sock.reading = False
            self.leaving.add(sock)
            self.watch(sock)

    def fail(self, link: Link, error: Exception, now: float) -> None:
        """Ends the connection in whose service something unexpected was raised, at once: what it was not told yet is not true for
        sure. Its session goes the way of sessions whose connection breaks. Raises JournalError, see :class:`Faults`."""
        try:
            self.faults.met(error, f"in the service of {link.peer.address}")
        finally:
            sock = link.shell
            if isinstance(sock, Socket):
                self.drop(sock, now)
            else:
                link.close()
                self._lost(link, now)

    def give_up(self, now: float) -> None:
        """Drops those that had time enough to take our last words."""
        for sock in [each for each in self.leaving if (each.give_up or inf) <= now]:
            self.drop(sock, now)
