"""The load on an API server: raw HTTP/1.1 over TLS, many connections in one thread, no parsing beyond the end of an answer.

A client library would cost more than the server that is measured. What this costs is told with each figure (``Load.cpu``).
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PIECE = 256 * 1024
PATIENCE = 120.0
"""Seconds without any answer after which a server counts as dead."""
_CHUNK = re.compile(rb"\r\n[0-9a-f]+\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"0\r\n\r\n"

Make = Callable[[int], bytes]
"""The bytes of the request with this number."""


class Refused(Exception):
    """An answer that is no success."""


@dataclass
class Load:
    """What a load brought. latencies: seconds per request. cpu: processor time of the generator itself, of one core."""

    seconds: float = 0.0
    cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds


def request(method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: api\r\nAccept: application/json\r\n"
    if body:
        head += f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection:
    """One keep-alive connection with one request at a time."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(plain, server_hostname="127.0.0.1")
        self._parts: list[bytes] = []
        self._missing: int | None = None
        self.began = 0.0

    def send(self, data: bytes) -> None:
        self._parts, self._missing = [], None
        self.began = time.perf_counter()
        self.socket.sendall(data)

    def exchange(self, data: bytes) -> bytes:
        """The whole answer to one request; waits for it."""
        self.send(data)
        while (answer := self.receive()) is None:
            pass
        return answer

    def receive(self) -> bytes | None:
        """Reads once; the whole answer when it is complete. Raises Refused, TimeoutError."""
        part = self.socket.recv(PIECE)
        if not part:
            raise Refused(f"the server closed the connection after {b''.join(self._parts)[:200]!r}")
        self._parts.append(part)
        if len(self._parts) == 1 and not part.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise Refused(part[:1000].decode(errors="replace"))
        return b"".join(self._parts) if self._complete(part) else None

    def _complete(self, part: bytes) -> bool:
        if self._missing is None:
            so_far = b"".join(self._parts) if len(self._parts) > 1 else part
            end = so_far.find(b"\r\n\r\n")
            if end < 0:
                return False
            length = _LENGTH.search(so_far, 0, end + 2)
            self._missing = int(length[1]) - (len(so_far) - end - 4) if length else -1
        elif self._missing >= 0:
            self._missing -= len(part)
        if self._missing >= 0:
            return self._missing == 0
        # In pieces: JSON holds no carriage return, so nothing but the end looks like the end.
        return (b"".join(self._parts[-2:]) if len(part) < len(_END) else part).endswith(_END)

    def close(self) -> None:
        self.socket.close()


def body_of(answer: bytes) -> bytes:
    """Without headers and the marks of its pieces."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return body
    return _CHUNK.sub(b"", b"\r\n" + body.removesuffix(b"\r\n"))


def run(connections: list[Connection], make: Make, numbers: Iterator[int], *, seconds: float = 0.0) -> Load:
    """Each connection sends its next request as soon as it has the answer to the last: until ``numbers`` end, or for so long."""
    return _Run(connections, make, numbers).go(seconds)


class _Run:
    def __init__(self, connections: list[Connection], make: Make, numbers: Iterator[int]) -> None:
        self._busy = {connection.socket.fileno(): connection for connection in connections}
        self._make, self._numbers = make, numbers
        self._load = Load()
        self._deadline = float("inf")

    def go(self, seconds: float) -> Load:
        load, cpu, start = self._load, time.process_time(), time.perf_counter()
        if seconds:
            self._deadline = start + seconds
        with select.epoll() as poll:
            for descriptor in list(self._busy):
                poll.register(descriptor, select.EPOLLIN)
                self._next(descriptor)
            while self._busy:
                ready = poll.poll(PATIENCE)
                if not ready:
                    raise Refused(f"no answer in {PATIENCE:.0f} s")
                for descriptor, _ in ready:
                    self._read(descriptor)
        load.seconds, load.cpu = time.perf_counter() - start, time.process_time() - cpu
        return load

    def _next(self, descriptor: int) -> None:
        number = next(self._numbers, None) if time.perf_counter() < self._deadline else None
        if number is None:
            del self._busy[descriptor]
        else:
            self._busy[descriptor].send(self._make(number))

    def _read(self, descriptor: int) -> None:
        connection = self._busy[descriptor]
        while connection.receive() is None:
            if not connection.socket.pending():
                return
        self._load.latencies.append(time.perf_counter() - connection.began)
        self._next(descriptor)
