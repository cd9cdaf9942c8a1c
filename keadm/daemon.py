"""Starting, finding and stopping the edgecore of one layout, under systemd or as a background process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from keadm import processes, unit
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
    await _start_in_background(layout, environment or {})


async def _systemctl(*words: str) -> None:
    done = await trio.run_process(["systemctl", *words], capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode != 0:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise KeadmError(f"systemctl {' '.join(words)} failed: {text}. Look at: journalctl -u edgecore.service -xe")


async def _start_in_background(layout: Layout, extra: Mapping[str, str]) -> None:
    layout.logs.mkdir(parents=True, exist_ok=True)
    async with _notify_socket() as (listener, address):
        environment = {**os.environ, **extra, "NOTIFY_SOCKET": address}
        with layout.log.open("ab") as log:
            process = await trio.lowlevel.open_process(
                command(layout), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        with trio.move_on_after(START_LIMIT):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_exit, process, nursery.cancel_scope)
                await _until_ready(listener)
                nursery.cancel_scope.cancel()
            if process.returncode is None:
                return
    state = f"ended with exit code {process.returncode}" if process.returncode is not None else "did not become ready"
    await stop(layout)
    raise KeadmError(f"edgecore {state}. {_last_words(layout.log)}")


async def _until_exit(process: trio.Process, scope: trio.CancelScope) -> None:
    await process.wait()
    scope.cancel()


async def _until_ready(listener: trio.socket.SocketType) -> None:
    while b"READY=1" not in (await listener.recv(4096)).split(b"\n"):
        pass


@asynccontextmanager
async def _notify_socket() -> AsyncIterator[tuple[trio.socket.SocketType, str]]:
    """As systemd's: a datagram socket on which the program says READY=1. In /tmp, because such a path has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="keadm-"))
    address = str(folder / "notify")
    try:
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as listener:
            await listener.bind(address)
            yield listener, address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(log: Path, lines: int = 6) -> str:
    try:
        found = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        found = []
    shown = "\n".join(f"  {line}" for line in found)
    return f"The end of {log}:\n{shown}" if shown else f"{log} is empty"


async def stop(layout: Layout, *, remove_service: bool = False) -> bool:
    """Stops it; True when one was running. Containers go on."""
    if uses_systemd(layout) and unit.PATH.exists():
        await _systemctl("stop", "edgecore.service")
        if remove_service:
            await _systemctl("disable", "edgecore.service")
            unit.PATH.unlink(missing_ok=True)
            await _systemctl("daemon-reload")
    return await processes.end("edgecore", layout.config, default=Layout().config, grace=STOP_LIMIT)
