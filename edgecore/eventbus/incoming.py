"""From another broker into an inbox: acknowledged there when it is kept here."""

from __future__ import annotations

from collections.abc import Set
from functools import partial
from typing import Protocol

import trio

from edgecore.eventbus.rules import Rules
from edgecore.eventbus.subscriber import Subscriber
from mqtt.client import Refused
from mqtt.errors import Unencodable
from mqtt.local import InsideClient
from mqtt.packets import Publish
from mqtt.topics import TopicError

_AHEAD = 100
"""Messages that wait for the disk at most."""


class Source(Protocol):
    """A client of that broker: over the network, or within this program."""

    async def receive(self) -> Publish: ...

    def acknowledge(self, message: Publish) -> None: ...

    async def subscribe(self, *filters: str, qos: int = 1) -> object: ...

    async def unsubscribe(self, *filters: str) -> object: ...


class Incoming:
    """fixed: filters beside those of the rules, if there are any.

    An inbox that is full holds up its connection, and what comes waits with that broker: every inbox has a connection of its own.
    """

    def __init__(self, inbox: InsideClient, fixed: Set[str], rules: Rules | None = None) -> None:
        self._fixed = fixed
        self._rules = rules
        self._inbox = inbox
        self.received = 0

    async def use(self, client: Source) -> None:
        """Hears what comes to this client."""
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[tuple[Publish, int]](_AHEAD)
            subscriber = Subscriber(partial(client.subscribe, qos=1), client.unsubscribe, (Refused, Unencodable, TopicError))
            nursery.start_soon(subscriber.follow, self._fixed, self._rules)
            nursery.start_soon(self._acknowledge, client, receive)
            while True:
                message = await client.receive()
                self.received += 1
                if message.qos:
                    await self._inbox.room(message.topic, message.payload)
                await send.send((message, self._inbox.put(message.topic, message.payload, message.qos)))

    async def _acknowledge(self, client: Source, receive: trio.MemoryReceiveChannel[tuple[Publish, int]]) -> None:
        async for message, batch in receive:
            await self._inbox.kept(batch)
            client.acknowledge(message)
