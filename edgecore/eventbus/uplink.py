"""From an inbox to the cloud: in order, each message acknowledged when the cloud's end of the link has read it."""

from __future__ import annotations

import logging
from collections import deque

import trio

from edgecore.edgehub.outbox import Outbox, Sending
from edgecore.eventbus import messages
from edgecore.eventbus.topics import is_twin
from edgecore.metamanager.client import Offline
from mqtt.local import LocalClient
from mqtt.packets import Publish
from viaduct.link import MessageTooBig

log = logging.getLogger(__name__)

_AGAIN = 1.0
"""Seconds between two attempts."""
_AHEAD = 200
"""Messages on their way; what comes faster stays in the inbox, within its bounds."""


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
        """Until cancelled. What is on its way when a link breaks goes out again over the next one, in the old order."""
        waiting: deque[Publish] = deque()
        while True:
            await self._connected.wait()
            try:
                await self._over_link(inbox, waiting)
            except* Offline as group:
                log.debug("%s", group.exceptions[0])
            await trio.sleep(_AGAIN)

    async def _over_link(self, inbox: LocalClient, waiting: deque[Publish]) -> None:
        """Raises Offline (in a group)."""
        on_their_way: deque[tuple[Publish, Sending]] = deque((each, self._send(each)) for each in waiting)
        more, fewer = trio.Event(), trio.Event()

        async def settle() -> None:
            nonlocal more, fewer
            while True:
                while not on_their_way:
                    more = trio.Event()
                    await more.wait()
                message, sending = on_their_way[0]
                try:
                    await sending.arrived()
                    self.sent += 1
                except MessageTooBig:
                    self.dropped += 1
                on_their_way.popleft()
                waiting.popleft()
                inbox.acknowledge(message)
                fewer.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(settle)
            while True:
                while len(waiting) >= _AHEAD:
                    fewer = trio.Event()
                    await fewer.wait()
                message = await inbox.receive()
                if is_twin(message.topic):
                    inbox.acknowledge(message)
                    continue
                waiting.append(message)
                on_their_way.append((message, self._send(message)))
                more.set()

    def _send(self, message: Publish) -> Sending:
        return self._outbox.send(messages.upload(message.topic, message.payload))
