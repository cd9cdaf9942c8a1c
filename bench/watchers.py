"""A hundred watchers in a process of their own: how many events come, and how long after they were written."""

from __future__ import annotations

import multiprocessing
import re
import select
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any

from load import Connection, request

_MARK = re.compile(rb"\r\n[0-9a-f]+\r\n")
_STAMP = re.compile(rb'"stamp":"(\d+)"')
_REVISION = re.compile(rb'"resourceVersion":"(\d+)"')


@dataclass
class Seen:
    """delays: seconds from the writer's request to the event, one per event and watcher. size: bytes that came. again: watches
    that the server ended (kube-apiserver does that to a client that is too slow for it) and that went on with another request."""

    delays: list[float] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0
    cpu: float = 0.0
    size: int = 0
    again: int = 0


class Watchers:
    """``number`` watches on one path from ``revision`` on, in one process; ``wait`` gives what they saw of the events that are
    expected by each."""

    def __init__(self, port: int, tls: ssl.SSLContext, path: str, revision: str, number: int) -> None:
        context = multiprocessing.get_context("fork")  # the TLS context cannot be sent
        self._ours, theirs = context.Pipe()
        self.number = number
        self._process = context.Process(target=_watch, args=(theirs, number, _Stream, (port, tls, path, revision)), daemon=True)
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


def _watch(pipe: Pipe, number: int, make: Callable[..., _Stream], what: tuple[Any, ...]) -> None:
    streams = [make(*what) for _ in range(number)]
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
                    stream = by_descriptor[descriptor]
                    if not stream.read(seen):
                        del by_descriptor[descriptor]  # epoll forgets what is closed
                        seen.again += 1
                        stream.begin(seen)
                        by_descriptor[stream.connection.socket.fileno()] = stream
                        poll.register(stream.connection.socket.fileno(), select.EPOLLIN)
            seen.cpu = time.process_time() - cpu
            pipe.send(seen)


class _Stream:
    def __init__(self, port: int, tls: ssl.SSLContext, path: str, revision: str) -> None:
        self._server = port, tls
        self._path, self._revision = path, revision
        self._rest = b""
        self._ended = False
        self.begin(Seen())

    def begin(self, seen: Seen) -> None:
        """Asks for what comes after the last revision seen, and reads until the headers have come."""
        self.connection = Connection(*self._server)
        self.connection.socket.sendall(request("GET", f"{self._path}?watch=1&resourceVersion={self._revision}"))
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.connection.socket.recv(65536)
            assert part, (head, self._revision)
            head += part
        assert head.startswith(b"HTTP/1.1 200"), head
        self._rest = b"\r\n" + head.partition(b"\r\n\r\n")[2]
        self._take(b"", seen)
        while self.connection.socket.pending():  # what the poll will not tell of
            self._take(self.connection.socket.recv(65536), seen)

    def read(self, seen: Seen) -> bool:
        """Everything that is there; False when the server has ended the watch."""
        while True:
            part = self.connection.socket.recv(65536)
            seen.size += len(part)
            self._take(part, seen)
            if not part or self._ended:
                self.connection.close()
                return False
            if not self.connection.socket.pending():
                return True

    def _take(self, part: bytes, seen: Seen) -> None:
        self._ended = part.endswith(b"0\r\n\r\n")  # the connection stays open for another request
        data = _MARK.sub(b"", self._rest + part)
        whole = data.rfind(b"}\n") + 2
        now = time.monotonic_ns()
        for stamp in _STAMP.findall(data, 0, whole):
            seen.delays.append((now - int(stamp)) / 1e9)
        if whole > 1:
            last = data.rfind(b"\n", 0, whole - 1) + 1
            self._revision = _REVISION.findall(data, last, whole)[0].decode()
            seen.first = seen.first or now / 1e9
            seen.last = now / 1e9
            data = data[whole:]
        self._rest = data
