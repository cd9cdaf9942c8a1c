"""One accepted socket: bytes from it, bytes to it, without ever waiting."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from mqtt.link import Link

_WANTS: Final = ("SSLWantReadError", "SSLWantWriteError")


class TlsContext(Protocol):
    """What is needed of an ``ssl.SSLContext``; who builds it decides what it demands."""

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
    ) -> socket.socket: ...


class Entrance(Protocol):
    """Where a connection came in: it is counted there."""

    connections: int


class Gone(Exception):
    """The other side has closed, or the connection is broken."""


class Socket:
    """link: what the core knows of it. pending: taken from the link, and not yet by the network. sealed: taken from the link,
    waiting for a batch of the journal. reading, writing: what the poll is asked for. give_up: when what is unsent at the end is
    thrown away.
    """

    __slots__ = (
        "_receive",
        "_secure",
        "_sock",
        "broken",
        "door",
        "fd",
        "give_up",
        "lingering",
        "link",
        "pending",
        "reading",
        "sealed",
        "writing",
    )

    def __init__(self, sock: socket.socket, link: Link, *, secure: bool) -> None:
        self._sock = sock
        self._secure = secure
        # TLS takes one record from the network at a time, so that nothing stays there which a poll would not see, if ``size`` is
        # at least that of the largest record, 16 KiB.
        self._receive: Callable[[int], bytes] = sock.read if secure else sock.recv  # type: ignore[attr-defined]
        self.fd = sock.fileno()
        self.link = link
        self.door: Entrance | None = None
        self.pending: deque[memoryview] = deque()
        self.sealed: deque[tuple[int, bytes]] = deque()
        self.reading = True
        self.writing = False
        self.broken = False
        self.lingering = False
        self.give_up: float | None = None
        link.shell = self

    def read(self, size: int) -> bytes:
        """What has come, empty if nothing has. Raises Gone at the end."""
        try:
            data = self._receive(size)
        except OSError as error:
            if not _blocked(error):
                raise Gone from error
            return b""
        if not data:
            raise Gone
        return data

    def write(self, data: bytes) -> bool:
        """Sends, or keeps what the network does not take. Returns whether all was taken."""
        if self.broken:
            self.link.buffered -= len(data)
            return True
        if self.pending:
            self.pending.append(memoryview(data))
            return False
        try:
            sent = self._sock.send(data)
        except OSError as error:
            sent = self._not_sent(error, data)
        self.link.buffered -= sent
        if sent < len(data):
            self.pending.append(memoryview(data)[sent:])
            return False
        return True

    def write_pending(self) -> bool:
        """Goes on where ``write`` had to stop. Returns whether all was taken."""
        pending = self.pending
        while pending:
            data = pending[0]
            sent = self._send(data)
            if sent < len(data):
                pending[0] = data[sent:]
                return False
            pending.popleft()
        return True

    def _send(self, data: memoryview) -> int:
        try:
            sent = self._sock.send(data)
        except OSError as error:
            sent = self._not_sent(error, data)
        self.link.buffered -= sent
        return sent

    def _not_sent(self, error: OSError, data: bytes | memoryview) -> int:
        if _blocked(error):
            return 0
        # What it sent before may still be unread: the end is seen when reading.
        self.broken = True
        return len(data)

    def certificate(self) -> dict[str, Any]:
        """What the client has shown, and the TLS context verified; empty if nothing was. As ``ssl.SSLSocket.getpeercert``."""
        if not self._secure:
            return {}
        return self._sock.getpeercert() or {}  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Ends our half. Were the socket closed with bytes unread, its reset could overtake our last words."""
        self.lingering = True
        # What comes under TLS is not deciphered any more, and not wanted.
        self._receive = self._sock.recv
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()


def _blocked(error: OSError) -> bool:
    # By name, because this package does not import ssl: who uses no TLS does not pay for it.
    return isinstance(error, BlockingIOError) or type(error).__name__ in _WANTS
