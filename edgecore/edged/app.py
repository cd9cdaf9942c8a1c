"""Edged: the pods and the Node object of this machine.

metamanager --notify--> registry --> one worker per pod --> engine
                                          |
metamanager <--patch, delete-- status manager <-- status
metamanager <--register, patch, lease-- node agent
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from beehive.supervise import supervise
from edgecore.edged.images import ImagePuller
from edgecore.edged.node_agent import NodeAgent
from edgecore.edged.registry import PodRegistry
from edgecore.edged.room import Room
from edgecore.edged.runtime.engine import Engine
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.status_manager import StatusManager
from edgecore.metamanager.client import MetaClient, ObjectKey


class Edged:
    """``notify`` and ``on_connection`` never block and may be called before ``run``."""

    def __init__(
        self, settings: EdgedSettings, meta: MetaClient, engine: Engine, *, clock: Callable[[], float] = time.time
    ) -> None:
        puller = ImagePuller(engine, clock=clock, serialize=settings.serialize_image_pulls)
        self._room = Room(settings, meta, engine, puller, StatusManager(meta), clock=clock)
        self.registry = PodRegistry(self._room)
        self.node = NodeAgent(self._room)
        self._room.admit = lambda pod: self.registry.judge(pod, self.node.object)

    def notify(self, key: ObjectKey) -> None:
        """The stored object may have changed: look again."""
        if key.type == "node":
            self.node.wake()
        else:
            self.registry.notify(key)

    def on_connection(self, connected: bool) -> None:
        """The link to the cloud came up (whatever waited is sent at once) or went down."""
        self.node.on_connection(connected)
        if connected:
            self._room.statuses.look_again()
            self.registry.wake_all(stale=True)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Containers keep running afterwards; the next start adopts them. Started: the node is known."""
        await self.node.observe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, "edged node", self.node.run)
            nursery.start_soon(supervise, "edged statuses", self._room.statuses.run)
            nursery.start_soon(supervise, "edged pods", self.registry.run)
            task_status.started()
