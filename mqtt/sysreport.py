"""Publishes ``$SYS`` from time to time, and lets other tasks of the program look at the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mqtt.statistics import Figures, SysTopics, figures, slices

if TYPE_CHECKING:
    from mqtt.broker import Broker
    from mqtt.core import Core


async def survey(core: Core) -> Figures:
    """The figures of now. Looks at every session, and gives others their turn in between."""
    found = figures(core, trio.current_time())
    for some in slices(core):
        found.look(some)
        await trio.lowlevel.checkpoint()
    return found


async def report(broker: Broker, interval: float, version: str) -> None:
    """Until it is cancelled. interval: seconds."""
    core = broker.core
    topics = SysTopics(version)
    while True:
        found = await survey(core)
        now = trio.current_time()
        for message in topics.update(found):
            try:
                core.router.publish(message, None, now)
            except Exception as error:
                broker.faults.met(error, f"publishing {message.topic}")
        broker.flush(now)
        await trio.sleep(interval)
