"""A client that keeps its session over any number of connections and brokers, and does what the standard says: written apart from
the product's own client, so that both cannot err in the same way."""

from __future__ import annotations

import random
import socket
import struct
from collections import deque
from collections.abc import Callable

import trio

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
    Version,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason


class Lost(Exception):
    """The connection is gone."""


class Keeper:
    """got: payloads in the order in which they came, at QoS 2 once each. acknowledged: what the broker has answered last. heard:
    is told of every packet before it is answered."""

    def __init__(
        self, name: str, version: Version, chance: random.Random, heard: Callable[[Packet], None] = lambda packet: None
    ) -> None:
        self.heard = heard
        self.name = name
        self.version = version
        self.chance = chance
        self.established = False
        self.got: list[bytes] = []
        self.published: list[bytes] = []
        self.acknowledged: list[bytes] = []
        self.late: deque[Packet] = deque()
        self._stream: trio.SocketStream | None = None
        self._decoder = Decoder(1 << 20, version)
        self._unanswered: dict[int, Packet] = {}
        self._payloads: dict[int, bytes] = {}
        self._known: set[int] = set()
        self._next_id = 0
        self._packets: deque[Packet] = deque()

    @property
    def settled(self) -> bool:
        """Everything that was published is acknowledged."""
        return not self._unanswered

    @property
    def at_rest(self) -> bool:
        """No message is on its way to it at QoS 2."""
        return not self._known and not self.late

    @property
    def connection_lost(self) -> bool:
        return self._stream is None

    def done(self, messages: int) -> bool:
        return len(self.published) == messages and self.settled

    # The connection.

    async def connect(self, port: int) -> None:
        """A session that stays; what was not answered is sent again. Raises Lost. An old connection is not closed here."""
        sock = trio.socket.socket()
        self._decoder = Decoder(1 << 20, self.version)
        self._packets.clear()
        self.late.clear()
        try:
            await sock.connect(("127.0.0.1", port))
        except OSError as error:
            sock.close()
            raise Lost from error
        self._stream = trio.SocketStream(sock)
        properties = Properties(session_expiry=3600) if self.version == Version.V5 else None
        await self._send(Connect(self.version, self.name, clean_start=False, properties=properties))
        ack = await self.next()
        assert isinstance(ack, ConnAck) and ack.reason is Reason.SUCCESS, ack
        assert ack.session_present or not self.established, f"{self.name}: the session is gone"
        self.established = True
        again = list(self._unanswered.values())
        for packet in again:
            if isinstance(packet, Publish):
                packet.dup = True
        if again:
            await self._send(*again)

    async def take_over(self, port: int) -> None:
        """Connects while the old connection is open, which is closed after that."""
        old, self._stream = self._stream, None
        try:
            await self.connect(port)
        finally:
            if old is not None:
                old.socket.close()

    def reset(self) -> None:
        """Breaks the connection with a RST, whatever is on its way."""
        if self._stream is not None:
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._stream.socket.close()
            self._stream = None

    async def leave(self) -> None:
        await self._send(Disconnect())
        self.reset()

    async def _send(self, *packets: Packet) -> None:
        if self._stream is None:
            raise Lost
        try:
            await self._stream.send_all(b"".join(encode(each, self.version) for each in packets))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Lost from error

    async def next(self) -> Packet:
        """Raises Lost. Fails after 20 s."""
        with trio.fail_after(20):
            while not self._packets:
                await self._receive()
        return self._packets.popleft()

    async def _receive(self) -> None:
        if self._stream is None:
            raise Lost
        try:
            data = await self._stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Lost from error
        if not data:
            raise Lost
        self._decoder.feed(data)
        while (packet := self._decoder.next()) is not None:
            self._packets.append(packet)

    # Conversation.

    async def subscribe(self, *filters: tuple[str, int]) -> None:
        """Nothing else may be on its way."""
        await self._send(Subscribe(1, [Subscription(name, qos) for name, qos in filters]))
        ack = await self.next()
        assert isinstance(ack, SubAck), ack
        assert ack.reasons == [qos for _, qos in filters]

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Does not wait for an answer."""
        # Few identifiers, so that they are used again soon.
        number = next(each for each in range(self._next_id + 1, self._next_id + 65536) if each % 60 + 1 not in self._unanswered)
        self._next_id = number % 60
        packet_id = number % 60 + 1
        packet = Publish(topic, payload, qos, retain, packet_id=packet_id)
        self._unanswered[packet_id] = packet
        self._payloads[packet_id] = payload
        self.published.append(payload)
        await self._send(packet)

    @property
    def may_publish(self) -> bool:
        return len(self._unanswered) < 50

    async def listen(self, patience: float, late: float = 0.0) -> None:
        """Takes one packet and answers it, unless none comes in so many seconds.

        late: how probably the answer waits for :meth:`answer_late`, with all after it.
        """
        with trio.move_on_after(patience):
            while not self._packets:
                await self._receive()
        if not self._packets:
            return
        packet = self._packets.popleft()
        self.heard(packet)
        answers = self._answers(packet)
        if self.late or (answers and self.chance.random() < late):
            self.late += answers
        elif answers:
            await self._send(*answers)

    async def answer_late(self) -> None:
        answers = list(self.late)
        self.late.clear()
        if answers:
            await self._send(*answers)

    def _answers(self, packet: Packet) -> list[Packet]:
        match packet:
            case Publish():
                return self._take(packet)
            case PubRel():
                self._known.discard(packet.packet_id)
                return [PubComp(packet.packet_id)]
            case PubRec() if packet.packet_id in self._unanswered:
                self._unanswered[packet.packet_id] = PubRel(packet.packet_id)
                return [PubRel(packet.packet_id)]
            case PubAck() | PubComp():
                if self._unanswered.pop(packet.packet_id, None) is not None:
                    self.acknowledged.append(self._payloads.pop(packet.packet_id))
                return []
            case PubRec():
                return []
            case Disconnect():
                raise Lost
        raise AssertionError(f"{self.name}: {packet}")

    def _take(self, packet: Publish) -> list[Packet]:
        if packet.qos == 1:
            self.got.append(packet.payload)
            return [PubAck(packet.packet_id)]
        assert packet.qos == 2, packet
        if packet.packet_id not in self._known:
            self._known.add(packet.packet_id)
            self.got.append(packet.payload)
        return [PubRec(packet.packet_id)]

    async def finish(self) -> None:
        """Takes and answers what is still on its way, until nothing comes any more."""
        taken = -1
        while taken:
            taken = 0
            await self._send(PingReq())
            while not isinstance(packet := await self.next(), PingResp):
                taken += 1
                if answers := self._answers(packet):
                    await self._send(*answers)

    async def nothing_comes(self) -> None:
        """Whatever was to come has come."""
        await self._send(PingReq())
        packet = await self.next()
        assert isinstance(packet, PingResp), f"{self.name}: {packet}"
