"""How connections begin: accepted where there is room, known when the authenticator has answered."""

from __future__ import annotations

import logging
import select
from collections.abc import Callable
from typing import Final

import trio

from mqtt.connections import Connections
from mqtt.core import Core
from mqtt.link import Link
from mqtt.listeners import OUT_OF_DESCRIPTORS, Door
from mqtt.sockets import Socket

log = logging.getLogger(__name__)

_AT_ONCE: Final = 64
"""Connections that are accepted before others have their turn."""
_ACCEPT_PAUSE: Final = 0.25

_IN: Final = select.EPOLLIN


class Reception:
    """flush: sends what the core has to say."""

    def __init__(
        self,
        core: Core,
        connections: Connections,
        nursery: trio.Nursery,
        flush: Callable[[float], None],
    ) -> None:
        self._core = core
        self._limits = core.limits
        self._connections = connections
        self._epoll = connections.epoll
        self._faults = connections.faults
        self._nursery = nursery
        self._flush = flush

    def accept(self, door: Door, now: float) -> None:
        for _ in range(_AT_ONCE):
            try:
                if not self._accept_one(door, now):
                    return
            except Exception as error:
                self._faults.met(error, f"when somebody came to {door.where}")

    def _accept_one(self, door: Door, now: float) -> bool:
        """Whether there may be more."""
        try:
            sock, peer = door.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in OUT_OF_DESCRIPTORS or self._make_room(now):
                return True
            self._pause(door, error)
            return False
        if door.full or (len(self._connections.sockets) >= self._limits.connections and not self._make_room(now)):
            self._core.counters.closed["too many connections"] += 1
            sock.close()
            return True
        link = self._core.open(peer, now)
        try:
            new = door.wrap(sock, link, self._core)
            self._epoll.register(new.fd, _IN)
        except BaseException:
            sock.close()
            link.shell = None
            self._core.lost(link, now)
            raise
        door.connections += 1
        new.door = door
        self._connections.sockets[new.fd] = new
        return True

    def _make_room(self, now: float) -> bool:
        """Closes a connection that is over but for its end for one who comes, or that of somebody who is not let in yet."""
        for leaving in self._connections.leaving:
            self._connections.drop(leaving, now)
            return True
        if (sock := self._connections.asking.crowd(self._core.strangers)) is not None:
            self._core.counters.closed["too many strangers"] += 1
            self._connections.drop(sock, now)
            return True
        return False

    def _pause(self, door: Door, error: OSError) -> None:
        """The process has no descriptor left: those who are connected are served, who comes new waits in the kernel."""
        if door.paused:
            return
        door.paused = True
        self._core.counters.closed["no descriptor left"] += 1
        log.warning("cannot accept connections for now: %s", error.strerror)
        self._epoll.modify(door.fd, 0)
        self._nursery.start_soon(self._accept_again, door)

    async def _accept_again(self, door: Door) -> None:
        await trio.sleep(_ACCEPT_PAUSE)
        door.paused = False
        self._epoll.modify(door.fd, _IN)

    async def ask(self, link: Link) -> None:
        """Has a CONNECT answered. Until then nothing more is read from that client."""
        connect = link.asking
        sock = link.shell
        if connect is None or not isinstance(sock, Socket):
            return
        answer = await self._connections.asking.about(sock, connect)
        if link.shell is not sock:
            return
        now = trio.current_time()
        try:
            self._core.admit(link, answer, now)
            if not sock.reading and not link.closing:
                sock.reading = True
                self._connections.watch(sock)
        except Exception as error:
            self._connections.fail(link, error, now)
        self._flush(now)
