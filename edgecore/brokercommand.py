"""``edgecore broker``: the MQTT broker alone, for tests and for who wants just that."""

from __future__ import annotations

import argparse
import errno
import logging
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from beehive import logs
from beehive.supervise import Fatal
from mqtt.accessfile import AccessFileError
from mqtt.broker import Broker, Config, serve
from mqtt.journal import Journal, JournalError, Memory
from mqtt.limits import Limits
from mqtt.listeners import Listener

log = logging.getLogger("edgecore.broker")

_DESCRIPTORS_BESIDE: Final = 32

Reload = Callable[[Broker], Awaitable[None]]


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("edgecore broker", description="Runs the MQTT broker (3.1, 3.1.1 and 5.0) and nothing else.")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration, in the form of mosquitto.conf")
    parser.add_argument(
        "-p", "--port", type=_port, help="without a configuration: TCP port on the loopback address; 0: any (default: 1883)"
    )
    parser.add_argument(
        "-d",
        "--data",
        type=Path,
        help="without a configuration: folder in which sessions and messages survive the process; without it they do not",
    )
    parser.add_argument("--view", type=Path, metavar="SOCKET", help="unix socket for `keadm ctl broker --socket SOCKET`")
    parser.add_argument("--metrics", type=_address, metavar="[HOST:]PORT", help="metrics for Prometheus; HOST: 127.0.0.1")
    parser.add_argument(
        "--add-user",
        nargs=2,
        metavar=("FILE", "NAME"),
        help="ask for a password (or read it from standard input), write it hashed into a password file, and run no broker",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="debug messages")
    arguments = parser.parse_args(argv)
    if arguments.config is not None and (arguments.port, arguments.data) != (None, None):
        parser.error("ports and folders stand in the file: -p and -d do not go with -c")
    return arguments


def main(argv: Sequence[str]) -> int:
    """Returns the exit code: 0 after SIGTERM or SIGINT, 1 with one line on standard error when its configuration is wrong, it
    cannot listen, or cannot reach its data. SIGHUP: passwords, rights and certificates are read again."""
    arguments = _arguments(argv)
    logs.setup("debug" if arguments.verbose else "info")
    code = 0
    try:
        if arguments.add_user:
            _add_user(*arguments.add_user)
            return 0
        config, reload = _by_file(arguments.config, arguments.verbose) if arguments.config else _by_words(arguments)
        config.version = "edgecore"
        _allow_descriptors(config.limits.connections)
        trio.run(_run, config, reload, arguments)
    except* AccessFileError as refused:
        log.error("%s", refused.exceptions[0])
        code = 1
    except* (OSError, JournalError, Fatal) as errors:
        first = errors.exceptions[0]
        log.error("%s", _said(first) if isinstance(first, OSError) else first)
        code = 1
    return code


def _said(error: OSError) -> str:
    said = error.strerror or str(error)
    if error.errno != errno.EADDRINUSE:
        return said
    return f"{said}; another program has it (`ss -ltxp` names it), or the file names it twice: stop the one, or set another"


def _port(text: str) -> int:
    # Larger ones are not refused by the system: it takes the lower 16 bits.
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 to 65535")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", _port(port)


def _by_words(arguments: argparse.Namespace) -> tuple[Config, Reload]:
    port = 1883 if arguments.port is None else arguments.port
    config = Config([Listener(port=port)], Limits(), journal=_journal(arguments.data))
    log.info("everybody on this machine may do everything")

    async def reload(broker: Broker) -> None:
        log.info("SIGHUP: there is no configuration to be read again")

    return config, reload


def _add_user(file: str, name: str) -> None:
    from edgecore import brokerusers

    brokerusers.add_user(Path(file), name)
    log.info("%s: `%s` has this password from now on; a broker that runs takes it over at SIGHUP", file, name)


def _by_file(path: Path, verbose: bool) -> tuple[Config, Reload]:
    """Raises AccessFileError."""
    from edgecore import brokerfile
    from edgecore.brokersetup import Setup

    settings = brokerfile.load(path)
    if settings.log_level is not None and not verbose:
        logs.setup(settings.log_level)
    setup = Setup(settings)
    setup.config.journal = _journal(settings.persistence)

    async def reload(broker: Broker) -> None:
        try:
            await setup.reload(path, broker)
        except AccessFileError as error:
            log.error("SIGHUP: nothing has changed, because of this: %s", error)
        else:
            log.info("SIGHUP: %s, passwords, rights and certificates are in force as they are now", path)

    return setup.config, reload


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


async def _run(config: Config, reload: Reload, arguments: argparse.Namespace) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            running: list[Broker] = []
            early: list[int] = []
            nursery.start_soon(_follow, signals, running, early, reload, nursery.cancel_scope)
            running.append(await nursery.start(serve, config))
            if early:
                await reload(running[0])
            for door in running[0].doors.values():
                log.info("the broker listens on %s", door.where)
            await _show(nursery, running[0], arguments)


async def _show(nursery: trio.Nursery, broker: Broker, arguments: argparse.Namespace) -> None:
    """What can be looked at from outside. Raises OSError, Fatal."""
    if arguments.view is None and arguments.metrics is None:
        return
    # Here, so that who does not want it does not pay for it.
    from edgecore.brokerview.serve import serve_metrics, serve_view
    from edgecore.version import program_version

    version = f"edgecore {program_version()}"
    if arguments.view is not None:
        await nursery.start(partial(serve_view, broker, arguments.view, version=version))
    if arguments.metrics is not None:
        port = await nursery.start(partial(serve_metrics, broker, *arguments.metrics, version=version))
        log.info("metrics are on %s, port %s", arguments.metrics[0], port)


async def _follow(
    signals: AsyncIterator[int], running: Sequence[Broker], early: list[int], reload: Reload, scope: trio.CancelScope
) -> None:
    """early: gets those of which a broker has to be told that does not run yet."""
    async for number in signals:
        if number != signal.SIGHUP:
            log.info("%s: stopping", signal.Signals(number).name)
            scope.cancel()
            return
        if not running:
            early.append(number)
        for broker in running:
            await reload(broker)
