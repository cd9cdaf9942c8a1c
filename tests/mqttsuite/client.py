"""A client that may break every rule: it writes whatever it is told to, and reads what the server says with the strict
decoder, so that an answer that is no MQTT packet is a failure as well."""

from __future__ import annotations

import socket
import struct
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

from mqtt.codec import Decoder, encode
from mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason

P = TypeVar("P", bound=Packet)
PING = b"\xc0\x00"


class Deviation(AssertionError):
    """The server did something else than the clause says."""


def frame(first: int, *body: bytes) -> bytes:
    """A packet of any bytes with the right remaining length."""
    length = sum(map(len, body))
    size = bytearray()
    while True:
        size.append(length & 127 | (128 if length > 127 else 0))
        length >>= 7
        if not length:
            return b"".join((bytes((first,)), size, *body))


def text(value: str | bytes) -> bytes:
    """A string with its length in front, whatever it is."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def short(packet: Packet | None) -> str:
    """``PUBLISH``, or that there was none, for the table and for messages."""
    if packet is None:
        return "the end of the connection"
    if isinstance(packet, Publish):
        return f"PUBLISH {packet.payload[:20]!r} at QoS {packet.qos}"
    reason = getattr(packet, "reason", Reason.SUCCESS)
    return packet.type.name + (f" ({reason.text})" if reason else "")


def dial(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Client:
    """sock: or what has its face. patience: seconds that it waits for anything. received: all bytes that came. retained: where
    it has left a message."""

    def __init__(self, sock: Any, version: Version, patience: float) -> None:
        self.version = version
        self.patience = patience
        self.sock = sock
        self.decoder = Decoder(1 << 28, version)
        self.client_id = ""
        self.received = b""
        self.retained: set[str] = set()
        self._came: deque[Packet] = deque()
        self._packet_id = 100
        self._marks = 0

    # Out.

    def raw(self, *data: bytes) -> None:
        """Whatever it is. A server that has closed already is found out when we read."""
        try:
            self.sock.sendall(b"".join(data))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, *packets: Packet) -> None:
        self.raw(*(encode(each, self.version) for each in packets))

    def number(self) -> int:
        """A packet identifier that was not used before on this connection."""
        self._packet_id += 1
        return self._packet_id

    # In.

    def packet(self, patience: float | None = None) -> Packet | None:
        """The next packet; None when the server has closed. Raises Deviation when nothing comes, PeerError for bad packets."""
        until = time.monotonic() + (self.patience if patience is None else patience)
        while not self._came:
            self.sock.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                raise Deviation("the server says nothing and keeps the connection open") from None
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.received += data
            self.decoder.feed(data)
            self._came += self.decoder.batch()
        return self._came.popleft()

    def expect(self, kind: type[P], patience: float | None = None) -> P:
        packet = self.packet(patience)
        if not isinstance(packet, kind):
            raise Deviation(f"{short(packet)} instead of {kind.__name__.upper()}")
        return packet

    # Whole exchanges.

    def connect(self, client_id: str, **connect: Any) -> ConnAck:
        """Sends a CONNECT and returns the answer."""
        self.client_id = client_id
        connect.setdefault("keep_alive", 60)
        if (will := connect.get("will")) is not None and will.retain:
            self.retained.add(will.topic)
        self.send(Connect(self.version, client_id, **connect))
        return self.expect(ConnAck)

    def ping(self) -> list[Packet]:
        """What has come before the answer to a PINGREQ."""
        self.send(PingReq())
        before = []
        while not isinstance(packet := self.packet(), PingResp):
            if packet is None:
                raise Deviation("the server has closed the connection")
            before.append(packet)
        return before

    def subscribe(self, *filters: str | Subscription, qos: int = 0, identifier: int | None = None) -> list[Reason]:
        """The granted QoS or the refusals. What comes before the SUBACK waits for the next look."""
        wanted = [Subscription(each, qos) if isinstance(each, str) else each for each in filters]
        properties = Properties(subscription_identifiers=[identifier]) if identifier else None
        number = self.number()
        self.send(Subscribe(number, wanted, properties))
        ack = self._answer(SubAck)
        if ack.packet_id != number:
            raise Deviation("the SUBACK has another packet identifier")
        return ack.reasons

    def unsubscribe(self, *filters: str) -> UnsubAck:
        number = self.number()
        self.send(Unsubscribe(number, list(filters)))
        ack = self._answer(UnsubAck)
        if ack.packet_id != number:
            raise Deviation("the UNSUBACK has another packet identifier")
        return ack

    def _answer(self, kind: type[P]) -> P:
        others = []
        while not isinstance(packet := self.packet(), kind):
            if not isinstance(packet, Publish):
                raise Deviation(f"{short(packet)} instead of {kind.__name__.upper()}")
            others.append(packet)
        self._came.extendleft(reversed(others))
        return packet

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, **more: Any) -> Reason:
        """The whole exchange of the QoS; returns what the server said to it."""
        packet_id = self.number() if qos else 0
        if more.get("retain"):
            self.retained.add(topic)
        self.send(Publish(topic, payload, qos, packet_id=packet_id, **more))
        if qos == 1:
            return self._of(PubAck, packet_id).reason
        if qos == 2:
            received = self._of(PubRec, packet_id)
            if not received.reason.failed:
                self.send(PubRel(packet_id))
                self._of(PubComp, packet_id)
            return received.reason
        return Reason.SUCCESS

    def _of(self, kind: type[Any], packet_id: int) -> Any:
        ack = self._answer(kind)
        if ack.packet_id != packet_id:
            raise Deviation(f"the {ack.type.name} has another packet identifier")
        return ack

    def message(self, patience: float | None = None) -> Publish:
        """The next PUBLISH, acknowledged as its QoS demands."""
        packet = self.expect(Publish, patience)
        self.acknowledge(packet)
        return packet

    def acknowledge(self, packet: Publish) -> None:
        if packet.qos == 1:
            self.send(PubAck(packet.packet_id))
        elif packet.qos == 2:
            self.send(PubRec(packet.packet_id))
            released = self._answer(PubRel)
            assert isinstance(released, PubRel)
            self.send(PubComp(packet.packet_id))

    def payloads(self, count: int) -> list[bytes]:
        return [self.message().payload for _ in range(count)]

    def nothing_from(self, publisher: Client, *, acknowledge: bool = True) -> list[Packet]:
        """Everything that this client gets before a message that the publisher sends now: after what it has sent before, there
        is nothing else to come. No clock is needed for that. acknowledge: what comes, for a server may wait for it."""
        self._marks += 1
        mark = f"mark/{self.client_id}/{self._marks}"
        self.subscribe(mark)
        publisher.publish(mark, b"mark")
        before: list[Packet] = []
        while True:
            packet = self.packet()
            if packet is None:
                raise Deviation("the server has closed the connection")
            if isinstance(packet, Publish) and packet.topic == mark:
                return before
            before.append(packet)
            if acknowledge and isinstance(packet, Publish):
                self.acknowledge(packet)

    def silent_from(self, publisher: Client) -> None:
        """Nothing that the publisher has sent so far comes here."""
        came = self.nothing_from(publisher)
        if came:
            raise Deviation(f"{short(came[0])} came, and nothing should")

    @property
    def largest(self) -> int:
        """The size of the largest packet that has come."""
        data, most = self.received, 0
        while data:
            size = shift = 0
            end = 1
            while True:
                size |= (data[end] & 127) << shift
                shift += 7
                end += 1
                if data[end - 1] < 128:
                    break
            most = max(most, end + size)
            data = data[end + size :]
        return most

    # Ends.

    def refused(self, *data: bytes) -> list[Packet]:
        """Sends what is not allowed: the server must close. Returns what it said before that. A PINGREQ behind it is answered by
        a server that goes on, so that nobody has to wait for what does not happen."""
        self.raw(*data, PING)
        return self.closed()

    def closed(self, patience: float | None = None) -> list[Packet]:
        """Waits until the server closes the connection; the answer to a ping says that it does not."""
        said = []
        while (packet := self.packet(patience)) is not None:
            if isinstance(packet, PingResp):
                raise Deviation("the server goes on")
            said.append(packet)
        for each in said:
            if isinstance(each, (ConnAck, Disconnect)) and not each.reason.failed:
                raise Deviation(f"{short(each)} before the end of the connection")
        return said

    def gone(self, *data: bytes) -> bytes:
        """Sends what is not allowed, and waits until the server closes. Returns the bytes that it said, in whatever form."""
        self.raw(*data)
        said = b""
        self.sock.settimeout(self.patience)
        try:
            while came := self.sock.recv(65536):
                said += came
        except TimeoutError:
            raise Deviation("the server keeps the connection open") from None
        except ConnectionResetError:
            pass
        return said

    def alive(self) -> None:
        """Raises Deviation when the connection has ended."""
        self.ping()

    def leave(self) -> None:
        """DISCONNECT, and waits until the server has closed."""
        self.send(Disconnect())
        try:
            while self.packet(0.5) is not None:
                pass
        except Deviation:
            pass
        self.close()

    def reset(self) -> None:
        """Breaks the connection as a lost network would."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.sock.close()


def publishes(packets: Iterable[Packet]) -> list[Publish]:
    return [each for each in packets if isinstance(each, Publish)]
