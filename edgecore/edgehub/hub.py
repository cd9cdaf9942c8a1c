"""The life of the link: certificate, connect, heartbeat, reconnect. A cloud that cannot be reached is a state, not an error."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.message import Message, Operation, build
from edgecore.edgehub.certificates import Certificates, NotReady
from edgecore.edgehub.outbox import Outbox
from viaduct.link import Limits, Link, LinkError
from viaduct.tls import TlsError
from viaduct.websocket import connect

log = logging.getLogger(__name__)

_SETTLED: Final = 10.0
"""Seconds that a link must have lived for the next delay to be short again."""

_REMIND: Final = 600.0
"""Seconds after which the same cause is said again."""

_TIMES: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*")
"""A cause that names the time is not another cause a second later."""

EXPECTED: Final = (NotReady, LinkError, TlsError)


@dataclass(frozen=True)
class HubSettings:
    """url: ``wss://<server>/<project>/<node>/events``. heartbeat: seconds, less than the cloud's 30."""

    url: str
    node: str
    project: str
    heartbeat: float = 15.0
    limits: Limits = field(default_factory=Limits)


class Causes:
    """Says why there is no link: once per cause, and again now and then."""

    def __init__(self) -> None:
        self._text = ""
        self._at = float("-inf")

    def note(self, text: str, delay: float) -> None:
        """Logs ``text`` unless it was said already."""
        now = trio.current_time()
        same = _TIMES.sub("", text) == _TIMES.sub("", self._text)
        if not same or now - self._at > _REMIND:
            log.warning("no link to the cloud: %s. The node works on without it; next attempt in %.0f s", text, delay)
            self._text, self._at = text, now

    def clear(self) -> None:
        """A link is up."""
        self._text, self._at = "", float("-inf")


class EdgeHub:
    """deliver: takes what the MetaManager must see. on_connection: told of every change. users: who takes messages of group
    ``user`` that answer nothing, by their source; must not wait."""

    def __init__(
        self,
        settings: HubSettings,
        certificates: Certificates,
        outbox: Outbox,
        *,
        deliver: Callable[[Message], Awaitable[None]],
        on_connection: Callable[[bool], None],
        users: Mapping[str, Callable[[Message], None]] | None = None,
    ) -> None:
        self._settings = settings
        self._certificates = certificates
        self._outbox = outbox
        self._deliver = deliver
        self._on_connection = on_connection
        self._users = users or {}
        self._causes = Causes()
        self._unknown: set[str] = set()
        self._connected_at: float | None = None
        self._flapping = False

    async def run(self) -> None:
        """Until cancelled."""
        delays = Backoff(first=1.0, limit=30.0)
        while True:
            try:
                await self._once()
                delays.reset()
                self._connected_at = None
                continue
            except* EXPECTED as group:
                text = _first(group)
            if self._connected_at is not None and trio.current_time() - self._connected_at > _SETTLED:
                delays.reset()
            self._flapping = self._connected_at is not None and trio.current_time() - self._connected_at < _SETTLED
            self._connected_at = None
            delay = delays.next()
            self._causes.note(text, delay)
            await trio.sleep(delay)

    def _say_connected(self) -> None:
        """Loudly, unless the last link ended right after its start: a cloud that does not want us would fill the log."""
        self._connected_at = trio.current_time()
        if not self._flapping:
            self._causes.clear()
        log.log(logging.DEBUG if self._flapping else logging.INFO, "connected to the cloud at %s", self._settings.url)

    async def _once(self) -> None:
        """One link, from certificate to its end. Returns when a renewed certificate asks for a new link."""
        settings = self._settings
        context = await self._certificates.ready()
        limits = settings.limits
        async with connect(settings.url, tls=context, node=settings.node, project=settings.project, limits=limits) as link:
            await link.send(_keepalive())
            self._say_connected()
            opened = False

            def on_open() -> None:
                nonlocal opened
                opened = True
                self._on_connection(True)

            try:
                await self._session(link, on_open)
            finally:
                if opened:
                    self._on_connection(False)

    async def _session(self, link: Link, on_open: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, link)
            nursery.start_soon(self._read, link)
            nursery.start_soon(lambda: self._outbox.serve(link, on_open=on_open))
            await self._certificates.renewed()
            nursery.cancel_scope.cancel()

    async def _beat(self, link: Link) -> None:
        """Only keepalives keep the session alive in the cloud (30 s); nothing else may delay them."""
        while True:
            await trio.sleep(self._settings.heartbeat)
            await link.send(_keepalive())

    async def _read(self, link: Link) -> None:
        while True:
            await self._dispatch(await link.receive())

    async def _dispatch(self, message: Message) -> None:
        """By group (protocol 5.3)."""
        group = message.route.group
        if group in ("resource", "func"):
            await self._deliver(message)
        elif message.parent_id and group in ("user", "twin"):
            self._outbox.resolve(message)
        elif group == "user" and (take := self._users.get(message.route.source)) is not None:
            take(message)
        elif group not in self._unknown and len(self._unknown) < 100:
            self._unknown.add(group)
            log.warning("dropped a message of group %r (%s %s): nothing handles it", group, message.operation, message.resource)


def _keepalive() -> Message:
    return build(source="websocket", group="resource", operation=Operation.KEEPALIVE, resource="node", content="ping")


def _first(group: BaseExceptionGroup[Exception]) -> str:
    """The text of the first cause inside."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error).rstrip(". ")
