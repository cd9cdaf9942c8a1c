"""From an inbox to the external broker, at QoS 1: acknowledged here when it is acknowledged there, in order, nothing lost."""

from __future__ import annotations

import logging

import trio

from mqtt.client import Client, Refused
from mqtt.errors import Unencodable
from mqtt.local import InsideClient
from mqtt.packets import Publish

log = logging.getLogger(__name__)


class Outgoing:
    """sent, dropped: messages since the start; dropped is what that broker does not take."""

    def __init__(self, inbox: InsideClient) -> None:
        self._inbox = inbox
        self.sent = 0
        self.dropped = 0

    async def use(self, client: Client) -> None:
        """Sends over this connection, first all that the last one has not settled. Cancelled or failing, it loses nothing."""
        self._inbox.rewind()
        async with trio.open_nursery() as nursery:
            while True:
                message = await self._inbox.receive()
                try:
                    sent = client.send(message.topic, message.payload, 1)
                except Unencodable as error:
                    self._drop(message, str(error))
                    continue
                nursery.start_soon(self._settle, message, sent.settled)

    async def _settle(self, message: Publish, settled: object) -> None:
        try:
            await settled()  # type: ignore[operator]
        except Refused as error:
            self._drop(message, str(error))
            return
        self.sent += 1
        self._inbox.acknowledge(message)

    def _drop(self, message: Publish, why: str) -> None:
        self.dropped += 1
        log.error("a message to %r was dropped: %s", message.topic, why)
        self._inbox.acknowledge(message)
