"""Where clients come in: TCP and unix sockets, with or without TLS, as plain MQTT or as WebSocket."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mqtt.access import Peer
from mqtt.core import Core
from mqtt.link import Link
from mqtt.sockets import Socket, TlsContext

if TYPE_CHECKING:
    from mqtt.upgrade import Gate

_BACKLOG: Final = 1024
_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Listener:
    """Either host ("": all addresses of this machine) and port (0: any that is free), or path: a unix socket, 0600 unless
    ``mode`` says otherwise. connections: the most at once; 0: as many as the broker takes.

    websocket: only WebSocket is spoken here (subprotocol ``mqtt``, any path), with ``tls`` as wss. origins: web pages of other
    hosts that may connect, as ``https://panel.example:8443``; ``*``: all of them (``mqtt.upgrade`` says why it matters).
    """

    host: str = "127.0.0.1"
    port: int = 1883
    path: Path | None = None
    mode: int = 0o600
    tls: TlsContext | None = None
    name: str = ""
    websocket: bool = False
    origins: frozenset[str] = frozenset()
    connections: int = 0


class Door:
    """An open listener. connections: that came in here and are there."""

    def __init__(self, sock: socket.socket, listener: Listener) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.listener = listener
        self.paused = False
        self.connections = 0
        self._gate: Gate | None = None
        if listener.websocket:
            # Here, so that who has no such listener does not pay for it.
            from mqtt.upgrade import Gate

            self._gate = Gate(listener.origins)

    @property
    def port(self) -> int:
        """0 for a unix socket."""
        return 0 if self.listener.path is not None else int(self.sock.getsockname()[1])

    @property
    def where(self) -> str:
        """For a person: ``127.0.0.1, port 1883``, or the path of a unix socket."""
        if self.listener.path is not None:
            return str(self.listener.path)
        host, port = self.sock.getsockname()[:2]
        return f"{host}, port {port}"

    @property
    def full(self) -> bool:
        return 0 < self.listener.connections <= self.connections

    def accept(self) -> tuple[socket.socket, Peer]:
        """Raises OSError: BlockingIOError when nobody waits."""
        sock, address = self.sock.accept()
        listener = self.listener
        try:
            sock.setblocking(False)
            if listener.path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = Peer(f"{address[0]}:{address[1]}", _local(address[0]), listener=listener.name)
            else:
                peer = Peer(str(listener.path), local=True, listener=listener.name)
            if listener.tls is not None:
                # The handshake happens by itself with the first reads.
                sock = listener.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True)
        except BaseException:
            sock.close()
            raise
        return sock, peer

    def wrap(self, sock: socket.socket, link: Link, core: Core) -> Socket:
        """For a connection that was accepted here."""
        secure = self.listener.tls is not None
        if self._gate is None:
            return Socket(sock, link, secure=secure)
        from mqtt.websocket import WebSocket

        return WebSocket(sock, link, self._gate, core, secure=secure)

    def close(self) -> None:
        self.sock.close()
        if self.listener.path is not None:
            self.listener.path.unlink(missing_ok=True)


@lru_cache(256)
def _local(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def open_doors(listeners: Iterable[Listener]) -> list[Door]:
    """All or none. Raises OSError that names the address."""
    doors: list[Door] = []
    try:
        for listener in listeners:
            doors += [Door(sock, listener) for sock in _listen(listener)]
    except BaseException:
        for door in doors:
            door.close()
        raise
    return doors


def _listen(listener: Listener) -> list[socket.socket]:
    where = str(listener.path) if listener.path is not None else f"{listener.host}:{listener.port}"
    try:
        return [listen_unix(listener.path, listener.mode)] if listener.path is not None else _listen_tcp(listener)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {where}: {error.strerror}") from error


def _listen_tcp(listener: Listener) -> list[socket.socket]:
    found = socket.getaddrinfo(listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sockets.append(_listen_at(family, address))
            except OSError as error:
                # All addresses are those that there are: a machine may be without IPv6.
                if listener.host or not sockets or error.errno not in _NO_SUCH_FAMILY:
                    raise
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _listen_at(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_unix(path: Path, mode: int) -> socket.socket:
    """What a process that was killed has left there is removed. Raises OSError: also when somebody listens there."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # It holds for all threads: what others make meanwhile must not be more open than they mean it to be.
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    """Whether somebody listens on a unix socket, or its file was left behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        # Without waiting for somebody who does not accept.
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True
        return True
