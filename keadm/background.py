"""Starts a program in the background and waits until it says that it is ready, as systemd does (sd_notify(3))."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

SHOWN = 8
"""Lines of the log that an error quotes."""


class NotStarted(Exception):
    """The program ended, or did not become ready in time; it is not running any more. The text ends with its last words."""


async def start(command: Sequence[str], log: Path, *, limit: float, environment: Mapping[str, str] | None = None) -> trio.Process:
    """A process in a session of its own, its output appended to ``log``; returned when it is ready.

    Raises NotStarted after ``limit`` seconds, or as soon as it has ended.
    """
    async with _notify_socket() as (listener, address):
        variables = {**os.environ, **(environment or {}), "NOTIFY_SOCKET": address}
        with log.open("ab") as output:
            process = await trio.lowlevel.open_process(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables, start_new_session=True
            )
        try:
            if await _ready(process, listener, limit):
                return process
            state = f"ended with exit code {process.returncode}" if process.returncode is not None else "did not become ready"
        except BaseException:
            await _end(process)
            raise
    await _end(process)
    raise NotStarted(f"{state}. {last_words(log)}")


async def _ready(process: trio.Process, listener: trio.socket.SocketType, limit: float) -> bool:
    ready = False

    async def until_ready() -> None:
        nonlocal ready
        while b"READY=1" not in (await listener.recv(4096)).split(b"\n"):
            pass
        ready = True
        nursery.cancel_scope.cancel()

    with trio.move_on_after(limit):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_ready)
            await process.wait()
            nursery.cancel_scope.cancel()
    return ready


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        process.terminate()
        with trio.move_on_after(5):
            await process.wait()
        process.kill()
        await process.wait()


@asynccontextmanager
async def _notify_socket() -> AsyncIterator[tuple[trio.socket.SocketType, str]]:
    """In the folder for temporary files, because the path of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="keadm-"))
    address = str(folder / "notify")
    try:
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as listener:
            await listener.bind(address)
            yield listener, address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def last_words(log: Path) -> str:
    try:
        found = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN:]
    except OSError:
        found = []
    shown = "\n".join(f"  {line}" for line in found)
    return f"The end of its log:\n{shown}" if shown else "It has written nothing to its log"
