"""A bad network: a TCP proxy on loopback that delays, stalls, cuts and refuses."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Pipe:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    pending: list[tuple[float, bytes]] = field(default_factory=list)


class Proxy:
    """Listens on ``port`` and forwards to ``target`` on loopback.

    delay: seconds that every chunk waits. stalled: bytes are taken and not passed on, connections stay open, as behind a NAT that
    forgot them. refusing: new connections are closed at once.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.others: tuple[int, ...] = ()
        """Ports that take a connection when the target does not: behind a Service there is more than one."""
        self.delay = 0.0
        self.stalled = False
        self.refusing = False
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._pipes: dict[socket.socket, _Pipe] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self.cut()
        self._listener.close()
        self._selector.close()

    def cut(self) -> None:
        """Resets every connection."""
        with self._lock:
            for sock in list(self._pipes):
                self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        pipe = self._pipes.pop(sock, None)
        if pipe is None:
            return
        self._pipes.pop(pipe.sink, None)
        for end in (pipe.source, pipe.sink):
            with suppress(KeyError, ValueError):
                self._selector.unregister(end)
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            end.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.01):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._pipes:
                        self._read(key.fileobj)  # type: ignore[arg-type]
            with self._lock:
                self._forward()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.connections += 1
        if self.refusing:
            client.close()
            return
        server = self._reach()
        if server is None:
            client.close()
            return
        for source, sink in ((client, server), (server, client)):
            self._pipes[source] = _Pipe(source, sink)
            self._selector.register(source, selectors.EVENT_READ)

    def _reach(self) -> socket.socket | None:
        for port in (self.target, *self.others):
            try:
                return socket.create_connection(("127.0.0.1", port), 2)
            except OSError:
                continue
        return None

    def _read(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if not data:
            if not self.stalled:
                self._drop(source)
            else:
                self._selector.unregister(source)
            return
        if not self.stalled:
            self._pipes[source].pending.append((time.monotonic() + self.delay, data))

    def _forward(self) -> None:
        if self.stalled:
            return
        now = time.monotonic()
        for source, pipe in list(self._pipes.items()):
            while pipe.pending and pipe.pending[0][0] <= now:
                _, data = pipe.pending.pop(0)
                try:
                    pipe.sink.settimeout(5)
                    pipe.sink.sendall(data)
                except OSError:
                    self._drop(source)
                    break


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    made = Proxy(target)
    made.start()
    try:
        yield made
    finally:
        made.close()
