"""``modules.eventBus.broker: amqtt``: amqtt before the event bus, instead of the broker of this package.

It is not the default, and what it does not do stands in docs/eventbus.md. amqtt runs in a thread of its own; both ways all that
has come up by then crosses at one wake-up.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from edgecore.eventbus.amqttclient import AmqttClient
from edgecore.eventbus.crossing import Crossing
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.local import Closed, LocalBroker
from mqtt.topics import TopicError, check_topic

if TYPE_CHECKING:
    from edgecore.eventbus.amqttserver import Order, Server

log = logging.getLogger(__name__)

_END: Final = 3.5
"""Seconds that the thread has for its end. Then it is left behind: it keeps nobody from ending."""
_ORDERS: Final = 1000
_HEARD: Final = 10_000
_HEARD_BYTES: Final = 16 * 1024 * 1024


class AmqttError(OSError):
    """amqtt does not run; the text says why and what to do."""


class Amqtt:
    """The :class:`LocalBroker`. dropped: what clients have published and there was no room for on the way here."""

    def __init__(self, listener: Listener, limits: Limits) -> None:
        self._listener = listener
        self._limits = limits
        self._token = trio.lowlevel.current_trio_token()
        self._inward: Crossing[Callable[[], None]] = Crossing(partial(self._soon, self._take), _HEARD, _HEARD_BYTES)
        self._begun, self._ended = trio.Event(), trio.Event()
        self._error: BaseException | None = None
        self._permits = trio.Semaphore(_ORDERS)
        self._server: Server | None = None
        self._stopping = False
        self._waiting: set[trio.Event] = set()
        self._clients: dict[str, AmqttClient] = {}

    @property
    def dropped(self) -> int:
        return self._inward.refused + sum(each.dropped for each in self._clients.values())

    # -- in the thread of amqtt --------------------------------------------------------------------------------------

    def _soon(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(trio.RunFinishedError):  # nobody is there any more
            self._token.run_sync_soon(what)

    def _thread(self) -> None:
        try:
            try:
                from edgecore.eventbus.amqttserver import Server
            except ImportError as error:
                raise AmqttError(
                    f"`modules.eventBus.broker` is amqtt, which is not installed here ({error}): pip install 'edgecore[amqtt]', "
                    "or take the key away for the broker of edgecore"
                ) from None
            host, port = self._listener.host, self._listener.port
            started = partial(self._soon, self._begun.set)
            server = Server(host, port, self._limits.connections, self._heard, started)
            self._server = server
            if self._stopping:
                return
            server.run()
        except BaseException as error:  # it is raised again on the other side
            self._error = error
        self._soon(self._end)

    def _heard(self, topic: str, payload: bytes) -> None:
        if not self._inward.give(partial(self._deliver, topic, payload), len(payload) + len(topic)):
            refused = self._inward.refused
            # The first, the second, the fourth ...: a flood does not fill the log.
            level = logging.WARNING if refused & (refused - 1) == 0 else logging.DEBUG
            log.log(
                level, "a message to %r was dropped (%d so far): amqtt has brought more than edgecore could take", topic, refused
            )

    # -- on this side ------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        for each in self._inward.take():
            each()

    def _end(self) -> None:
        self._ended.set()
        self._begun.set()

    def _deliver(self, topic: str, payload: bytes, qos: int = 1, sender: AmqttClient | None = None) -> None:
        try:
            check_topic(topic)
        except TopicError:
            return  # amqtt does not look at the topics of wills
        for each in self._clients.values():
            each.offer(topic, payload, qos, own=each is sender)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Raises AmqttError and other OSErrors."""
        thread = threading.Thread(target=self._thread, name="amqtt", daemon=True)
        thread.start()
        try:
            await self._begun.wait()
            if not self._ended.is_set():
                task_status.started()
                await self._ended.wait()
            if isinstance(self._error, OSError):
                raise self._error
            raise AmqttError(f"amqtt has ended: {self._error!r}") from self._error
        finally:
            # In this order: the thread says first that there is a server, then looks whether it should not be.
            self._stopping = True
            if self._server is not None:
                self._server.stop()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _END):
                await self._ended.wait()
            if self._ended.is_set():
                thread.join(1.0)  # it was its last word
            else:
                log.error("amqtt does not end; its thread is left behind, and its port may stay taken until edgecore ends")
            for client in list(self._clients.values()):
                client.close()
            for waiting in self._waiting:
                waiting.set()

    async def order(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Has it done in the thread of amqtt. Raises Closed; AmqttError: amqtt could not."""
        from edgecore.eventbus.amqttserver import Order

        async with self._permits:
            if self._ended.is_set() or self._server is None:
                raise Closed("amqtt has ended")
            done = trio.Event()
            self._waiting.add(done)
            order = Order(work, lambda _: self._inward.give(done.set, always=True))
            try:
                self._server.orders.give(order)
                await done.wait()
            finally:
                self._waiting.discard(done)
        return self._outcome(order)

    def _outcome(self, order: Order) -> Any:
        if order.error is not None:
            raise AmqttError(f"amqtt has failed: {order.error!r}") from order.error
        if not order.finished:
            raise Closed("amqtt has ended")
        return order.result

    async def published(self, sender: AmqttClient, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """To clients of the network, then to those of this program."""

        async def work(broker: Any) -> None:
            # amqtt delivers at the QoS of the subscription; a QoS that is named counts instead of that, even if it is higher.
            await broker.internal_message_broadcast(topic, payload, None if qos else 0)
            if retain:
                await broker.retain_message(None, topic, payload, qos)

        await self.order(work)
        self._deliver(topic, payload, qos, sender)

    @asynccontextmanager
    async def open(self, name: str, *, keep: bool = False, inbox: int = 100) -> AsyncIterator[AmqttClient]:
        """See :class:`LocalBroker`. Raises ValueError for ``keep``: amqtt keeps nothing for clients within the program."""
        if keep:
            raise ValueError("amqtt keeps nothing for clients within the program")
        if self._ended.is_set():
            raise Closed("amqtt has ended")
        client = AmqttClient(self, name, inbox, self._limits)
        if name in self._clients:
            self._clients[name].close()
        self._clients[name] = client
        try:
            yield client
        finally:
            client.close()
            if self._clients.get(name) is client:
                del self._clients[name]


@asynccontextmanager
async def front(listener: Listener, limits: Limits) -> AsyncIterator[LocalBroker]:
    """Runs amqtt for the length of a with-block. Raises OSError, in a group."""
    async with trio.open_nursery() as nursery:
        broker = Amqtt(listener, limits)
        await nursery.start(broker.run)
        yield broker
        nursery.cancel_scope.cancel()
