"""The program as an operator meets it: its exit codes and its first words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONFIG = """\
apiVersion: edgecore.config.kubeedge.io/v1alpha2
kind: EdgeCore
database: {{dataSource: {folder}/edgecore.db}}
modules:
  edgeHub:
    tlsCaFile: {folder}/rootCA.crt
    tlsCertFile: {folder}/server.crt
    tlsPrivateKeyFile: {folder}/server.key
    httpServer: https://127.0.0.1:1
    token: {token}  # from the cloud
    websocket: {{server: "127.0.0.1:1"}}
  edged: {{enable: false, hostnameOverride: edge-1}}
"""
ENVIRON = os.environ | {"CHECK_EDGECORE_ENVIRONMENT": "false"}


def write_config(folder: Path, join: str = '""') -> Path:
    path = folder / "config" / "edgecore.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONFIG.format(folder=folder, token=join))
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=ENVIRON)


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edgecore", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRON) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return line
    raise AssertionError(f"{text!r} was never said:\n{seen}")


def one_error(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1"),
        ("moduls: {}", "did you mean `modules`?"),
        ("apiVersion: v1", "edgecore.config.kubeedge.io/v1alpha2"),
        ("modules: {edged: {hostnameOverride: Edge_1}}", "'Edge_1' is no node name"),
        ("modules: {edgeHub: {heartbeat: 40}}", "heartbeat"),
        ("modules: {edgeHub: {heartbeat: soon}}", "line 1"),
        ("modules: {edgeHub: {quic: {enable: true}, websocket: {enable: false}}}", "QUIC is not available"),
        ("modules: {edged: {runtime: podman}}", "runtime"),
    ],
)
def test_a_bad_configuration_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "edgecore.yaml"
    path.write_text(text)
    line = one_error(run("--config", path))
    assert said in line
    assert str(path) in line


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    assert "no such file" in one_error(run("--config", tmp_path / "none.yaml"))


def test_what_is_printed_as_configuration_can_be_loaded(tmp_path: Path) -> None:
    from edgecore import config

    for flag in ("--defaultconfig", "--minconfig"):
        path = tmp_path / "edgecore.yaml"
        path.write_text(run(flag).stdout)
        assert config.load(path).modules.edgeHub.enable


def test_version() -> None:
    assert run("--version").stdout.startswith("edgecore ")


def test_two_edgecores_cannot_share_a_database(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    with running(path) as process:
        read_until(process, "ready: node edge-1")
        line = one_error(run("--config", path))
        assert f"in use by another edgecore (process {process.pid})" in line


def test_without_certificate_and_cloud_it_runs_says_why_once_and_stops_cleanly(tmp_path: Path) -> None:
    with running(write_config(tmp_path)) as process:
        line = read_until(process, "no link to the cloud")
        assert "no certificate at" in line
        assert "keadm gettoken" in line
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        rest = process.stderr.read()
        assert "no link" not in rest
        assert "Traceback" not in rest


def test_a_token_that_is_none_is_said(tmp_path: Path) -> None:
    with running(write_config(tmp_path, join="a.b")) as process:
        assert "token" in read_until(process, "no link to the cloud")


def test_an_unwritable_database_is_one_line(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    (tmp_path / "edgecore.db").mkdir()
    assert "cannot open the database" in one_error(run("--config", path))


def test_systemd_is_told(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(30)
        command = [sys.executable, "-m", "edgecore", "--config", str(write_config(tmp_path))]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENVIRON | {"NOTIFY_SOCKET": address}) as process:
            try:
                assert sock.recv(100) == b"READY=1"
                process.send_signal(signal.SIGINT)
                assert sock.recv(100) == b"STOPPING=1"
                assert process.wait(timeout=10) == 0
            finally:
                process.kill()
