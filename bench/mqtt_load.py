"""The load on an MQTT broker: publishers and subscribers on raw sockets in one thread, with packets that were made beforehand.

All messages of a measurement have the same size, so that answers are counted and made in whole stretches: a Python generator that
looked at every packet would be slower than the brokers. What is not as expected ends the measurement.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mqtt.codec import encode
from mqtt.packets import Connect, Publish, Subscribe, Subscription, Version

PIECE = 256 * 1024
PATIENCE = 20.0
"""Seconds without any answer after which a broker counts as stuck."""
IDS = 256
"""Packet identifiers that a publisher uses in turn; more than are ever outstanding."""


class Wrong(Exception):
    """A broker did not do what every broker does."""


@dataclass(frozen=True)
class Way:
    """How a broker is reached. stay: with sessions that outlive connections."""

    port: int
    tls: ssl.SSLContext | None = None
    version: Version = Version.V311
    stay: bool = False

    def connect(self, client_id: str, *, clean: bool = False) -> socket.socket:
        """A client that the broker has accepted."""
        sock = self.dial()
        sock.sendall(self.hello(client_id, clean=clean))
        self.welcome(sock)
        return sock

    def dial(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Closed at once: thousands of connections in TIME_WAIT would use up the ports.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return sock if self.tls is None else self.tls.wrap_socket(sock, server_hostname="localhost")

    def hello(self, client_id: str, *, clean: bool = False) -> bytes:
        stay = self.stay and not clean
        kept = {"session_expiry": 3600} if stay and self.version == Version.V5 else None
        return encode(Connect(self.version, client_id, clean_start=not stay, properties=kept), self.version)  # type: ignore[arg-type]

    def welcome(self, sock: socket.socket) -> None:
        answer = packet_from(sock)
        if answer[:1] != b"\x20" or answer[3:4] != b"\0":
            raise Wrong(f"no CONNACK of success, but {answer!r}")

    def wish(self, topic_filter: str, qos: int) -> bytes:
        return encode(Subscribe(1, [Subscription(topic_filter, qos)]), self.version)

    def granted(self, sock: socket.socket) -> None:
        answer = packet_from(sock)
        if answer[:1] != b"\x90" or answer[-1] > 2:
            raise Wrong(f"no SUBACK of success, but {answer!r}")

    def subscribe(self, client_id: str, topic_filter: str, qos: int) -> socket.socket:
        sock = self.connect(client_id)
        sock.sendall(self.wish(topic_filter, qos))
        self.granted(sock)
        return sock

    def crowd(self, name: str, count: int, together: int = 50) -> Iterator[socket.socket]:
        """Clients with one subscription each, some of them at a time."""
        for start in range(0, count, together):
            numbers = range(start, min(start + together, count))
            sockets = [self.dial() for _ in numbers]
            for sock, number in zip(sockets, numbers, strict=True):
                sock.sendall(self.hello(f"{name}-{number}"))
            for sock, number in zip(sockets, numbers, strict=True):
                self.welcome(sock)
                sock.sendall(self.wish(f"{name}/{number}", 0))
            for sock in sockets:
                self.granted(sock)
            yield from sockets


def packet_from(sock: socket.socket) -> bytes:
    """One short packet, waited for."""
    found = b""
    while len(found) < 2 or len(found) < 2 + found[1]:
        piece = sock.recv(2 - len(found) if len(found) < 2 else 2 + found[1] - len(found))
        if not piece:
            raise Wrong(f"the broker closed the connection after {found!r}")
        found += piece
    return found


class Wire:
    """A socket that never waits. pending: what the network has not taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.pending = b""
        self.poll: select.epoll | None = None

    def send(self, data: bytes) -> None:
        if self.pending:
            self.pending += data
            return
        sent = self._send(data)
        if sent < len(data):
            self.pending = data[sent:]
            assert self.poll is not None
            self.poll.modify(self.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def send_on(self) -> None:
        self.pending = self.pending[self._send(self.pending) :]
        if not self.pending:
            assert self.poll is not None
            self.poll.modify(self.socket.fileno(), select.EPOLLIN)

    def _send(self, data: bytes) -> int:
        try:
            return self.socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def receive(self) -> bytes:
        try:
            data = self.socket.recv(PIECE)
            if isinstance(self.socket, ssl.SSLSocket):
                while self.socket.pending():
                    data += self.socket.recv(PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        if not data:
            raise Wrong("the broker closed a connection")
        return data

    def readable(self) -> None:
        """Takes what has come."""
        raise NotImplementedError


class Publisher(Wire):
    """topics: used in turn. All of the same length."""

    def __init__(self, sock: socket.socket, channel: Channel, topics: Sequence[str], payload: bytes, version: Version) -> None:
        super().__init__(sock)
        qos = channel.qos
        count = max(IDS, len(topics)) if qos or len(topics) > 1 else IDS
        packets = [
            encode(Publish(topics[at % len(topics)], payload, qos, packet_id=at + 1 if qos else 0), version)
            for at in range(count)
        ]
        self.size = len(packets[0])
        assert all(len(packet) == self.size for packet in packets)
        self._ring = b"".join(packets)
        self._at = 0
        self._rest = b""
        self._channel = channel

    def publish(self, count: int) -> None:
        end = self._at + count * self.size
        data = self._ring[self._at : end]
        while end >= len(self._ring):
            end -= len(self._ring)
            data += self._ring[: min(end, len(self._ring))]
        self._at = end
        self.send(data)

    def readable(self) -> None:
        data = self._rest + self.receive()
        count = len(data) // 4
        self._rest = data[count * 4 :]
        kinds = data[: count * 4 : 4]
        done = kinds.count(0x40 if self._channel.qos == 1 else 0x70)
        self._channel.acked += done
        if done == count:
            return
        if self._channel.qos != 2 or done + kinds.count(0x50) != count:
            raise Wrong(f"not the answers to PUBLISH: {data[:40]!r}")
        if done:
            data = b"".join(data[at : at + 4] for at in range(0, count * 4, 4) if data[at] == 0x50)
        released = bytearray(data[: (count - done) * 4])
        released[::4] = b"\x62" * (count - done)
        self.send(bytes(released))


class Subscriber(Wire):
    """size, place: of a PUBLISH as it must come, and of its packet identifier in it."""

    def __init__(self, sock: socket.socket, channel: Channel, size: int, place: int) -> None:
        super().__init__(sock)
        self._channel = channel
        self._size = size
        self._place = place
        self._rest = b""
        self._missing = 0
        self._take = (self._take0, self._take1, self._take2)[channel.qos]

    def readable(self) -> None:
        self._take(self.receive())

    def _take0(self, data: bytes) -> None:
        size = self._size
        heads = data[self._missing :: size]
        if heads.count(0x30) != len(heads):
            raise Wrong("not a PUBLISH of QoS 0")
        # Of the last message that has begun, so much is still to come.
        self._missing += len(heads) * size - len(data)
        self._channel.received += len(heads)

    def _take1(self, data: bytes) -> None:
        data = self._rest + data
        size, place = self._size, self._place
        count = len(data) // size
        end = count * size
        self._rest = data[end:]
        if data[:end:size].count(0x32) != count:
            raise Wrong("not a PUBLISH of QoS 1")
        if count == 1:
            self.send(b"\x40\x02" + data[place : place + 2])
        elif count:
            answers = bytearray(4 * count)
            answers[::4] = b"\x40" * count
            answers[1::4] = b"\x02" * count
            answers[2::4] = data[place:end:size]
            answers[3::4] = data[place + 1 : end : size]
            self.send(bytes(answers))
        self._channel.received += count

    def _take2(self, data: bytes) -> None:
        data = self._rest + data
        size, place, end, pos = self._size, self._place, len(data), 0
        answers = []
        while pos < end:
            if data[pos] == 0x62:
                if pos + 4 > end:
                    break
                answers.append(b"\x70\x02" + data[pos + 2 : pos + 4])
                pos += 4
                continue
            if data[pos] != 0x34:
                raise Wrong(f"neither PUBLISH of QoS 2 nor PUBREL: {data[pos : pos + 20]!r}")
            if pos + size > end:
                break
            answers.append(b"\x50\x02" + data[pos + place : pos + place + 2])
            self._channel.received += 1
            pos += size
        self._rest = data[pos:]
        if answers:
            self.send(b"".join(answers))


@dataclass
class Channel:
    """Publishers and those who get all that they publish. window: messages that are outstanding at most, which means not
    acknowledged, or not delivered to all. delays: seconds from a write to the delivery of the last message in it."""

    qos: int
    window: int
    publishers: list[Publisher] = field(default_factory=list)
    subscribers: list[Subscriber] = field(default_factory=list)
    sent: int = 0
    received: int = 0
    acked: int = 0
    delays: list[float] = field(default_factory=list)
    _marks: deque[tuple[int, float]] = field(default_factory=deque)
    _turn: int = 0

    @property
    def settled(self) -> bool:
        return self._done() == self.sent

    def _done(self) -> int:
        done = self.received // len(self.subscribers)
        return min(done, self.acked) if self.qos else done

    def go_on(self, *, more: bool = True) -> None:
        """Notes what has come, and publishes what the window allows."""
        marks = self._marks
        now = time.perf_counter()
        while marks and self.received >= marks[0][0]:
            self.delays.append(now - marks.popleft()[1])
        room = self.window - self.sent + self._done()
        if room <= 0 or not more:
            return
        self.sent += room
        marks.append((self.sent * len(self.subscribers), now))
        share = max(1, room // len(self.publishers))
        while room > 0:
            self.publishers[self._turn].publish(min(share, room))
            self._turn = (self._turn + 1) % len(self.publishers)
            room -= share


class Load:
    """Everything that is connected for one measurement."""

    def __init__(self, channels: list[Channel]) -> None:
        self.channels = channels
        self._poll = select.epoll()
        self._wires: dict[int, tuple[Wire, Channel]] = {}
        for channel in channels:
            for wire in (*channel.publishers, *channel.subscribers):
                self._wires[wire.socket.fileno()] = wire, channel
                self._poll.register(wire.socket.fileno(), select.EPOLLIN)
                wire.poll = self._poll

    @property
    def received(self) -> int:
        return sum(channel.received for channel in self.channels)

    def run(self, seconds: float) -> None:
        """Publishes for so long. Raises Wrong."""
        for channel in self.channels:
            channel.go_on()
        deadline = time.perf_counter() + seconds
        self._serve(lambda: time.perf_counter() >= deadline, more=True)

    def settle(self) -> None:
        """Until all that was published has come."""
        self._serve(lambda: all(channel.settled for channel in self.channels), more=False)

    def _serve(self, enough: Callable[[], bool], *, more: bool) -> None:
        wires, poll = self._wires, self._poll.poll
        while not enough():
            ready = poll(PATIENCE)
            if not ready:
                raise Wrong(f"nothing came in {PATIENCE:.0f} s")
            for descriptor, events in ready:
                wire, channel = wires[descriptor]
                if events & select.EPOLLOUT:
                    wire.send_on()
                if events & ~select.EPOLLOUT:
                    wire.readable()
                    channel.go_on(more=more)

    def close(self) -> None:
        self._poll.close()
        for wire, _ in self._wires.values():
            wire.socket.close()
