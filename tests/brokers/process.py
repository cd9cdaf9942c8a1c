"""``edgecore broker`` as a process that can be killed and started again on the same port and folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import trio
from ports import free_port


class BrokerProcess:
    """log: what all lives have said on standard error."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.log = folder / "log"
        self.lives = 0
        self._command = [sys.executable, "-m", "edgecore", "broker", "-p", str(self.port), "-d", str(folder / "data"), *words]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        assert self._process is None
        self.lives += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log, stdout=log)

    async def listening(self) -> None:
        """Waits until it takes connections."""
        with trio.fail_after(20):
            while True:
                assert self._process is not None
                assert self._process.poll() is None, self.log.read_text()
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", self.port)).aclose()
                except OSError:
                    await trio.sleep(0.01)
                else:
                    return

    def wait(self) -> int:
        """Until it ends by itself; its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        return process.wait(30)

    def kill(self, how: int = signal.SIGKILL) -> int:
        """Returns the exit code; the negative number of the signal that ended it. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        return process.wait(20)
