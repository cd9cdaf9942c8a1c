"""From the external broker into inboxes: acknowledged there when it is kept here."""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial

import trio

from edgecore.eventbus.rules import Rules
from edgecore.eventbus.subscriber import Subscriber
from mqtt.client import Client, Refused
from mqtt.errors import Unencodable
from mqtt.local import InsideClient
from mqtt.packets import Publish

_AHEAD = 100
"""Messages that wait for the disk at most."""


class Incoming:
    """fixed: filters beside those of the rules. inbox: where a message with this topic belongs."""

    def __init__(self, fixed: Set[str], rules: Rules, inbox: Callable[[str], InsideClient]) -> None:
        self._fixed = fixed
        self._rules = rules
        self._inbox = inbox
        self.received = 0

    async def use(self, client: Client) -> None:
        """Hears over this connection."""
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[tuple[Publish, InsideClient, int]](_AHEAD)
            subscriber = Subscriber(partial(client.subscribe, qos=1), client.unsubscribe, (Refused, Unencodable))
            nursery.start_soon(subscriber.follow, self._fixed, self._rules)
            nursery.start_soon(self._acknowledge, client, receive)
            while True:
                message = await client.receive()
                self.received += 1
                inbox = self._inbox(message.topic)
                await send.send((message, inbox, inbox.put(message.topic, message.payload, message.qos)))

    async def _acknowledge(self, client: Client, receive: trio.MemoryReceiveChannel[tuple[Publish, InsideClient, int]]) -> None:
        async for message, inbox, batch in receive:
            await inbox.kept(batch)
            client.acknowledge(message)
