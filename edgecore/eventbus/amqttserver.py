"""amqtt in a thread of its own: the only place with asyncio, and the only one that imports amqtt.

Written for amqtt 0.12. It gives a program no way to hear what clients publish, wills among it, but a method that is not public;
a version without it is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin

from edgecore.eventbus.crossing import Crossing

log = logging.getLogger(__name__)

_END: Final = 2.0
"""Seconds that amqtt has for its own end, and its tasks once more half of it."""
_TAP: Final = "_broadcast_message"

Heard = Callable[[str, bytes], None]


class Order:
    """work: what is to be done with the broker. done: called in the thread of amqtt when result or error is there."""

    def __init__(self, work: Callable[[Broker], Awaitable[Any]], done: Callable[[Order], object]) -> None:
        self.work = work
        self.done = done
        self.result: Any = None
        self.error: Exception | None = None
        self.finished = False

    async def carry_out(self, broker: Broker) -> None:
        try:
            self.result = await self.work(broker)
        except Exception as error:  # amqtt promises nothing about what it raises; whoever waits for this gets it.
            self.error = error
        self.finished = True
        self.done(self)


class Everybody(BaseAuthPlugin):
    """Lets everybody in; the listener is for this machine alone. Unlike amqtt's own plug-in for that, sessions can stay."""

    async def authenticate(self, *, session: Any) -> bool:
        return session is not None


class _Tapped(Broker):
    """heard: is told what clients publish, and their wills; not what this program publishes."""

    def __init__(self, config: dict[str, Any], heard: Heard) -> None:
        super().__init__(config)
        self._tell = heard
        self._connections: set[asyncio.StreamWriter] = set()

    async def stream_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str) -> None:
        self._connections.add(writer)
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            self._connections.discard(writer)
            writer.close()  # amqtt itself forgets those that said nothing it understands

    def abort(self) -> None:
        """Closes the connections that amqtt's own end leaves open: those of clients that did not say who they are."""
        for each in self._connections:
            each.transport.abort()

    async def _broadcast_message(self, session: Any, topic: str | None, data: Any, force_qos: int | None = None) -> None:
        await super()._broadcast_message(session, topic, data, force_qos)
        if session is not None and topic:
            self._tell(topic, bytes(data or b""))


class Server:
    """One life of amqtt. ``run`` is for the thread, ``orders`` and ``stop`` are for the others.

    started: called in the thread when clients can come.
    """

    def __init__(self, host: str, port: int, connections: int, heard: Heard, started: Callable[[], object]) -> None:
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._connections = connections
        self._heard = heard
        self._started = started
        self._loop = asyncio.new_event_loop()
        self._work = asyncio.Event()
        self._stopping = False
        self.orders: Crossing[Order] = Crossing(self._wake, 1 << 20, 1 << 40)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: amqtt has ended
            self._loop.call_soon_threadsafe(self._work.set)

    def stop(self) -> None:
        """Returns at once."""
        self._stopping = True
        self._wake()

    def run(self) -> None:
        """Until stopped. Raises OSError where it cannot listen; else whatever amqtt raises."""
        loop = self._loop
        try:
            loop.run_until_complete(self._main())
        finally:
            left = asyncio.all_tasks(loop)
            for each in left:
                each.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=_END / 2))
            loop.run_until_complete(asyncio.sleep(0))  # sockets are closed one round after their transports
            loop.close()

    async def _main(self) -> None:
        if not hasattr(Broker, _TAP):
            raise OSError("this version of amqtt is not known: install the one that the extra names (edgecore[amqtt])")
        listeners = {"default": {"type": "tcp", "bind": self._bind, "max_connections": self._connections}}
        broker = _Tapped({"listeners": listeners, "plugins": {f"{__name__}.{Everybody.__name__}": {}}}, self._heard)
        try:
            await broker.start()
        except Exception as error:
            raise _cause(error) from error
        try:
            self._started()
            await self._carry_out(broker)
        finally:
            try:
                await asyncio.wait_for(broker.shutdown(), _END)
            except Exception as error:
                log.warning("amqtt did not end well: %r", error)
            broker.abort()

    async def _carry_out(self, broker: Broker) -> None:
        while not self._stopping:
            await self._work.wait()
            self._work.clear()
            for order in self.orders.take():
                await order.carry_out(broker)


def _cause(error: Exception) -> Exception:
    """amqtt wraps what the operating system says."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    return cause or OSError(f"amqtt does not start: {error}")
