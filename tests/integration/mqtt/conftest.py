"""A real mosquitto on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from ports import free_ports

SETTINGS = """\
user root
persistence false
per_listener_settings true
max_queued_messages 100000
listener {plain} 127.0.0.1
allow_anonymous true
listener {secure} 127.0.0.1
allow_anonymous true
certfile {folder}/server.pem
keyfile {folder}/server.pem
listener 0 {folder}/socket
allow_anonymous true
listener {guarded} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
"""
PASSWORD = "me:$7$101$X75AjmTQpMgD1rpH$PI9QyNJH2SpG49gJSaFOlecGmOQaiqQjp3ZHdVZGxH9ZG2gDDRUPiiinzl3A6/nLqTKtcM/hXLWRs6bwzuVM1g==\n"
"""User ``me``, password ``secret``."""


@dataclass
class Mosquitto:
    """Where it listens. authority: what signed the certificate of ``secure``. guarded: without anonymous clients."""

    plain: tuple[str, int]
    secure: tuple[str, int]
    guarded: tuple[str, int]
    socket: str
    authority: trustme.CA


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Skips where it is not installed; in CI that is a failure."""
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp("mosquitto")
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "passwords").write_text(PASSWORD)
    plain, secure, guarded = free_ports(3)
    settings = SETTINGS.format(plain=plain, secure=secure, guarded=guarded, folder=folder)
    (folder / "mosquitto.conf").write_text(settings)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stdout=log, stderr=subprocess.STDOUT)
    try:
        _await_listening(process, plain, folder / "log")
        host = "127.0.0.1"
        yield Mosquitto((host, plain), (host, secure), (host, guarded), str(folder / "socket"), authority)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"mosquitto does not listen: {log.read_text()}")
