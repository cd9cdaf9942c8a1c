"""What goes up: acknowledgements, requests with their answers, and events.

Nothing is kept for a later link: a request made or left unanswered while there is no link fails with Offline at once, and
whoever asked compares anew after the reconnect (level, not edge). Requests under one key are sent one after the other;
of those that nobody sent yet the newest wins, and the ones it replaced get its answer.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import trio

from beehive.keyedqueue import KeyedQueue
from beehive.message import Message, acknowledge, fail
from edgecore.edgehub.pace import Pace
from edgecore.metamanager.client import Offline
from viaduct.link import Link, MessageTooBig

log = logging.getLogger(__name__)

_ACKS = 256
_EVENTS = 1024


@dataclass(eq=False)
class _Pending:
    key: Hashable
    message: Message
    followers: list[_Pending] = field(default_factory=list)
    answer: Message | None = None
    failure: str = ""
    finished: trio.Event = field(default_factory=trio.Event)

    def finish(self, answer: Message | None, failure: str = "") -> None:
        self.answer, self.failure = answer, failure
        self.finished.set()
        for follower in self.followers:
            follower.finish(answer, failure)
        self.followers.clear()


@dataclass(eq=False)
class Sending:
    """A message on its way; what becomes of it somebody wants to know, or (``asked`` false) nobody."""

    message: Message
    asked: bool = False
    _done: trio.Event = field(default_factory=trio.Event)
    _failure: Exception | None = None

    def finish(self, failure: Exception | None = None) -> None:
        """For the outbox."""
        self._failure = failure
        self._done.set()

    def break_off(self) -> None:
        """For the outbox: the link has ended."""
        self.finish(Offline(f"{self.message.operation} {self.message.resource}: the link to the cloud broke"))

    async def arrived(self) -> None:
        """Returns when the cloud's end of the link has read it.

        Raises Offline: the link broke before that was known; MessageTooBig: no link can carry it.
        """
        await self._done.wait()
        if self._failure is not None:
            raise self._failure


class Outbox:
    """One per edgecore; ``serve`` runs it over one link after the other."""

    def __init__(self, *, qps: float = 30.0, burst: int = 60) -> None:
        self._qps, self._burst = qps, burst
        self._queue: KeyedQueue[Hashable, _Pending] = KeyedQueue()
        self._sent: dict[str, _Pending] = {}
        self._acks: trio.MemorySendChannel[Message] | None = None
        self._events: deque[Sending] = deque()
        self._event_wake = trio.Event()
        self._written: deque[Sending] = deque()
        self._written_wake = trio.Event()
        self.dropped_events = 0
        """Events that found no link, or no room."""
        self.late_answers = 0
        """Answers that nobody waited for any more."""

    @property
    def connected(self) -> bool:
        return self._acks is not None

    async def request(self, message: Message, *, newest_wins: Hashable = None, timeout: float) -> Message:  # noqa: ASYNC109
        """Sends and waits for the answer. ``newest_wins``: the key under which a newer request replaces an unsent one.

        Raises Offline: no link, the link broke, or no answer in ``timeout`` seconds.
        """
        what = f"{message.operation} {message.resource}"
        if not self.connected:
            raise Offline(f"{what}: there is no link to the cloud now")
        pending = _Pending(newest_wins if newest_wins is not None else message.id, message)
        if (replaced := self._queue.peek(pending.key)) is not None:
            pending.followers = [*replaced.followers, replaced]
            replaced.followers = []
        self._queue.put(pending.key, pending)
        try:
            with trio.move_on_after(timeout):
                await pending.finished.wait()
        finally:
            self._abandon(pending)
        if pending.answer is not None:
            return pending.answer
        raise Offline(f"{what}: {pending.failure or f'the cloud did not answer within {timeout:g} s'}")

    def _abandon(self, pending: _Pending) -> None:
        """Nobody waits for it any more. One that others follow is sent all the same."""
        if self._sent.pop(pending.message.id, None) is not None:
            self._queue.done(pending.key)
            for follower in pending.followers:
                follower.finish(None, "the request that replaced it was given up")
        elif self._queue.peek(pending.key) is pending and not pending.followers:
            self._queue.discard(pending.key)

    def resolve(self, answer: Message) -> bool:
        """Hands an answer to whoever waits for it; False when nobody does."""
        pending = self._sent.pop(answer.parent_id, None)
        if pending is None:
            self.late_answers += 1
            return False
        self._queue.done(pending.key)
        pending.finish(answer)
        return True

    async def acknowledge(self, delivered: Message) -> None:
        """Says that it is on disk. Without a link there is nobody to tell: the cloud sends it again."""
        await self._reply(acknowledge(delivered))

    async def refuse(self, delivered: Message, text: str) -> None:
        """Operation ``error``: not an acknowledgement."""
        await self._reply(fail(delivered, text, source="metamanager"))

    async def _reply(self, message: Message) -> None:
        if self._acks is not None:
            try:
                await self._acks.send(message)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("the link ended before %s was said", message.operation)

    def post(self, message: Message) -> bool:
        """Sends without waiting for anything; False when it was dropped (and counted)."""
        if not self.connected or len(self._events) >= _EVENTS:
            self.dropped_events += 1
            return False
        self._add(Sending(message))
        return True

    def send(self, message: Message) -> Sending:
        """Sends what the cloud does not answer, in the order of the calls, and tells whether it has arrived. It is for the
        caller to have no more than some hundreds on their way.

        Raises Offline: there is no link.
        """
        if not self.connected:
            raise Offline(f"{message.operation} {message.resource}: there is no link to the cloud now")
        sending = Sending(message, asked=True)
        self._add(sending)
        return sending

    def _add(self, event: Sending) -> None:
        self._events.append(event)
        self._event_wake.set()

    # -- one link ----------------------------------------------------------------------------------------------------

    async def serve(self, link: Link, *, on_open: Callable[[], None]) -> None:
        """Writes to ``link`` until it ends. ``on_open`` is called as soon as requests are possible.

        Raises LinkClosed (in an exception group).
        """
        self._queue, self._sent, self._event_wake, self._written_wake = KeyedQueue(), {}, trio.Event(), trio.Event()
        acks, waiting = trio.open_memory_channel[Message](_ACKS)
        self._acks = acks
        pace = Pace(self._qps, self._burst)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_acks, link, waiting)
                nursery.start_soon(self._write_requests, link, pace)
                nursery.start_soon(self._write_events, link, pace)
                nursery.start_soon(self._confirm, link)
                on_open()
        finally:
            self._acks = None
            acks.close()
            waiting.close()
            self._fail_all()

    async def _write_acks(self, link: Link, waiting: trio.MemoryReceiveChannel[Message]) -> None:
        async for message in waiting:
            await link.send(message)

    async def _write_requests(self, link: Link, pace: Pace) -> None:
        while True:
            key, pending = await self._queue.get()
            self._sent[pending.message.id] = pending
            await trio.sleep(pace.reserve(trio.current_time()))
            if pending.message.id not in self._sent:
                continue  # given up while it waited for its turn
            log.debug("ask %s", key)
            await link.send(pending.message)

    async def _write_events(self, link: Link, pace: Pace) -> None:
        while True:
            while not self._events:
                self._event_wake = trio.Event()
                await self._event_wake.wait()
            await trio.sleep(pace.reserve(trio.current_time()))
            event = self._events[0]
            try:
                await link.send(event.message)
            except MessageTooBig as error:
                log.error("dropped: %s", error)
                event.finish(error)
            else:
                if event.asked:
                    self._written.append(event)
                    self._written_wake.set()
            self._events.popleft()

    async def _confirm(self, link: Link) -> None:
        """Finds out what has arrived, for all that was written meanwhile at once."""
        while True:
            while not self._written:
                self._written_wake = trio.Event()
                await self._written_wake.wait()
            number = len(self._written)
            await link.reached()
            for _ in range(number):
                self._written.popleft().finish()

    def _fail_all(self) -> None:
        lost = list(self._sent.values())
        self._sent.clear()
        while len(self._queue):
            try:
                lost.append(self._queue.get_nowait()[1])
            except trio.WouldBlock:
                break
        for pending in lost:
            self._queue.done(pending.key)
            pending.finish(None, "the link to the cloud broke")
        while len(self._queue):
            self._queue.get_nowait()[1].finish(None, "the link to the cloud broke")
        self.dropped_events += sum(not event.asked for event in self._events)
        for waiting in (self._written, self._events):
            while waiting:
                waiting.popleft().break_off()
