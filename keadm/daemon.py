"""Starting, finding and stopping the edgecore of one layout, under systemd or as a background process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import trio

from keadm import background, processes, unit
from keadm.layout import Layout
from keadm.steps import KeadmError

START_LIMIT = 45.0
"""Seconds that edgecore may take to say READY."""

STOP_LIMIT = 10.0
"""Seconds between TERM and KILL, as KubeEdge's reset waits."""


def command(layout: Layout) -> list[str]:
    """How this installation starts edgecore."""
    beside = Path(sys.executable).with_name("edgecore")
    program = [str(beside)] if beside.exists() else [sys.executable, "-m", "edgecore"]
    return [*program, "--config", str(layout.config)]


def uses_systemd(layout: Layout) -> bool:
    """Only the real machine's node is a service; a relocated one belongs to whoever started it."""
    return not layout.relocated and Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def find(layout: Layout) -> list[int]:
    """The process ids of edgecore running with this layout's configuration."""
    return processes.find("edgecore", layout.config, default=Layout().config)


async def start(layout: Layout, *, environment: Mapping[str, str] | None = None) -> None:
    """Returns when edgecore says that it is ready. Raises KeadmError with the end of its log otherwise."""
    if uses_systemd(layout):
        unit.PATH.write_text(unit.unit_text(command(layout)), encoding="utf-8")
        for words in (["daemon-reload"], ["enable", "edgecore.service"], ["start", "edgecore.service"]):
            await _systemctl(*words)
        return
    layout.logs.mkdir(parents=True, exist_ok=True)
    try:
        await background.start(command(layout), layout.log, limit=START_LIMIT, environment=environment)
    except background.NotStarted as error:
        raise KeadmError(f"edgecore {error}") from error


async def _systemctl(*words: str) -> None:
    done = await trio.run_process(["systemctl", *words], capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode != 0:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise KeadmError(f"systemctl {' '.join(words)} failed: {text}. Look at: journalctl -u edgecore.service -xe")


async def stop(layout: Layout, *, remove_service: bool = False) -> bool:
    """Stops it; True when one was running. Containers go on."""
    if uses_systemd(layout) and unit.PATH.exists():
        await _systemctl("stop", "edgecore.service")
        if remove_service:
            await _systemctl("disable", "edgecore.service")
            unit.PATH.unlink(missing_ok=True)
            await _systemctl("daemon-reload")
    return await processes.end("edgecore", layout.config, default=Layout().config, grace=STOP_LIMIT)
