"""The servers that the conformance suite runs against: ours, mosquitto and amqtt, each as a process of its own.

All of them let in who gives no name and the user ``conformance`` with the password ``secret``, refuse everybody else, and
(but amqtt) let nobody publish or subscribe to ``forbidden/#``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ports import free_port

from mqtt.packets import Version

USER, PASSWORD = "conformance", "secret"
FORBIDDEN = "forbidden"
AMQTT = "0.12.1"
_HERE = Path(__file__).parent
_START = 30.0


class Missing(Exception):
    """This machine does not have the server; the text says what to do."""


class Server(ABC):
    """One running server. It starts with the first use and is started again when it has died."""

    name: ClassVar[str]
    versions: ClassVar[Sequence[Version]] = (Version.V311, Version.V5)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.web_port = 0
        self.deaths = 0
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self, port: int, web: int) -> list[str]:
        """What runs it. web: the port for WebSocket. Raises Missing."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def ensure(self) -> None:
        """Raises Missing; AssertionError when the server does not come up."""
        if self._process is not None and self._process.poll() is None:
            return
        self.deaths += self._process is not None
        if not self._start(free_port(), free_port()):
            raise AssertionError(f"{self.name} does not start: {self.log.read_text(errors='replace')[-2000:]}")

    def _start(self, port: int, web: int) -> bool:
        command = self.command(port, web)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment(), cwd=self.folder)
        until = time.monotonic() + _START
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                self.port, self.web_port = port, web
                return True
        self.stop()
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Ours(Server):
    name = "ours"

    def command(self, port: int, web: int) -> list[str]:
        return [sys.executable, str(_HERE / "ourserver.py"), str(port), str(web)]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(_HERE.parent.parent)}


class Mosquitto(Server):
    name = "mosquitto"

    def command(self, port: int, web: int) -> list[str]:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Missing("mosquitto is not installed (apt install mosquitto)")
        passwords, rules, settings = (self.folder / name for name in ("passwords", "acl", "mosquitto.conf"))
        if not passwords.exists():
            subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, USER, PASSWORD], check=True, capture_output=True)
        topics = f"topic readwrite #\ntopic readwrite $share/#\ntopic deny {FORBIDDEN}/#\n"
        rules.write_text(f"{topics}\nuser {USER}\n{topics}")
        settings.write_text(
            f"user root\nlistener {web} 127.0.0.1\nprotocol websockets\n"
            f"listener {port} 127.0.0.1\nallow_anonymous true\npassword_file {passwords}\nacl_file {rules}\n"
            "persistence false\nlog_dest none\n"
        )
        return [program, "-c", str(settings)]


class Amqtt(Server):
    """Runs on a copy of its own from PyPI, which is no dependency of anything here. It speaks 3.1.1 alone."""

    name = "amqtt"
    versions = (Version.V311,)

    def command(self, port: int, web: int) -> list[str]:
        return [sys.executable, str(_HERE / "amqttserver.py"), str(port), str(web)]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": f"{_installed_amqtt()}:{_HERE}"}


def _installed_amqtt() -> Path:
    """The folder with amqtt and what it needs, made the first time. Raises Missing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgecore"
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = base / f"amqtt-{AMQTT}-{minor}"
    if not folder.exists():
        base.mkdir(parents=True, exist_ok=True)
        fresh = base / f".amqtt-{os.getpid()}"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(fresh)]
        done = subprocess.run([*pip, f"amqtt=={AMQTT}"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Missing(f"amqtt {AMQTT} cannot be installed: {done.stderr.strip()[-500:]}")
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


SERVERS: tuple[type[Server], ...] = (Ours, Mosquitto, Amqtt)
