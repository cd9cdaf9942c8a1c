"""The event bus: MQTT clients of this node on one side, the cloud and the device twin on the other.

MQTT client <-> embedded broker <-> inbox "upload" -> Uplink -> cloud
external broker -> Incoming ------^      inbox "external" -> Outgoing -> external broker
orders of the cloud, answers of the twin -> publish: embedded broker, inbox "external"
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

import trio

from beehive.backoff import Backoff
from beehive.message import MalformedMessage, Message
from beehive.sqlite import StoreError
from edgecore.brokerview.serve import serve_view
from edgecore.edgehub.outbox import Outbox
from edgecore.eventbus import messages
from edgecore.eventbus.embedded import Embedded
from edgecore.eventbus.external import Causes, Connection
from edgecore.eventbus.incoming import Incoming
from edgecore.eventbus.messages import Publication, Subscribe
from edgecore.eventbus.outgoing import Outgoing
from edgecore.eventbus.rules import Rules
from edgecore.eventbus.settings import BusSettings, External
from edgecore.eventbus.subscriber import Subscriber
from edgecore.eventbus.topics import TWINS, UPLOADS, is_broker_s
from edgecore.eventbus.uplink import Uplink
from edgecore.store import Store
from edgecore.version import program_version
from mqtt.accessfile import AccessFileError
from mqtt.broker import Broker, serve
from mqtt.journal import JournalError
from mqtt.listeners import Listener
from mqtt.local import Closed, Inside, InsideClient, LocalBroker, LocalClient
from mqtt.topics import TopicError, check_filter, check_topic

log = logging.getLogger(__name__)

_ORDERS: Final = 1024
_LEVELS: Final = 128


@dataclass(frozen=True, slots=True)
class TwinMessage:
    """For the device twin. done: to be called when it is safe there; until then it comes again after a restart."""

    topic: str
    payload: bytes
    done: Callable[[], None]


Front: TypeAlias = Callable[[], AbstractAsyncContextManager[LocalBroker]]
"""Runs a broker for the length of a with-block. Raises OSError where it cannot listen."""


class EventBus:
    """Feed it with ``deliver`` and ``on_connection``, publish with ``publish``, run it with ``run``.

    twin: takes what clients say to the device twin; without it nobody here hears that. It never waits for the cloud.
    front: another broker than the embedded one for the clients of this node; that one then only keeps what waits.
    dropped: orders of the cloud that found no room or could not be carried out. carried_out: the others.
    """

    def __init__(
        self,
        settings: BusSettings,
        store: Store,
        outbox: Outbox,
        twin: trio.MemorySendChannel[TwinMessage] | None = None,
        front: Front | None = None,
    ) -> None:
        self._settings = settings
        self._twin = twin
        self._front = front
        self._clients: LocalClient | None = None
        self._devices: InsideClient | None = None
        self._rules = Rules(store)
        self._uplink = Uplink(outbox)
        self._give, self._orders = trio.open_memory_channel[Message](_ORDERS)
        self._local: InsideClient | None = None
        self._external: InsideClient | None = None
        self._said = ""
        self.broker: Broker | None = None
        self._embedded: Embedded | None = None
        self._missed = False
        self.ready = trio.Event()
        self.dropped = 0
        self.carried_out = 0

    def on_connection(self, connected: bool) -> None:
        """The link to the cloud came up, or went."""
        self._uplink.on_connection(connected)

    def deliver(self, message: Message) -> None:
        """Takes an order of the cloud (group ``user``). It waits for nothing: what finds no room is dropped and counted."""
        try:
            self._give.send_nowait(message)
        except trio.WouldBlock:
            self._drop(message, f"{_ORDERS} wait already")

    def _drop(self, message: Message, why: object) -> None:
        self.dropped += 1
        # The first, the second, the fourth ...: a cloud that goes on so does not fill the log.
        level = logging.WARNING if self.dropped & (self.dropped - 1) == 0 else logging.DEBUG
        log.log(level, "%s %r of the cloud was dropped (%d so far): %s", message.operation, message.resource, self.dropped, why)

    # -- towards MQTT ------------------------------------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes) -> None:
        """To the clients of this node; returns when it is kept for those who are away, and for the external broker.

        Raises TopicError; Closed when the bus is not running.
        """
        check_topic(topic, max_levels=_LEVELS)
        if is_broker_s(topic):
            raise TopicError(f"{topic!r} belongs to the broker")
        clients, external = self._clients, self._external
        if self._local is None or (self._front is not None and clients is None):
            raise Closed("the event bus is not running")
        batch = external.put(topic, payload) if external is not None else 0
        if clients is not None:
            await clients.publish(topic, payload, self._settings.qos, retain=self._settings.retain)
        if external is not None:
            await external.kept(batch)

    async def _carry_out(self, message: Message) -> None:
        try:
            match messages.order(message, self._settings.node):
                case Publication() as found:
                    await self.publish(found.topic, found.payload)
                case Subscribe(name):
                    check_filter(name, max_levels=_LEVELS)
                    await self._rules.add(name)
                case messages.Unsubscribe(name):
                    await self._rules.remove(name)
                case None:
                    return
            self.carried_out += 1
        except (MalformedMessage, TopicError, StoreError) as error:
            self._drop(message, error)

    async def _carry_out_all(self) -> None:
        while True:
            await self._carry_out(await self._orders.receive())

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. A port that is in use is waited for, a file that is wrong is read again; one that is right, too, at
        SIGHUP."""
        if self._settings.broker_file is None:
            await self._keep_running()
            return
        # Also while the broker cannot start: nobody who mends a file expects that it ends edgecore.
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_running)
                async for _ in signals:
                    self._missed = self.broker is None
                    if self._embedded is not None and self.broker is not None:
                        await self._embedded.reload(self.broker)

    async def _keep_running(self) -> None:
        delays = Backoff(first=1.0, limit=30.0)
        await self._rules.load()
        while True:
            try:
                await self._run()
            except* (OSError, JournalError, AccessFileError) as group:
                text = _cause(group)
                if text != self._said:
                    log.error("the MQTT broker cannot start: %s. It is tried again, the node works on without it", text)
                self._said = text
            await trio.sleep(delays.next())

    async def _run(self) -> None:
        settings = self._settings
        self._missed = False
        embedded = Embedded(settings if self._front is None else replace(settings, internal=None, broker_file=None))
        async with trio.open_nursery() as ground:
            broker: Broker = await ground.start(serve, embedded.config)
            async with AsyncExitStack() as stack:
                await self._open(Inside(broker), stack)
                await self._show(ground, broker)
                self.broker, self._embedded, self._said = broker, embedded, ""
                log.info("the event bus runs: %s", self._description())
                if self._missed:
                    # The file may have changed between its being read and now.
                    await embedded.reload(broker)
                self.ready.set()
                try:
                    await self._work(broker)
                finally:
                    self.broker = self._local = self._external = self._devices = self._clients = None
                    self.ready = trio.Event()

    async def _show(self, nursery: trio.Nursery, broker: Broker) -> None:
        """For ``keadm ctl broker``; nothing else needs it."""
        if self._settings.view is None:
            return
        version = f"edgecore {program_version()}"
        try:
            await nursery.start(partial(serve_view, broker, self._settings.view, version=version))
        except OSError as error:
            log.warning("`keadm ctl broker` has nothing to look at: %s", error.strerror)

    async def _open(self, inside: Inside, stack: AsyncExitStack) -> None:
        self._local = await stack.enter_async_context(inside.open("upload", keep=True))
        if self._twin is not None:
            self._devices = await stack.enter_async_context(inside.open("twin", keep=True))
        if self._settings.external is not None:
            self._external = await stack.enter_async_context(inside.open("external", keep=True))
        if self._settings.internal is not None and self._front is None:
            self._clients = self._local

    async def _work(self, broker: Broker) -> None:
        upload, devices = self._local, self._devices
        assert upload is not None  # noqa: S101 - opened just before
        async with trio.open_nursery() as nursery:
            if self._external is not None and self._settings.external is not None:
                self._bridge(nursery, self._settings.external, self._external, upload)
            if devices is not None and self._twin is not None:
                nursery.start_soon(self._hand_on, devices, self._twin)
            if self._front is not None:
                nursery.start_soon(self._use, self._front, upload, devices)
            elif self._settings.internal is not None:
                nursery.start_soon(self._let_in, broker, upload, devices)
            if self._front is None:
                nursery.start_soon(self._carry_out_all)
            await self._uplink.run(upload)

    async def _let_in(self, broker: Broker, upload: InsideClient, devices: InsideClient | None) -> None:
        """Clients come when what they say is heard; what this needs is on disk then."""
        if devices is not None:
            await _subscriber(devices).bring_to(frozenset(TWINS))
        subscriber = _subscriber(upload)
        await subscriber.bring_to(self._rules.filters | set(UPLOADS))
        broker.let_in.set()
        await subscriber.follow(frozenset(UPLOADS), self._rules)

    async def _use(self, front: Front, upload: InsideClient, devices: InsideClient | None) -> None:
        async with front() as broker, AsyncExitStack() as stack, trio.open_nursery() as nursery:
            self._clients = await stack.enter_async_context(broker.open("eventbus"))
            nursery.start_soon(self._carry_out_all)
            nursery.start_soon(Incoming(upload, frozenset(UPLOADS), self._rules).use, self._clients)
            if devices is not None:
                client = await stack.enter_async_context(broker.open("eventbus-twin"))
                nursery.start_soon(Incoming(devices, frozenset(TWINS)).use, client)

    async def _hand_on(self, devices: InsideClient, twin: trio.MemorySendChannel[TwinMessage]) -> None:
        while True:
            message = await devices.receive()
            await twin.send(TwinMessage(message.topic, message.payload, partial(devices.acknowledge, message)))

    def twin_again(self) -> None:
        """The device twin has started anew: what it had taken and not said ``done`` of is handed on again."""
        if self._devices is not None:
            self._devices.rewind()

    def _bridge(self, nursery: trio.Nursery, external: External, queue: InsideClient, upload: InsideClient) -> None:
        name, causes = self._settings.node, Causes()
        sub_id = external.sub_id or f"edgecore-{name}-sub"
        pub_id = external.pub_id or f"edgecore-{name}-pub"
        hear = Incoming(upload, frozenset(UPLOADS), self._rules)
        nursery.start_soon(Connection(external, sub_id, hear.use, causes, clean=False, what="reading").run)
        nursery.start_soon(Connection(external, pub_id, Outgoing(queue).use, causes, clean=True, what="writing").run)
        if self._devices is not None:
            hear = Incoming(self._devices, frozenset(TWINS))
            nursery.start_soon(Connection(external, f"{sub_id}-twin", hear.use, causes, clean=False, what="the twin").run)

    def _description(self) -> str:
        settings = self._settings
        parts = []
        if settings.internal is not None:
            parts.append(f"MQTT by {settings.broker_file}" if settings.broker_file else f"MQTT at {_shown(settings.internal)}")
        if settings.external is not None:
            address = settings.external.address
            parts.append(f"external broker {address if isinstance(address, str) else f'{address[0]}:{address[1]}'}")
        return ", ".join(parts)


def _shown(listener: Listener) -> str:
    return str(listener.path) if listener.path is not None else f"{listener.host}:{listener.port}"


def _subscriber(client: InsideClient) -> Subscriber:
    return Subscriber(client.subscribe, client.unsubscribe, (TopicError,), set(client.filters))


def _cause(group: BaseExceptionGroup[Exception]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
