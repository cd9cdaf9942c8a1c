"""From the external broker into inboxes: acknowledged there when it is kept here."""

from __future__ import annotations

from collections.abc import Callable

import trio

from edgecore.eventbus.rules import Rules
from mqtt.client import Client
from mqtt.local import InsideClient
from mqtt.packets import Publish

_AHEAD = 100
"""Messages that wait for the disk at most."""


class Incoming:
    """fixed: filters beside those of the rules. inbox: where a message with this topic belongs."""

    def __init__(self, fixed: tuple[str, ...], rules: Rules, inbox: Callable[[str], InsideClient]) -> None:
        self._fixed = fixed
        self._rules = rules
        self._inbox = inbox
        self.received = 0

    async def use(self, client: Client) -> None:
        """Hears over this connection."""
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[tuple[Publish, InsideClient, int]](_AHEAD)
            nursery.start_soon(self._follow, client)
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

    async def _follow(self, client: Client) -> None:
        """Keeps the subscriptions as the rules are."""
        held: set[str] = set()
        with self._rules.watch() as changes:
            while True:
                await changes.wait()
                wanted = {*self._fixed, *self._rules.filters}
                if gone := sorted(held - wanted):
                    await client.unsubscribe(*gone)
                for name in sorted(wanted - held):
                    await client.subscribe(name, qos=1)
                held = wanted
