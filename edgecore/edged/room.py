"""What every pod worker shares: settings, the neighbours, the clock, and what is known of the node."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar, TypeVarTuple

import trio

from edgecore.edged.environment import Facts
from edgecore.edged.images import ImagePuller
from edgecore.edged.runtime.engine import Engine
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.status import Verdict
from edgecore.edged.status_manager import StatusManager
from edgecore.metamanager.client import MetaClient
from kube.objects import Object

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

DISK_TIME: Final = 120.0
"""Seconds; an SD card that is busy takes long."""


@dataclass
class NodeView:
    """What pods may ask of their node. memory_capacity in bytes. engine_trouble: why the engine does not answer, or ""."""

    host_ip: str = ""
    memory_capacity: int = 0
    engine_trouble: str = ""
    allocatable: dict[str, str] = field(default_factory=dict)

    def facts(self, pod_ip: str) -> Facts:
        return Facts(self.host_ip, pod_ip, self.allocatable)


@dataclass
class Room:
    """clock: seconds since the epoch. files: how many of the threads that write volumes work at once."""

    settings: EdgedSettings
    meta: MetaClient
    engine: Engine
    puller: ImagePuller
    statuses: StatusManager
    node: NodeView = field(default_factory=NodeView)
    clock: Callable[[], float] = time.time
    files: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(4))
    threads: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(64))
    """All of them, including those that hang in a dead network file system and that nobody waits for any more."""
    admit: Callable[[Object], Verdict | None] = lambda pod: None

    async def on_disk(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Runs a blocking function in a thread, bounded in time: one pod's dead disk must not hold up the others.

        Raises OSError, also when it takes too long, and for what the system cannot even be asked (a path with NUL in it).
        """
        work = functools.partial(function, *arguments)
        try:
            async with self.files:
                with trio.fail_after(DISK_TIME):
                    return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self.threads)
        except trio.TooSlowError:
            raise OSError(f"the disk does not answer within {DISK_TIME:.0f} s") from None
        except ValueError as error:
            raise OSError(str(error)) from error
