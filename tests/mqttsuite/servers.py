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

from ports import free_ports

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
    def command(self, port: int, web_port: int) -> list[str]:
        """What runs it; the second port is for WebSocket. Raises Missing."""

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
        if not self._start(*free_ports(2)):
            raise AssertionError(f"{self.name} does not start: {self.log.read_text(errors='replace')[-2000:]}")

    def _start(self, port: int, web_port: int) -> bool:
        command = self.command(port, web_port)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment(), cwd=self.folder)
        until = time.monotonic() + _START
        while time.monotonic() < until and self._process.poll() is None:
            try:
                for each in (port, web_port):
                    socket.create_connection(("127.0.0.1", each), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                self.port, self.web_port = port, web_port
                return True
        self.stop()
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Configured(Server):
    """A server that reads mosquitto.conf: ours and mosquitto are given the same."""

    def configuration(self, port: int, web_port: int) -> Path:
        """The path of the file. Raises Missing."""
        passwords, rules, settings = (self.folder / name for name in ("passwords", "acl", "mosquitto.conf"))
        if shutil.which("mosquitto_passwd") is None:
            raise Missing("mosquitto_passwd is not installed (apt install mosquitto)")
        if not passwords.exists():
            subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, USER, PASSWORD], check=True, capture_output=True)
            passwords.chmod(0o600)
        topics = f"topic readwrite #\ntopic readwrite $conformance/#\ntopic deny {FORBIDDEN}/#\n"
        rules.write_text(f"{topics}\nuser {USER}\n{topics}")
        settings.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npassword_file {passwords}\nacl_file {rules}\n"
            f"persistence true\npersistence_location {self.folder}/\n"
            f"listener {web_port} 127.0.0.1\nprotocol websockets\n"
        )
        return settings


class Ours(Configured):
    name = "ours"

    def command(self, port: int, web_port: int) -> list[str]:
        return [sys.executable, "-m", "edgecore", "broker", "-c", str(self.configuration(port, web_port))]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(_HERE.parent.parent)}


class Mosquitto(Configured):
    name = "mosquitto"

    def command(self, port: int, web_port: int) -> list[str]:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Missing("mosquitto is not installed (apt install mosquitto)")
        settings = self.configuration(port, web_port)
        # As root it would become another user, who may not read what is ours.
        settings.write_text(f"user root\nlog_dest none\n{settings.read_text()}")
        return [program, "-c", str(settings)]


class Amqtt(Server):
    """Runs on a copy of its own from PyPI, which is no dependency of anything here. It speaks 3.1.1 alone."""

    name = "amqtt"
    versions = (Version.V311,)

    def command(self, port: int, web_port: int) -> list[str]:
        return [sys.executable, str(_HERE / "amqttserver.py"), str(port), str(web_port)]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": f"{installed_amqtt()}:{_HERE}"}


def installed_amqtt() -> Path:
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
