"""From an inbox to the external broker, at QoS 1: acknowledged here when it is acknowledged there, in order, nothing lost."""

from __future__ import annotations

import logging
from typing import Final

import trio

from mqtt.client import Client, Refused
from mqtt.clientconnection import Sent
from mqtt.errors import Unencodable
from mqtt.local import InsideClient
from mqtt.packets import Publish

log = logging.getLogger(__name__)

_FRUITLESS: Final = 5


class Outgoing:
    """sent, dropped: messages since the start; dropped is what that broker does not take."""

    def __init__(self, inbox: InsideClient) -> None:
        self._inbox = inbox
        self.sent = 0
        self.dropped = 0
        self._settled = self._before = 0
        self._fruitless = 0
        self._first: Publish | None = None

    async def use(self, client: Client) -> None:
        """Sends over this connection, first all that the last one has not settled. Cancelled or failing, it loses nothing."""
        self._look_back()
        self._inbox.rewind()
        async with trio.open_nursery() as nursery:
            while True:
                message = await self._inbox.receive()
                self._first = self._first or message
                try:
                    sent = client.send(message.topic, message.payload, 1)
                except Unencodable as error:
                    self._drop(message, str(error))
                    continue
                nursery.start_soon(self._settle, message, sent)

    def _look_back(self) -> None:
        """A broker that ends each connection at the same message gets it again and again: nobody but a person can say what is to
        become of it."""
        message, self._first = self._first, None
        self._fruitless = self._fruitless + 1 if message is not None and self._settled == self._before else 0
        self._before = self._settled
        if message is not None and self._fruitless == _FRUITLESS:
            log.error(
                "the external MQTT broker has ended %d connections without taking a message to %r with %d bytes: "
                "is it too large for that broker, or forbidden? All that is for it waits behind this one",
                _FRUITLESS,
                message.topic,
                len(message.payload),
            )

    async def _settle(self, message: Publish, sent: Sent) -> None:
        try:
            await sent.settled()
        except Refused as error:
            self._drop(message, str(error))
            return
        self.sent += 1
        self._settled += 1
        self._inbox.acknowledge(message)

    def _drop(self, message: Publish, why: str) -> None:
        self.dropped += 1
        self._settled += 1
        log.error("a message to %r was dropped: %s", message.topic, why)
        self._inbox.acknowledge(message)
