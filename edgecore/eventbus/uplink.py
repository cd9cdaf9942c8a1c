"""From an inbox to the cloud: in order, each message acknowledged when the link has it, the rest kept while there is no link."""

from __future__ import annotations

import logging

import trio

from edgecore.edgehub.outbox import Outbox
from edgecore.eventbus import messages
from edgecore.eventbus.topics import is_twin
from edgecore.metamanager.client import Offline
from mqtt.local import LocalClient
from viaduct.link import MessageTooBig

log = logging.getLogger(__name__)

_AGAIN = 1.0
"""Seconds after which a link that was up and did not take a message is tried again."""


class Uplink:
    """sent, dropped: messages since the start; dropped is what no link can carry."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._connected = trio.Event()
        self.sent = 0
        self.dropped = 0

    def on_connection(self, connected: bool) -> None:
        """The link came up, or went."""
        if connected:
            self._connected.set()
        else:
            self._connected = trio.Event()

    async def run(self, inbox: LocalClient) -> None:
        """Until cancelled."""
        while True:
            message = await inbox.receive()
            if not is_twin(message.topic):
                await self._send(message.topic, message.payload)
            inbox.acknowledge(message)

    async def _send(self, topic: str, payload: bytes) -> None:
        message = messages.upload(topic, payload)
        while True:
            await self._connected.wait()
            try:
                await self._outbox.send(message)
                self.sent += 1
                return
            except Offline as error:
                log.debug("%s", error)
                await trio.sleep(_AGAIN)
            except MessageTooBig:
                self.dropped += 1
                return
