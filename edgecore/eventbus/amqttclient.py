"""Clients within the program, of amqtt: their subscriptions and what waits for them are on this side of the thread."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import trio

from mqtt.limits import Limits
from mqtt.local import Closed, cost
from mqtt.packets import MAX_PACKET_ID, Publish
from mqtt.properties import Properties
from mqtt.topics import check_filter, check_topic, matches

if TYPE_CHECKING:
    from edgecore.eventbus.amqttfront import Amqtt


class AmqttClient:
    """A :class:`mqtt.local.LocalClient`. dropped: what there was no room for.

    amqtt does not say at which QoS a message was published: it counts with that of the subscription, as amqtt does for all.
    """

    def __init__(self, front: Amqtt, name: str, inbox: int, limits: Limits) -> None:
        self._front = front
        self._name = name
        self._inbox = inbox
        self._limits = limits
        self._filters: dict[str, tuple[int, bool]] = {}
        self._waiting: deque[Publish] = deque()
        self._bytes = 0
        self._out: set[int] = set()
        self._last_id = 0
        self._changed = trio.Event()
        self._closed = False
        self.dropped = 0

    async def publish(
        self, topic: str, payload: bytes = b"", qos: int = 0, *, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """Returns when amqtt has it, in its memory. Properties are left out: amqtt speaks 3.1.1."""
        self._check()
        check_topic(topic)
        await self._front.published(self, topic, payload, qos, retain=retain)

    async def subscribe(self, *filters: str, qos: int = 1, own: bool = False) -> None:
        """See :class:`mqtt.local.LocalClient`."""
        self._check()
        for each in filters:
            check_filter(each)
        new = [each for each in filters if each not in self._filters]
        self._filters |= {each: (min(qos, 1), own) for each in new}
        most = self._limits.queued_messages

        async def retained(broker: Any) -> list[tuple[str, bytes, int]]:
            found = broker.retained_messages.items()
            fitting = ((name, bytes(each.data), each.qos or 0) for name, each in found if any(matches(one, name) for one in new))
            return [each for each, _ in zip(fitting, range(most), strict=False)]

        for topic, payload, level in await self._front.order(retained) if new else ():
            self._add(topic, payload, min(level, qos, 1), retain=True)

    async def unsubscribe(self, *filters: str) -> None:
        """See :class:`mqtt.local.LocalClient`."""
        self._check()
        await trio.lowlevel.checkpoint()
        for each in filters:
            self._filters.pop(each, None)

    def offer(self, topic: str, payload: bytes, qos: int, *, own: bool) -> None:
        """Takes it if somebody here wants it. own: it was published through this client."""
        granted = [level for name, (level, also_own) in self._filters.items() if (also_own or not own) and matches(name, topic)]
        if granted:
            self._add(topic, payload, min(qos, max(granted)))

    def _add(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        message = Publish(topic, payload, qos, retain)
        size, limits = cost(message), self._limits
        if len(self._waiting) >= limits.queued_messages or (self._waiting and self._bytes + size > limits.queued_bytes):
            self.dropped += 1
            return
        self._waiting.append(message)
        self._bytes += size
        self._tell()

    async def receive(self) -> Publish:
        """See :class:`mqtt.local.LocalClient`."""
        await trio.lowlevel.checkpoint()
        self._check()
        while not self._waiting or (self._waiting[0].qos and len(self._out) >= self._inbox):
            await self._changed.wait()
            self._check()
        message = self._waiting.popleft()
        self._bytes -= cost(message)
        if message.qos:
            message.packet_id = self._free_id()
            self._out.add(message.packet_id)
        return message

    def _free_id(self) -> int:
        while True:
            self._last_id = self._last_id % MAX_PACKET_ID + 1
            if self._last_id not in self._out:
                return self._last_id

    def acknowledge(self, message: Publish) -> None:
        """See :class:`mqtt.local.LocalClient`."""
        if message.qos:
            self._out.discard(message.packet_id)
            self._tell()

    def close(self) -> None:
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _check(self) -> None:
        if self._closed:
            raise Closed(f"the local client {self._name!r} of amqtt is closed")
