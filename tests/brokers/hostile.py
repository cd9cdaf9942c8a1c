"""What hostile clients do, as plain bytes and sockets: quick enough to be a nuisance."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from brokers.sockets import RawClient

from mqtt.codec import encode
from mqtt.packets import Connect, Version

GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What it looks like when the broker hangs up."""


def said(*packets: Any, version: Version = Version.V5) -> bytes:
    return b"".join(encode(each, version) for each in packets)


def connect(name: str, version: Version = Version.V5, **more: Any) -> bytes:
    return said(Connect(version, name, **more), version=version)


async def socket_to(port: int, receive_buffer: int = 0) -> trio.SocketStream:
    return (await RawClient.open(port, receive_buffer=receive_buffer)).stream  # type: ignore[return-value]


async def shout(stream: trio.SocketStream, data: bytes, times: int = 1) -> bool:
    """Sends as long as the other side takes it. Returns whether it took all."""
    try:
        for _ in range(times):
            await stream.send_all(data)
    except GONE:
        return False
    return True


async def deaf(stream: trio.SocketStream) -> None:
    """Reads and throws away, until the broker hangs up."""
    with suppress(*GONE):
        while await stream.receive_some(1 << 16):
            pass


def cut(stream: trio.SocketStream) -> None:
    """Breaks the connection with a RST, without waiting."""
    with suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def crowd(size: int, attack: Callable[[int], Awaitable[object]], at_once: int = 50) -> None:
    """Runs the attack ``size`` times, numbered."""
    limit = trio.CapacityLimiter(at_once)

    async def one(number: int) -> None:
        async with limit:
            await attack(number)

    async with trio.open_nursery() as nursery:
        for number in range(size):
            nursery.start_soon(one, number)


@asynccontextmanager
async def streams(port: int, size: int, receive_buffer: int = 0) -> AsyncIterator[list[trio.SocketStream]]:
    """Open connections, reset at the end."""
    found: list[trio.SocketStream] = []
    try:
        while len(found) < size:
            found.append(await socket_to(port, receive_buffer))
        yield found
    finally:
        close(found)


def close(found: Iterable[trio.SocketStream]) -> None:
    for each in found:
        cut(each)
