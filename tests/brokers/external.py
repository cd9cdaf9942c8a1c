"""A mosquitto that a test may stop and start again, with its memory on disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from ports import free_port


class Mosquitto:
    """extra: lines for its configuration."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / "mosquitto.log"
        self._settings = folder / "mosquitto.conf"
        self.configure(*extra or ("allow_anonymous true",))
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *extra: str) -> None:
        """For the next start."""
        lines = [
            "user root",
            "persistence true",
            f"persistence_location {self._folder}/",
            "max_queued_messages 100000",
            "max_inflight_messages 20",
            f"listener {self.port} 127.0.0.1",
            *extra,
        ]
        self._settings.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", self._settings], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        pytest.fail(f"mosquitto does not listen: {self._log.read_text()}")

    def stop(self) -> None:
        """It writes down what it has first."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
