"""``edgecore broker -c FILE`` and mosquitto, as processes with the same file; mosquitto_pub and mosquitto_sub on them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Running:
    """said: what the process has written to standard error so far. killed: to be set by who kills it."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said = ""
        self.killed = False

    async def hears(self, words: str, times: int = 1) -> None:
        """Waits until it has said so."""
        assert self.process.stderr is not None
        with trio.fail_after(20):
            while self.said.count(words) < times:
                chunk = await self.process.stderr.receive_some()
                assert chunk, self.said
                self.said += chunk.decode()

    async def reload(self) -> None:
        before = self.said.count("SIGHUP")
        self.process.send_signal(signal.SIGHUP)
        await self.hears("SIGHUP", before + 1)


@asynccontextmanager
async def running(config: Path, *, mosquitto: bool = False) -> AsyncIterator[Running]:
    """Until the end of the block; then it is stopped, and must stop well."""
    ours = [sys.executable, "-m", "edgecore", "broker", "-c", str(config)]
    command = [str(MOSQUITTO), "-c", str(config)] if mosquitto else ours
    process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE)
    try:
        broker = Running(process)
        await broker.hears(" running" if mosquitto else "broker listens")
        yield broker
        if broker.killed:
            return
        process.terminate()
        with trio.fail_after(10):
            assert await process.wait() == 0, broker.said
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            if process.stderr is not None:
                await process.stderr.aclose()


async def publish(*words: str) -> tuple[int, str]:
    """mosquitto_pub at QoS 1, its exit code and what it complained of. 0: done (or dropped, before 5.0); 4 and 5: refused."""
    done = await trio.run_process(["mosquitto_pub", "-q", "1", *words], check=False, capture_stderr=True)
    return done.returncode, done.stderr.decode()


async def read_one(*words: str) -> str:
    """mosquitto_sub until one message has come; "" when the subscription was refused or nothing came in 3 seconds."""
    command = ["mosquitto_sub", "-C", "1", "-W", "3", *words]
    done = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
    return done.stdout.decode().strip()
