"""What is measured: our broker and mosquitto, each a process of its own with one listener for TCP and one for TLS."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ports import free_ports

ROOT = Path(__file__).resolve().parents[1]
STARTING = 20.0
MOSQUITTO = """\
user root
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 100
set_tcp_nodelay true
log_dest none
listener {port} 127.0.0.1
listener {secure} 127.0.0.1
certfile {certificate}
keyfile {key}
"""
"""Nothing is checked, nothing is written to disk, and nothing waits for more to send (Nagle), as in our broker."""


@dataclass(frozen=True)
class Certificate:
    """Self-signed, for localhost."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        made = cls(folder / "cert.pem", folder / "key.pem")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
        command += " -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        return made

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


class Target:
    """A broker. port, secure: of its listeners."""

    name: str
    port = 0
    secure = 0
    process: subprocess.Popen[str]

    def start(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def cpu(self) -> float:
        """Seconds of processor time so far, of all threads (clock_getcpuclockid(3))."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def memory(self) -> float:
        """Resident set size in KiB."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith("Rss:")))


class Ours(Target):
    """tree: the checkout whose broker runs. options: of mqtt_ours.py; a folder among them becomes a file of this broker in it."""

    def __init__(self, certificate: Certificate, name: str = "ours", tree: Path = ROOT, options: tuple[str, ...] = ()) -> None:
        self.name = name
        self._tree = tree
        self._options = ("--certificate", str(certificate.certificate), "--key", str(certificate.key), *options)

    def start(self) -> None:
        options = [str(Path(each) / f"{self.name}.db") if Path(each).is_dir() else each for each in self._options]
        command = [sys.executable, str(ROOT / "bench" / "mqtt_ours.py"), *options]
        environment = {**os.environ, "PYTHONPATH": str(self._tree)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.port, self.secure = map(int, self.process.stdout.readline().split())


class Mosquitto(Target):
    name = "mosquitto"

    def __init__(self, certificate: Certificate, folder: Path) -> None:
        found = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if found is None:
            raise SystemExit("mosquitto is not installed (Debian: apt install mosquitto)")
        self._program = found
        self._certificate = certificate
        self._settings = folder / "mosquitto.conf"

    def start(self) -> None:
        self.port, self.secure = free_ports(2)
        self._settings.write_text(
            MOSQUITTO.format(
                port=self.port, secure=self.secure, certificate=self._certificate.certificate, key=self._certificate.key
            )
        )
        self.process = subprocess.Popen([self._program, "-c", str(self._settings)], text=True, stderr=subprocess.DEVNULL)
        for port in (self.port, self.secure):
            _await(port)


def _await(port: int) -> None:
    deadline = time.monotonic() + STARTING
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def allow_descriptors() -> int:
    """As many as the system lets us have, here and in what we start. Returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
