"""An honest publisher and an honest subscriber, in a process of their own so that what else a test does does not slow them.

    python honest.py PORT

prints ``ready``, then publishes one numbered message after the other until its standard input ends; waits for what is on its way,
and prints what it has seen as JSON. It fails when a connection ends, or when what is on its way does not come in 30 seconds.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from mqtt.codec import Decoder, encode
from mqtt.packets import Connect, Packet, PingReq, PubAck, Publish, Subscribe, Subscription, Version

EVERY = 0.01
PATIENCE = 30.0
WINDOW = 100
TOPIC = "honest/numbers"


class Line:
    """One connection. Blocking, but for ``packets``, which gives what is there."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = Decoder(1 << 20, Version.V5)
        self.send(Connect(Version.V5, name, keep_alive=20))
        self.wait()

    def send(self, packet: Packet) -> None:
        self.sock.sendall(encode(packet, Version.V5))

    def packets(self) -> list[Packet]:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError(f"the broker has ended the connection of {self.name}")
        self._decoder.feed(data)
        return self._decoder.batch()

    def wait(self) -> list[Packet]:
        while not (packets := self.packets()):
            pass
        return packets


class Pair:
    """sent: when, by number. took: seconds on the way of each that came."""

    def __init__(self, port: int) -> None:
        self.reader = Line(port, "honest-reader")
        self.reader.send(Subscribe(1, [Subscription(TOPIC, 1)]))
        self.reader.wait()
        self.writer = Line(port, "honest-writer")
        self.sent: list[float] = []
        self.took: list[float] = []
        self.acknowledged = 0
        self._pinged = time.monotonic()

    def publish(self) -> None:
        number = len(self.sent)
        self.sent.append(time.monotonic())
        self.writer.send(Publish(TOPIC, b"%d" % number, 1, packet_id=number % 65535 + 1))

    def read(self, line: Line) -> None:
        now = time.monotonic()
        for packet in line.packets():
            if isinstance(packet, Publish):
                number = int(packet.payload)
                if number != len(self.took):
                    raise AssertionError(f"message {number} came instead of {len(self.took)}")
                self.took.append(now - self.sent[number])
                line.send(PubAck(packet.packet_id))
            elif isinstance(packet, PubAck):
                self.acknowledged += 1

    def ping(self) -> None:
        if time.monotonic() - self._pinged > 5:
            self._pinged = time.monotonic()
            self.reader.send(PingReq())

    @property
    def done(self) -> bool:
        return len(self.took) == len(self.sent) == self.acknowledged

    def run(self) -> None:
        watched: list[object] = [self.reader.sock, self.writer.sock, sys.stdin]
        due, end = time.monotonic(), float("inf")
        while not (self.done and end < float("inf")):
            now = time.monotonic()
            if now > end:
                raise AssertionError(f"of {len(self.sent)} messages {self.acknowledged} were acknowledged, {len(self.took)} came")
            if now >= due and end == float("inf"):
                # Nobody may have more than what the broker takes at once on its way.
                if len(self.sent) - self.acknowledged < WINDOW:
                    self.publish()
                self.ping()
                due = max(due + EVERY, now)
            for ready in select.select(watched, [], [], max(due - now, 0) if end == float("inf") else 1.0)[0]:
                if ready is sys.stdin:
                    watched.remove(sys.stdin)
                    end = time.monotonic() + PATIENCE
                else:
                    self.read(self.reader if ready is self.reader.sock else self.writer)


def main(port: int) -> None:
    pair = Pair(port)
    print("ready", flush=True)
    pair.run()
    took = sorted(pair.took)
    print(json.dumps({"messages": len(took), "median": took[len(took) // 2], "longest": took[-1]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
