"""The command ``edgecore`` when it is the edge half."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from beehive import logs
from beehive.settings import SettingsError
from beehive.supervise import Fatal, fatal_cause
from edgecore import app, config
from edgecore.jointoken import JoinTokenSource, bootstrap_beside
from edgecore.version import program_version

log = logging.getLogger("edgecore")

CONFIG: Final = Path("/etc/kubeedge/config/edgecore.yaml")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "edgecore", description="Runs pods on this node, with the cloud or without it. edgecore broker: the MQTT broker alone."
    )
    parser.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="configuration (default: %(default)s)")
    parser.add_argument("--defaultconfig", action="store_true", help="print a configuration with every default, and exit")
    parser.add_argument("--minconfig", action="store_true", help="print the smallest useful configuration, and exit")
    parser.add_argument("--version", action="store_true", help="print the version, and exit")
    parser.add_argument("-v", "--v", type=int, default=0, metavar="LEVEL", help="4 and more: debug messages")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a clean stop, 1 with one line on standard error when it cannot run."""
    arguments = _arguments(argv)
    if arguments.version:
        sys.stdout.write(f"edgecore {program_version()}\n")
        return 0
    if arguments.defaultconfig or arguments.minconfig:
        sys.stdout.write(config.default_text() if arguments.defaultconfig else config.minimal_text())
        return 0
    logs.setup("debug" if arguments.v >= 4 else "info")
    try:
        _run(arguments.config)
    except BaseException as error:
        if (cause := fatal_cause(error)) is None:
            raise
        log.error("%s", cause)
        return 1
    return 0


def _run(path: Path) -> None:
    try:
        settings = config.load(path)
    except SettingsError as error:
        raise Fatal(str(error)) from error
    log.info("edgecore %s starts, configuration %s", program_version(), path)
    for key in config.not_built(settings):
        log.warning("%s: %s has no effect in this version", path, key)
    absent = [name for name in ("deviceTwin",) if getattr(settings.modules, name).enable]
    if absent:
        log.info("not in this version, though enabled: %s", ", ".join(absent))
    for file in config.static_pods(settings):
        log.warning("%s is not run: this version has no static pods", file)
    make_edged = None
    if settings.modules.edged.enable:
        from edgecore.pods import edged_maker

        make_edged = edged_maker(settings)
    app.run(settings, JoinTokenSource(path, bootstrap_beside(path)), make_edged)
