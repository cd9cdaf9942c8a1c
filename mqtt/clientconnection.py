"""One connection of a client on trio: what ``mqtt.client.connect`` gives."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import trio

from mqtt.clientcore import Arrived, ClientCore, Connected, Disconnected, Event, Ponged, Session, Settled
from mqtt.clienterrors import ConnectFailed, ConnectionLost, Refused
from mqtt.errors import PeerError
from mqtt.packets import ConnAck, Connect, Publish, Subscription, Version
from mqtt.properties import Properties
from mqtt.reasons import Reason

_READ = 65_536
_BUFFER = 65_536


@dataclass(frozen=True)
class ClientLimits:
    """What one connection may cost. Sizes in bytes, times in seconds.

    packet: the largest packet accepted. inbox: messages that wait to be taken; with so many the client stops reading, unless
    an answer is being waited for: then it goes on, and drops messages of QoS 0 from ten times as many on, and counts them.
    unacknowledged: messages of QoS 1 and 2 that a server before 5.0 may send beyond what was acknowledged (to one of 5.0
    ``inbox`` is said as receive maximum). aliases: topic aliases that the server may use. connect: until the server has
    accepted. answer: until a ping is answered. close: for the last bytes.
    """

    packet: int = 1 << 20
    inbox: int = 100
    unacknowledged: int = 1000
    aliases: int = 16
    connect: float = 30.0
    answer: float = 20.0
    close: float = 5.0


class Sent:
    """A message of QoS 1 or 2 on its way."""

    def __init__(self, client: Client, number: int, topic: str) -> None:
        self._client, self._number, self._topic = client, number, topic
        self._answer = client.expect(number)

    async def settled(self) -> Reason:
        """When the server has taken it over. Raises as ``Client.publish``."""
        failure = f"the server refuses a message to {self._topic!r}"
        return (await self._client.outcome(self._number, self._answer, failure)).reasons[0]


class _Answer:
    """What one task waits for."""

    __slots__ = ("done", "settled")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.settled: Settled | None = None


class Messages:
    """Iterates over the messages of a client until its connection ends, which raises ConnectionLost."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Publish:
        return await self._client.receive()


class Client:
    """A connection that the server has accepted. Made by ``connect`` only.

    answer: its CONNACK. forgotten: messages of the session that the server had lost. dropped: messages of QoS 0 that came
    faster than they were taken. lost: set when the connection has ended, by whatever; every call says why.
    """

    def __init__(self, stream: trio.abc.Stream, connect: Connect, session: Session, limits: ClientLimits, manual: bool) -> None:
        self.answer = ConnAck()
        self.forgotten: list[Publish] = []
        self.dropped = 0
        self.lost = trio.Event()
        self.client_id = connect.client_id
        self._stream = stream
        self._core = ClientCore(connect, session, limits.packet)
        self._limits = limits
        self._manual = manual
        self._keep_alive = connect.keep_alive
        self._inbox: deque[Publish] = deque()
        self._arrived = trio.Event()
        self._room = trio.Event()
        self._work = trio.Event()
        self._sent = trio.Event()
        self._ponged = trio.Event()
        self._answers: dict[int, _Answer] = {}
        self._failure: ConnectionLost | None = None
        self._accepted: Connected | None = None
        self._closing = False
        self._last_words = False
        self._sending = False
        self._last_sent = self._last_heard = trio.current_time()

    async def publish(
        self, topic: str, payload: bytes = b"", qos: int = 0, *, retain: bool = False, properties: Properties | None = None
    ) -> Reason:
        """Publishes a message; at QoS 1 and 2 it returns when the server has taken it over, at QoS 0 when it is on its way.

        Raises Refused, ConnectionLost, and Unencodable. Cancelling it does not take the message back.
        """
        self._check()
        number = self._core.publish(Publish(topic, payload, qos, retain, properties=properties))
        if number:
            return (await self._settled(number, f"the server refuses a message to {topic!r}")).reasons[0]
        self._work.set()
        await trio.lowlevel.checkpoint()
        while self._core.buffered > _BUFFER and self._failure is None:
            await self._sent.wait()
        self._check()
        return Reason.SUCCESS

    async def subscribe(self, *filters: str | Subscription, qos: int = 0, properties: Properties | None = None) -> list[Reason]:
        """Subscribes to filters (those that are plain text at ``qos``); returns what the server granted for each.

        Raises Refused when it refuses one (the others hold), ConnectionLost, and Unencodable.
        """
        self._check()
        wanted = [Subscription(each, qos) if isinstance(each, str) else each for each in filters]
        number = self._core.subscribe(wanted, properties)
        names = ", ".join(repr(each.filter) for each in wanted)
        return (await self._settled(number, f"the server refuses a subscription to {names}")).reasons

    async def unsubscribe(self, *filters: str, properties: Properties | None = None) -> list[Reason]:
        """Ends subscriptions; the reasons are empty before 5.0. Raises as ``subscribe``."""
        self._check()
        number = self._core.unsubscribe(list(filters), properties)
        return (await self._settled(number, f"the server refuses to end subscriptions to {', '.join(filters)}")).reasons

    async def receive(self) -> Publish:
        """The next message. Taking it acknowledges it, unless the client was made with ``manual_acknowledgement``.

        What had arrived before the connection ended is given out; then this raises ConnectionLost.
        """
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            self._check()
            await self._arrived.wait()
        message = self._inbox.popleft()
        self._room.set()
        if not self._inbox and self._failure is None:
            self._arrived = trio.Event()
        if not self._manual:
            self.acknowledge(message)
        return message

    @property
    def messages(self) -> Messages:
        """All messages, as ``receive`` gives them: ``async for message in client.messages``."""
        return Messages(self)

    def acknowledge(self, message: Publish) -> None:
        """Says that a message of QoS 1 or 2 is safe here, so that it need not come again. In the order of arrival."""
        self._core.acknowledge(message)
        self._work.set()

    def send(self, topic: str, payload: bytes = b"", qos: int = 1, *, retain: bool = False) -> Sent:
        """Publishes without waiting: who has many messages on their way keeps their order so. Raises as ``publish``."""
        self._check()
        return Sent(self, self._core.publish(Publish(topic, payload, qos, retain)), topic)

    async def _settled(self, number: int, failure: str) -> Settled:
        return await self.outcome(number, self.expect(number), failure)

    def expect(self, number: int) -> _Answer:
        """For :class:`Sent`: from now on the answer is not missed."""
        self._answers[number] = answer = _Answer()
        self._work.set()
        self._room.set()
        return answer

    async def outcome(self, number: int, answer: _Answer, failure: str) -> Settled:
        """For :class:`Sent`: waits for the answer."""
        try:
            await answer.done.wait()
        finally:
            if self._answers.get(number) is answer:
                del self._answers[number]
        settled = answer.settled
        if settled is None:
            self._check()
            raise ConnectionLost("the connection has ended")
        if any(reason.failed for reason in settled.reasons):
            said = (settled.properties or {}).get("reason_string", "")
            words = ", ".join(reason.text for reason in settled.reasons) + (f" ({said})" if said else "")
            raise Refused(f"{failure}: {words}", settled.reasons)
        return settled

    async def ended(self) -> NoReturn:
        """Waits for the end of the connection. Raises ConnectionLost."""
        await self.lost.wait()
        self._check()
        raise ConnectionLost("the connection has ended")

    def _check(self) -> None:
        if self._failure is not None:
            raise ConnectionLost(str(self._failure), self._failure.reason) from self._failure.__cause__

    def _fail(self, text: str, reason: Reason | None = None, cause: BaseException | None = None) -> None:
        if self._failure is not None:
            return
        self._failure = ConnectionLost(text, reason)
        self._failure.__cause__ = cause
        self.lost.set()
        for answer in self._answers.values():
            answer.done.set()
        for event in (self._arrived, self._room, self._work, self._sent, self._ponged):
            event.set()

    async def open(self) -> None:
        """Sends CONNECT and waits for the answer. Raises ConnectFailed."""
        await self._stream.send_all(self._core.take())
        while self._accepted is None:
            await self._read()
            if self._failure is not None:
                raise ConnectFailed(str(self._failure), self._failure.reason) from self._failure.__cause__
        answer = self._accepted.answer
        if answer.reason.failed:
            said = (answer.properties or {}).get("reason_string", "")
            raise ConnectFailed(f"the server refuses: {answer.reason.text}" + (f" ({said})" if said else ""), answer.reason)
        self.answer = answer
        self.forgotten = self._accepted.lost
        self.client_id = self._core.server.get("assigned_client_id", self.client_id)
        self._keep_alive = self._core.server.get("server_keep_alive", self._keep_alive)

    async def run(self) -> None:
        """Moves bytes until the connection is lost, and closes it. Cancellation does not reach it: ``close`` does."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._reading)
                nursery.start_soon(self._writing)
                if self._keep_alive:
                    nursery.start_soon(self._pinging)
                await self.lost.wait()
                nursery.cancel_scope.cancel()
            await self._shut()

    async def _shut(self) -> None:
        with trio.move_on_after(self._limits.close) as scope, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            scope.shield = True
            if self._last_words and not self._sending:  # not behind half a packet
                await self._stream.send_all(self._core.take())
            await self._stream.aclose()
        if scope.cancelled_caught:
            await trio.aclose_forcefully(self._stream)

    async def close(self, reason: Reason | None) -> None:
        """Ends the connection, with a DISCONNECT where there is a reason."""
        if self._failure is None and reason is not None:
            with trio.move_on_after(self._limits.close) as scope:
                scope.shield = True
                self._core.disconnect(reason)
                self._closing = True
                self._work.set()
                await self.lost.wait()
        self._fail("the client was closed")

    async def _reading(self) -> None:
        while self._failure is None:
            while len(self._inbox) >= self._limits.inbox and not self._answers and self._failure is None:
                self._room = trio.Event()
                await self._room.wait()
            await self._read()
            self._work.set()

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some(_READ)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._fail("the connection broke", cause=error.__cause__ or error)
            return
        if not data:
            self._fail("the server closed the connection")
            return
        self._last_heard = trio.current_time()
        try:
            for event in self._core.receive(bytes(data)):
                self._handle(event)
        except PeerError as error:
            if self._core.version == Version.V5 and self._accepted is not None:
                self._core.disconnect(error.reason)
                self._last_words = True
            self._fail(f"the server breaks the protocol: {error}", error.reason, error)

    def _handle(self, event: Event) -> None:
        match event:
            case Arrived():
                self._deliver(event.message)
            case Settled():
                answer = self._answers.get(event.packet_id)
                if answer is not None:
                    answer.settled = event
                    answer.done.set()
            case Ponged():
                self._ponged.set()
            case Connected():
                self._accepted = event
            case Disconnected():
                said = (event.properties or {}).get("reason_string", "")
                self._fail(f"the server disconnects: {event.reason.text}" + (f" ({said})" if said else ""), event.reason)

    def _deliver(self, message: Publish) -> None:
        if not message.qos and self._answers and len(self._inbox) >= 10 * self._limits.inbox:
            self.dropped += 1
            return
        if message.qos and self._core.unacknowledged > self._limits.unacknowledged:
            self._fail(f"the server sends more than {self._limits.unacknowledged} messages ahead", Reason.QUOTA_EXCEEDED)
            return
        self._inbox.append(message)
        self._arrived.set()

    async def _writing(self) -> None:
        while self._failure is None:
            if not self._core.buffered:
                if self._closing:
                    self._fail("the client was closed")
                self._work = trio.Event()
                await self._work.wait()
                continue
            try:
                self._sending = True
                await self._stream.send_all(self._core.take())
                self._sending = False
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._fail("the connection broke", cause=error.__cause__ or error)
                return
            self._last_sent = trio.current_time()
            self._sent.set()
            self._sent = trio.Event()

    async def _pinging(self) -> None:
        """Nothing sent, or nothing heard, for the time of keep-alive: a ping, and its answer in time (MQTT-3.1.2-20)."""
        while True:
            await trio.sleep_until(min(self._last_sent, self._last_heard) + self._keep_alive)
            if min(self._last_sent, self._last_heard) + self._keep_alive > trio.current_time():
                continue
            self._ponged = trio.Event()
            self._core.ping()
            self._work.set()
            heard = self._last_heard
            with trio.move_on_after(self._limits.answer):
                await self._ponged.wait()
            full = len(self._inbox) >= self._limits.inbox
            if not self._ponged.is_set() and not full and self._last_heard == heard:
                self._fail(f"the server has not answered a ping for {self._limits.answer:g} s")
                return
            # Where nothing is read because nothing is taken, the answer is in the socket: no judgement.
            self._last_heard = trio.current_time()
