"""A byte stream to another machine that cannot stall us: writes have a deadline, silence is measured, ends are final."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final, TypeAlias

import trio

CHUNK: Final = 64 * 1024
"""A write is cut into pieces of this size, each with the whole deadline: a slow link is not a dead link."""

Transport: TypeAlias = trio.SocketStream | trio.SSLStream[trio.SocketStream]


def authority(host: str, port: int) -> str:
    """``host:port`` as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def peer_address(stream: trio.SocketStream) -> str:
    """``ip:port`` of the other end, for logs; on a unix socket there is none."""
    try:
        name = stream.socket.getpeername()
    except OSError:
        return "a peer that is gone"
    if isinstance(name, (str, bytes)):
        return "this machine"
    host, port, *_ = name
    return authority(host, port)


_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 8 * 1024 * 1024


async def linger(stream: trio.SocketStream) -> None:
    """Says that nothing more comes and reads on for a moment: closing a socket with unread input would make the kernel
    throw away what we have sent last. Bounded in time and size; the caller closes."""
    errors = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)
    with suppress(*errors), trio.move_on_after(_LINGER_SECONDS):
        await stream.send_eof()
        left = _LINGER_BYTES
        while left > 0 and (data := await stream.receive_some(65536)):
            left -= len(data)


class Wire(trio.abc.Stream):
    """Wraps a TCP or TLS stream.

    write: seconds in which the peer must take a piece of CHUNK bytes. allowance: bytes that may be received before
    somebody lifts the limit (set it to None), so that nobody floods us before we know who it is.
    """

    def __init__(self, transport: Transport, *, write: float, allowance: int | None = None) -> None:
        self.transport = transport
        self.tcp = _tcp(transport)
        self.allowance = allowance
        self.failure: BaseException | None = None
        self.closed = trio.Event()
        self._write = write
        self._waiting_since = math.inf

    @property
    def socket(self) -> trio.socket.SocketType:
        """The TCP socket under everything."""
        return self.tcp.socket

    def quiet(self) -> float:
        """Seconds since which we listen and hear nothing at all; 0 while our own side is not ready to listen."""
        return max(0.0, trio.current_time() - self._waiting_since)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all.

        Raises BrokenResourceError when the peer takes nothing for the deadline. When it is cancelled half way the
        wire is cut, since what follows could not be understood any more.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        view = memoryview(data)
        try:
            for start in range(0, len(view), CHUNK):
                with trio.fail_after(self._write):
                    await self.transport.send_all(view[start : start + CHUNK])
        except trio.TooSlowError:
            error = TimeoutError(f"the peer took no data for {self._write:g} s")
            self.cut(error)
            raise trio.BrokenResourceError(str(error)) from error
        except BaseException as error:
            self.cut(error)
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self.transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Reads; raises BrokenResourceError, also when the allowance is used up."""
        self._waiting_since = trio.current_time()
        try:
            data = await self.transport.receive_some(max_bytes)
        except Exception as error:
            self.failure = self.failure or error
            raise
        finally:
            self._waiting_since = math.inf
        if self.allowance is not None:
            self.allowance -= len(data)
            if self.allowance < 0:
                flood = trio.BrokenResourceError("the peer sent too much before it was known")
                self.cut(flood)
                raise flood
        return data

    async def aclose(self) -> None:
        """Closes without waiting for the peer."""
        self.cut()
        await trio.lowlevel.checkpoint()

    def cut(self, cause: BaseException | None = None) -> None:
        """Closes at once; whoever waits in a read or a write wakes up with ClosedResourceError."""
        self.failure = self.failure or cause
        self.socket.close()
        self.closed.set()


def _tcp(transport: Transport) -> trio.SocketStream:
    return transport.transport_stream if isinstance(transport, trio.SSLStream) else transport
