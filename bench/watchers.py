"""A hundred watchers in a process of their own: how many events come, and how long after they were written."""

from __future__ import annotations

import multiprocessing
import re
import select
import ssl
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

from load import Connection, request

_MARK = re.compile(rb"\r\n[0-9a-f]+\r\n")
_STAMP = re.compile(rb'"stamp":"(\d+)"')
STAMP_DIGITS = 20


@dataclass
class Seen:
    """delays: seconds from the writer's request to the event, one per event and watcher. size: bytes that came."""

    delays: list[float] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0
    cpu: float = 0.0
    size: int = 0


class Watchers:
    """``number`` watches on one path, in one process; ``wait`` gives what they saw of ``events`` events each."""

    def __init__(self, port: int, tls: ssl.SSLContext, path: str, number: int) -> None:
        context = multiprocessing.get_context("fork")  # the TLS context cannot be sent
        self._ours, theirs = context.Pipe()
        self.number = number
        self._process = context.Process(target=_watch, args=(theirs, port, tls, path, number), daemon=True)
        self._process.start()
        assert self._ours.recv() == "ready"

    def expect(self, events: int) -> None:
        self._ours.send(events)

    def wait(self, within: float) -> Seen:
        """Raises AssertionError when the events do not come."""
        assert self._ours.poll(within), "events are missing"
        seen: Seen = self._ours.recv()
        return seen

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _watch(pipe: Pipe, port: int, tls: ssl.SSLContext, path: str, number: int) -> None:
    streams = [_Stream(port, tls, path) for _ in range(number)]
    for stream in streams:
        stream.begin()
    pipe.send("ready")
    with select.epoll() as poll:
        by_descriptor = {stream.connection.socket.fileno(): stream for stream in streams}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.EPOLLIN)
        while True:
            wanted = pipe.recv() * number
            seen, cpu = Seen(), time.process_time()
            while len(seen.delays) < wanted:
                for descriptor, _ in poll.poll(60):
                    by_descriptor[descriptor].read(seen)
            seen.cpu = time.process_time() - cpu
            pipe.send(seen)


class _Stream:
    def __init__(self, port: int, tls: ssl.SSLContext, path: str) -> None:
        self.connection = Connection(port, tls)
        self._path = path
        self._rest = b""

    def begin(self) -> None:
        """Reads until the headers have come."""
        self.connection.socket.sendall(request("GET", self._path))
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.connection.socket.recv(65536)
            assert part, head
            head += part
        assert head.startswith(b"HTTP/1.1 200"), head
        self._rest = b"\r\n" + head.partition(b"\r\n\r\n")[2]

    def read(self, seen: Seen) -> None:
        """Everything that is there."""
        while True:
            part = self.connection.socket.recv(65536)
            assert part, "the watch has ended"
            seen.size += len(part)
            self._take(part, seen)
            if not self.connection.socket.pending():
                return

    def _take(self, part: bytes, seen: Seen) -> None:
        data = _MARK.sub(b"", self._rest + part)
        whole = data.rfind(b"}\n") + 2
        now = time.monotonic_ns()
        for stamp in _STAMP.findall(data, 0, whole):
            seen.delays.append((now - int(stamp)) / 1e9)
        if whole > 1:
            seen.first = seen.first or now / 1e9
            seen.last = now / 1e9
            data = data[whole:]
        self._rest = data
