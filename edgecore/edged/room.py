"""What every pod worker shares: settings, the neighbours, the clock, and what is known of the node."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from edgecore.edged.environment import Facts
from edgecore.edged.images import ImagePuller
from edgecore.edged.runtime.engine import Engine
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.status import Verdict
from edgecore.edged.status_manager import StatusManager
from edgecore.metamanager.client import MetaClient
from kube.objects import Object


@dataclass
class NodeView:
    """What pods may ask of their node. memory_capacity in bytes."""

    host_ip: str = ""
    memory_capacity: int = 0
    allocatable: dict[str, str] = field(default_factory=dict)

    def facts(self, pod_ip: str) -> Facts:
        return Facts(self.host_ip, pod_ip, self.allocatable)


@dataclass
class Room:
    """clock: seconds since the epoch. files: limits the threads that write volumes."""

    settings: EdgedSettings
    meta: MetaClient
    engine: Engine
    puller: ImagePuller
    statuses: StatusManager
    node: NodeView = field(default_factory=NodeView)
    clock: Callable[[], float] = time.time
    files: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(4))
    admit: Callable[[Object], Verdict | None] = lambda pod: None
