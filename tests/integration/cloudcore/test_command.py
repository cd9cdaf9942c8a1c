"""The command: what it prints, and that each way to fail is one clear line and exit code 1."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ports import free_port

BASE = {
    "modules": {
        "cloudHub": {
            "advertiseAddress": ["127.0.0.1"],
            "websocket": {"address": "127.0.0.1", "port": 0},
            "https": {"address": "127.0.0.1", "port": 0},
        }
    }
}


def run(*args: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloudcore", *args], capture_output=True, text=True, timeout=seconds, check=False
    )


def write(folder: Path, **more: object) -> str:
    hub = BASE["modules"]["cloudHub"]
    files = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
    hub = hub | {name: str(folder / "none" / name) for name in files} | more.pop("hub", {})
    path = folder / "cloudcore.yaml"
    path.write_text(yaml.safe_dump({"modules": {"cloudHub": hub}} | more))
    return str(path)


def fails(result: subprocess.CompletedProcess[str]) -> str:
    """The one line."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if " ERROR " in line]
    assert len(errors) == 1, result.stderr
    return errors[0]


def test_configurations_that_are_printed_are_accepted(tmp_path: Path) -> None:
    for option in ("--defaultconfig", "--minconfig"):
        printed = run(option)
        assert printed.returncode == 0
        assert yaml.safe_load(printed.stdout)["kind"] == "CloudCore"


def test_version() -> None:
    assert run("--version").stdout.startswith("cloudcore ")


def test_no_file(tmp_path: Path) -> None:
    line = fails(run("--config", str(tmp_path / "none.yaml")))
    assert "none.yaml: no such file" in line
    assert "--defaultconfig" in line


def test_broken_yaml(tmp_path: Path) -> None:
    path = tmp_path / "cloudcore.yaml"
    path.write_text("modules:\n  cloudHub: {enable: true\n")
    assert "cloudcore.yaml: line 3, column 1: not valid YAML" in fails(run("--config", str(path)))


def test_unknown_key(tmp_path: Path) -> None:
    path = tmp_path / "cloudcore.yaml"
    path.write_text("modules:\n  cloudHub:\n    nodelimit: 5\n")
    line = fails(run("--config", str(path)))
    assert "line 3: unknown key `modules.cloudHub.nodelimit`; did you mean `nodeLimit`?" in line


@pytest.mark.parametrize(
    ("hub", "text"),
    [
        ({"nodeLimit": "many"}, "`modules.cloudHub.nodeLimit`: expected `int`"),
        ({"nodeLimit": 0}, "`modules.cloudHub.nodeLimit`: 0 must be greater than 0"),
        ({"websocket": {"address": "here", "port": 1}}, "`modules.cloudHub.websocket.address`: 'here' is not an IP address"),
        ({"https": {"port": 70000}}, "`modules.cloudHub.https.port`: 70000 is not a port"),
        ({"advertiseAddress": ["cloud.example"]}, "names go into `dnsNames`"),
    ],
)
def test_wrong_values(tmp_path: Path, hub: dict, text: str) -> None:
    assert text in fails(run("--config", write(tmp_path, hub=hub)))


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = fails(run("--config", write(tmp_path, hub={"websocket": {"address": "127.0.0.1", "port": port}})))
    assert str(port) in line
    assert "in use" in line
    assert "modules.cloudHub.websocket" in line


def test_unreadable_kubeconfig(tmp_path: Path) -> None:
    line = fails(run("--config", write(tmp_path, kubeAPIConfig={"kubeConfig": str(tmp_path / "nowhere")})))
    assert "nowhere" in line
    (tmp_path / "bad").write_text("a: b")
    assert "current-context" in fails(run("--config", write(tmp_path, kubeAPIConfig={"kubeConfig": str(tmp_path / "bad")})))


def test_no_cluster_at_all(tmp_path: Path) -> None:
    line = fails(run("--config", write(tmp_path)))
    assert "--standalone" in line


def test_unreachable_api(tmp_path: Path) -> None:
    port = free_port()
    kubeconfig = {
        "clusters": [{"name": "k", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    line = fails(run("--config", write(tmp_path, kubeAPIConfig={"kubeConfig": str(tmp_path / "kubeconfig")})))
    assert f"https://127.0.0.1:{port}" in line
    assert "refused" in line


def test_half_a_pair_of_files(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("x")
    hub = {"tlsCAFile": str(tmp_path / "ca.crt"), "tlsCAKeyFile": str(tmp_path / "ca.key")}
    standalone = {"enable": True, "address": "127.0.0.1", "port": 0}
    standalone |= {"dataDir": str(tmp_path / "data"), "kubeConfig": str(tmp_path / "kubeconfig")}
    line = fails(run("--config", write(tmp_path, hub=hub, standalone=standalone)))
    assert "ca.key is missing" in line


def test_standalone_says_where_the_kubeconfig_is_and_what_to_type_and_stops_in_good_order(tmp_path: Path) -> None:
    standalone = {
        "address": "127.0.0.1",
        "port": 0,
        "dataDir": str(tmp_path / "data"),
        "kubeConfig": str(tmp_path / "kubeconfig"),
    }
    config = write(tmp_path, standalone=standalone)
    with subprocess.Popen(
        [sys.executable, "-m", "cloudcore", "--config", config, "--standalone"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "keadm gettoken" in line:
                break
        second = fails(run("--config", config, "--standalone"))
        assert f"in {tmp_path / 'data'} are in use by another process (pid {process.pid}), and only one can serve them" in second
        assert "stop that one, give this one another dataDir, or use a Kubernetes cluster" in second
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, "".join(lines)
    said = "".join(lines)
    kubeconfig = tmp_path / "kubeconfig"
    assert f"KUBECONFIG={kubeconfig} kubectl get nodes" in said
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
