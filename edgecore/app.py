"""The composition root of the edge half: the only place that knows who is wired to whom.

link <-> EdgeHub <-> Outbox <- MetaManager -> Store
                                  |  notify(key), on_connection(bool)
                                Edged -> Engine

EdgeHub -> EventBus <-> MQTT clients, external broker
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import trio

from beehive.sqlite import StoreError
from beehive.supervise import Fatal, supervise
from edgecore import guard, systemd
from edgecore.config import EdgeCore
from edgecore.edgehub.certificates import Certificates, Files
from edgecore.edgehub.hub import EdgeHub, HubSettings
from edgecore.edgehub.outbox import Outbox
from edgecore.jointoken import JoinTokenSource
from edgecore.metamanager.client import ObjectKey
from edgecore.metamanager.metamanager import MetaManager
from edgecore.store import Store
from viaduct.link import Limits

if TYPE_CHECKING:
    from edgecore.eventbus.eventbus import EventBus

log = logging.getLogger(__name__)

STOP_WITHIN: Final = 5.0
"""Seconds for a clean stop; containers go on either way."""


class PodRunner(Protocol):
    """edged, as the composition root sees it."""

    def notify(self, key: ObjectKey) -> None: ...

    def on_connection(self, connected: bool) -> None: ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None: ...


MakeEdged = Callable[[MetaManager], PodRunner]


class App:
    """config is checked already. make_edged: None runs without pods (``modules.edged.enable: false``)."""

    def __init__(self, config: EdgeCore, token: JoinTokenSource, make_edged: MakeEdged | None) -> None:
        hub = config.modules.edgeHub
        self._config = config
        self.store = Store(Path(config.database.dataSource))
        self.outbox = Outbox(qps=hub.messageQPS, burst=hub.messageBurst)
        self.meta = MetaManager(self.store, self.outbox, config.node, query_timeout=config.modules.metaManager.remoteQueryTimeout)
        self.edged = make_edged(self.meta) if make_edged is not None else None
        if self.edged is not None:
            self.meta.subscribe(self.edged.notify)
        self.bus = _event_bus(config, self.store, self.outbox)
        self.hub = EdgeHub(
            HubSettings(
                url=config.url,
                node=config.node,
                project=hub.projectID,
                heartbeat=hub.heartbeat,
                limits=Limits(handshake=hub.websocket.handshakeTimeout, write=hub.websocket.writeDeadline),
            ),
            Certificates(
                Files(Path(hub.tlsCaFile), Path(hub.tlsCertFile), Path(hub.tlsPrivateKeyFile)),
                server=hub.httpServer,
                node=config.node,
                token=token.read,
                enrolled=token.erase,
                rotate=hub.rotateCertificates,
            ),
            self.outbox,
            deliver=self.meta.deliver,
            on_connection=self._on_connection,
            users={} if self.bus is None else {"router_eventbus": self.bus.deliver},
        )

    def _on_connection(self, connected: bool) -> None:
        self.meta.on_connection(connected)
        if self.edged is not None:
            self.edged.on_connection(connected)
        if self.bus is not None:
            self.bus.on_connection(connected)

    async def run(self) -> None:
        """Until cancelled. The database is closed last."""
        async with trio.open_nursery() as ground:
            await ground.start(self.store.database.run)
            async with trio.open_nursery() as modules:
                await modules.start(self.meta.run)
                if self.edged is None:
                    await self.meta.protect(None)
                else:
                    modules.start_soon(supervise, "edged", self.edged.run)
                if self.bus is not None:
                    modules.start_soon(supervise, "eventbus", self.bus.run)
                if self._config.modules.edgeHub.enable:
                    modules.start_soon(supervise, "edgehub", self.hub.run)
                log.info("ready: node %s, database %s", self._config.node, self.store.database.path)
                systemd.notify("READY=1", os.environ)
            ground.cancel_scope.cancel()


def _event_bus(config: EdgeCore, store: Store, outbox: Outbox) -> EventBus | None:
    """Imported only when it is wanted."""
    if not config.modules.eventBus.enable:
        return None
    from edgecore.eventbus import settings
    from edgecore.eventbus.eventbus import EventBus

    found, front = settings.of(config), None
    if config.modules.eventBus.broker == "amqtt" and found.internal is not None:
        from edgecore.eventbus import amqttfront

        front = partial(amqttfront.front, found.internal, found.limits)
    return EventBus(found, store, outbox, front=front)


def run(config: EdgeCore, token: JoinTokenSource, make_edged: MakeEdged | None) -> None:
    """Runs edgecore until SIGTERM or SIGINT.

    Raises Fatal: one line for a person.
    """
    database = Path(config.database.dataSource)
    guard.no_kubelet(os.environ)
    with guard.only_one(database):
        trio.run(_main, config, token, make_edged)


async def _main(config: EdgeCore, token: JoinTokenSource, make_edged: MakeEdged | None) -> None:
    app = App(config, token, make_edged)
    try:
        await trio.to_thread.run_sync(app.store.database.open)
    except StoreError as error:
        raise Fatal(str(error)) from error
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on, signals, nursery.cancel_scope)
            await app.run()
            nursery.cancel_scope.cancel()
    log.info("stopped; the containers go on")


async def _stop_on(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for number in signals:
        log.info("%s: stopping", signal.Signals(number).name)
        systemd.notify("STOPPING=1", os.environ)
        signal.signal(signal.SIGALRM, _give_up)
        signal.setitimer(signal.ITIMER_REAL, STOP_WITHIN)
        scope.cancel()
        return


def _give_up(_number: int, _frame: object) -> None:
    """Something does not let itself be cancelled. All that was acknowledged is on disk already."""
    os.write(2, b"did not stop in time: ending at once\n")
    os._exit(0)
