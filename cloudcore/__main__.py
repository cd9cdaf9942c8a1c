"""The command ``cloudcore``."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import click
import msgspec
import trio

from beehive import logs
from beehive.settings import SettingsError
from beehive.supervise import Fatal, fatal_cause
from cloudcore import config as configuration
from cloudcore.app import Running, serve
from cloudcore.config import CloudCoreConfig

log = logging.getLogger("cloudcore")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "path", type=click.Path(path_type=Path), help=f"Configuration file. [{configuration.DEFAULT_PATH}]")
@click.option("--standalone", is_flag=True, help="Run with a Kubernetes API of its own; no cluster is needed.")
@click.option("--defaultconfig", is_flag=True, help="Print the whole default configuration and exit.")
@click.option("--minconfig", is_flag=True, help="Print what is usually changed and exit.")
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.option("-v", "--v", "verbosity", type=int, default=0, help="Log more: 4 and above show every decision.")
@click.option("--vmodule", hidden=True, help="Accepted for KubeEdge's sake.")
@click.option("--log-flush-frequency", hidden=True, help="Accepted for KubeEdge's sake.")
def main(
    *,
    path: Path | None,
    standalone: bool,
    defaultconfig: bool,
    minconfig: bool,
    version: bool,
    verbosity: int,
    vmodule: str | None,
    log_flush_frequency: str | None,
) -> None:
    """The cloud half: connects edge nodes with a Kubernetes API."""
    if version:
        click.echo(f"cloudcore {importlib.metadata.version('edgecore')}")
        return
    if defaultconfig or minconfig:
        click.echo(configuration.default_text() if defaultconfig else configuration.minimal_text(), nl=False)
        return
    logs.setup("debug" if verbosity >= 4 else "info")
    try:
        config = _load(path, standalone)
        trio.run(_main, config)
    except SettingsError as error:
        _die(str(error))
    except (Fatal, BaseExceptionGroup) as error:
        cause = fatal_cause(error)
        if cause is None:
            raise
        _die(str(cause))


def _load(path: Path | None, standalone: bool) -> CloudCoreConfig:
    """The file, or with --standalone and no file the defaults. Raises SettingsError."""
    if path is None and standalone and not configuration.DEFAULT_PATH.exists():
        config = CloudCoreConfig()
    else:
        config = configuration.load(path or configuration.DEFAULT_PATH)
    if standalone:
        config.standalone = msgspec.structs.replace(config.standalone, enable=True)
        configuration.check(config, origin=str(path or "--standalone"))
    return config


def _die(text: str) -> None:
    log.error(text)
    sys.exit(1)


async def _main(config: CloudCoreConfig) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signal, nursery.cancel_scope)
        running = await nursery.start(partial(serve, config))
        _greet(config, running)


async def _stop_on_signal(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            log.info("%s: stopping", signal.Signals(number).name)
            scope.cancel()
            return


def _greet(config: CloudCoreConfig, running: Running) -> None:
    """Tells the operator what to type next, and systemd that the start is complete."""
    if config.standalone.enable:
        log.info("the kubeconfig is %s; next: KUBECONFIG=%s kubectl get nodes", running.kubeconfig, running.kubeconfig)
        log.info("to join a node: keadm gettoken --kube-config %s", running.kubeconfig)
    _notify_ready(os.environ.get("NOTIFY_SOCKET", ""))


def _notify_ready(address: str) -> None:
    import socket

    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("systemd was not told that the start is complete: %s", error)


if __name__ == "__main__":
    main()
