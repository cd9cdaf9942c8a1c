"""Streams to a server: TCP, TLS, unix socket."""

from __future__ import annotations

import socket
from typing import Any, TypeAlias

import trio

Address: TypeAlias = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""
TlsContext: TypeAlias = Any
"""An ``ssl.SSLContext``. Who builds it decides what is trusted; this package does not."""


async def dial(address: Address, tls: TlsContext | None, server_hostname: str | None) -> trio.abc.Stream:
    """Raises OSError, and trio.BrokenResourceError where TLS fails."""
    stream: trio.SocketStream
    if isinstance(address, str):
        stream = await trio.open_unix_socket(address)
        host = None
    else:
        host = address[0]
        stream = await trio.open_tcp_stream(*address)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return stream
    secured = trio.SSLStream(stream, tls, server_hostname=server_hostname or host)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


def root_cause(error: BaseException) -> BaseException:
    """What lies at the bottom: of several addresses that were tried, the first."""
    while True:
        inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if inner is None:
            return error
        error = inner
