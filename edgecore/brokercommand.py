"""``edgecore broker``: the MQTT broker alone, for tests and for who wants just that."""

from __future__ import annotations

import argparse
import logging
import resource
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import trio

from beehive import logs
from mqtt.broker import Broker, Config, serve
from mqtt.journal import Journal, JournalError, Memory
from mqtt.limits import Limits
from mqtt.listeners import Listener

log = logging.getLogger("edgecore.broker")

_DESCRIPTORS_BESIDE: Final = 32


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("edgecore broker", description="Runs the MQTT broker (3.1, 3.1.1 and 5.0) and nothing else.")
    parser.add_argument(
        "-p", "--port", type=int, default=1883, help="TCP port on the loopback address; 0: any (default: %(default)s)"
    )
    parser.add_argument(
        "-d", "--data", type=Path, help="folder in which sessions and messages survive the process; without it they do not"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="debug messages")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 after SIGTERM or SIGINT, 1 with one line on standard error when it cannot listen or
    cannot reach its data."""
    arguments = _arguments(argv)
    logs.setup("debug" if arguments.verbose else "info")
    config = Config([Listener(port=arguments.port)], Limits(), journal=_journal(arguments.data))
    _allow_descriptors(config.limits.connections)
    code = 0
    try:
        trio.run(_run, config)
    except* (OSError, JournalError) as errors:
        first = errors.exceptions[0]
        log.error("%s", first.strerror if isinstance(first, OSError) else first)
        code = 1
    return code


def _journal(folder: Path | None) -> Journal:
    if folder is None:
        return Memory()
    # Here, so that who keeps nothing does not pay for it.
    from mqtt.durable import FILE, Durable

    return Durable(folder / FILE)


def _allow_descriptors(connections: int) -> None:
    """As many as the connections need, if the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _DESCRIPTORS_BESIDE
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


async def _run(config: Config) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on, signals, nursery.cancel_scope)
            broker: Broker = await nursery.start(serve, config)
            log.info("the broker listens on 127.0.0.1, port %s; everybody on this machine may do everything", broker.ports[0])


async def _stop_on(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for number in signals:
        log.info("%s: stopping", signal.Signals(number).name)
        scope.cancel()
        return
