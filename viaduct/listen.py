"""Listening sockets, and who holds a port that is taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import trio

from beehive.supervise import Fatal

BACKLOG = 512
"""Connections that the kernel holds while we are busy: a thousand edges that come back at once need room."""

_LISTENING = "0A"


async def open_listeners(host: str, port: int, *, purpose: str) -> list[trio.SocketListener]:
    """Opens ``host:port``; an empty host means every address; port 0 lets the kernel choose (see ``port_of``).

    Raises Fatal, with the program that holds the port when this can be found out.
    """
    where = f"{host or '*'}:{port}"
    try:
        return await trio.open_tcp_listeners(port, host=host or None, backlog=BACKLOG)
    except socket.gaierror as error:
        raise Fatal(
            f"cannot listen on {where} for {purpose}: {host!r} is not an address ({error.strerror}); correct it"
        ) from error
    except OSError as error:
        raise Fatal(_explain(error, where, port, purpose)) from error


def port_of(listeners: list[trio.SocketListener]) -> int:
    """The port number that the first listener has got."""
    port: int = listeners[0].socket.getsockname()[1]
    return port


def _explain(error: OSError, where: str, port: int, purpose: str) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(port)
        by = f" by {holder}" if holder else ""
        return f"port {port} for {purpose} is in use{by} (wanted {where}); stop that program or set another port"
    if error.errno == errno.EACCES:
        return f"port {port} for {purpose} needs privileges (wanted {where}); run as root or set a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {where} for {purpose}: this machine has no such address; set one of its own or 0.0.0.0"
    return f"cannot listen on {where} for {purpose}: {error.strerror or error}"


def holder_of(port: int) -> str:
    """Program and process id that listen on a TCP port, for example ``nginx (pid 812)``; empty when nobody may know."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for handle in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(handle.readlink()) in wanted:
                        return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if len(fields) > 9 and fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
