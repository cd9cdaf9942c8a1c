"""A connection to the external broker for as long as there is one: dialled again and again, one word per cause in the log."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from beehive.backoff import Backoff
from edgecore.eventbus.settings import External
from mqtt.client import Client, ClientError, ClientLimits, connect
from mqtt.packets import MAX_PACKET_ID, Connect, Version
from viaduct.tls import TlsError

log = logging.getLogger(__name__)

KEEP_ALIVE: Final = 30
_LIMITS: Final = ClientLimits(packet=1 << 24, inbox=100, connect=20.0, unacknowledged=MAX_PACKET_ID)
"""As many unacknowledged messages as there can be: mosquitto 2.0 begins a session that it has kept with all that waits in it."""
_REMIND: Final = 600.0
_CAUSES: Final = 20
_SETTLED: Final = 10.0


class Causes:
    """Says why there is no connection: once per cause, for all connections to one broker together, and again now and then."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def note(self, cause: str, delay: float) -> None:
        now = trio.current_time()
        if now - self._said.get(cause, float("-inf")) > _REMIND:
            text = "no connection to the external MQTT broker: %s. What is for it waits; next attempt in %.0f s"
            log.warning(text, cause, delay)
            if len(self._said) >= _CAUSES:
                self._said.clear()
            self._said[cause] = now

    def clear(self, what: str) -> None:
        """A connection is up."""
        log.log(logging.INFO if self._said else logging.DEBUG, "connected to the external MQTT broker for %s", what)
        self._said.clear()


class Connection:
    """use: works with the connection until it is lost. what: it is for, as the log says it."""

    def __init__(
        self,
        external: External,
        client_id: str,
        use: Callable[[Client], Awaitable[None]],
        causes: Causes,
        *,
        clean: bool,
        what: str,
    ) -> None:
        self._external = external
        self._client_id = client_id
        self._clean = clean
        self._what = what
        self._causes = causes
        self._use = use
        self.connects = 0

    async def run(self) -> None:
        """Until cancelled."""
        delays = Backoff(first=0.5, limit=10.0)
        while True:
            started, cause = trio.current_time(), ""
            try:
                await self._once()
            except* (ClientError, TlsError) as group:
                cause = _first(group)
            if trio.current_time() - started > _SETTLED:
                delays.reset()
            delay = delays.next()
            self._causes.note(cause, delay)
            await trio.sleep(delay)

    async def _once(self) -> None:
        external = self._external
        # 3.1.1, as KubeEdge speaks it: every broker does.
        packet = Connect(
            Version.V311,
            self._client_id,
            clean_start=self._clean,
            keep_alive=KEEP_ALIVE,
            username=external.username,
            password=external.password,
        )
        tls = external.tls() if external.tls is not None else None
        async with connect(external.address, packet, tls=tls, limits=_LIMITS, manual_acknowledgement=True) as client:
            self.connects += 1
            self._causes.clear(self._what)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.ended)
                await self._use(client)


def _first(group: BaseExceptionGroup[Exception]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error).rstrip(". ")
