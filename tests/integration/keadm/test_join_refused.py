"""Everything that can be wrong with a join: one line with cause and remedy, exit code 1, nothing left behind."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from keadm import gettoken
from keadm.gettoken import NAMESPACE
from kube import kubeconfig
from kube.client import Client
from kube.resources import SECRETS
from viaduct.certificates import Authority
from viaduct.tls import client_context
from viaduct.token import mint

Keadm = Callable[..., Any]


@pytest.fixture
def token(cloud: Any, keadm: Keadm) -> str:
    said = keadm("gettoken", "--kube-config", str(cloud.kubeconfig))
    assert (said.code, said.err) == (0, "")
    return str(said.out.strip())


@pytest.fixture
def authority(cloud: Any) -> Authority:
    """The cloud's own CA, read as cloudcore keeps it."""

    async def read() -> Authority:
        found = kubeconfig.load(cloud.kubeconfig)
        tls = client_context(ca=found.ca, certificate=found.certificate, key=found.key)
        async with Client.of(found, tls=tls) as client:
            data = (await client.get(SECRETS, "casecret", namespace=NAMESPACE))["data"]
        return Authority.from_der(base64.b64decode(data["cadata"]), base64.b64decode(data["cakeydata"]))

    return trio.run(read)


@pytest.fixture
def join(cloud: Any, keadm: Keadm, tmp_path: Path) -> Callable[..., Any]:
    """Runs keadm join that must fail; checks what holds for all failures."""

    def run(*words: str, token: str, address: str = "") -> Any:
        prefix = tmp_path / "node"
        said = keadm(
            *("join", "-e", address or f"127.0.0.1:{cloud.hub_port}", "-t", token, "-i", "refused", "--prefix", str(prefix)),
            *(words if "--certport" in words else ("--certport", str(cloud.certificate_port), *words)),
        )
        assert said.code == 1, said.err
        assert "Traceback" not in said.err
        assert not prefix.exists() or not any(prefix.rglob("*")), "a failed join leaves nothing behind"
        return said

    return run


def test_gettoken_prints_the_token_and_nothing_else(token: str, authority: Authority) -> None:
    parts = token.split(".")
    assert len(parts) == 4
    assert parts[0] == hashlib.sha256(authority.certificate_der).hexdigest()


def test_gettoken_without_a_cluster(keadm: Keadm, tmp_path: Path) -> None:
    said = keadm("gettoken", "--kube-config", str(tmp_path / "absent"))
    assert said.code == 1
    assert said.out.startswith("failed to get token, err is ")
    assert f"{tmp_path}/absent" in said.error


def test_gettoken_names_every_file_that_it_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(gettoken, "USUAL", tmp_path / "usual")
    monkeypatch.setattr(gettoken, "STANDALONE", tmp_path / "standalone")
    said = CliRunner().invoke(gettoken.gettoken_command)
    assert said.exit_code == 1
    assert f"neither {tmp_path}/usual nor {tmp_path}/standalone" in said.output


def test_gettoken_looks_where_kubectl_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str, cloud: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{cloud.kubeconfig}")
    assert CliRunner().invoke(gettoken.gettoken_command).output.strip() == token
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent")
    assert f"no such file: {tmp_path}/absent, which KUBECONFIG names" in CliRunner().invoke(gettoken.gettoken_command).output


def test_init_is_not_for_the_embedded_api(keadm: Keadm, cloud: Any) -> None:
    said = keadm("init", "--kube-config", str(cloud.kubeconfig))
    assert said.code == 1
    assert "needs no init" in said.error


def test_the_token_of_another_signer(join: Callable[..., Any], token: str) -> None:
    forged = mint(b"another key", token.partition(".")[0], 3600)
    assert "the join token is not from this cluster" in join(token=forged).error


def test_an_expired_token(join: Callable[..., Any], authority: Authority) -> None:
    old = mint(authority.key_der, authority.fingerprint, -1)
    error = join(token=old).error
    assert "expired" in error
    assert "keadm gettoken" in error


def test_the_token_of_another_cluster(join: Callable[..., Any]) -> None:
    other = Authority.create()
    error = join(token=mint(other.key_der, other.fingerprint, 3600)).error
    assert "another cluster" in error
    assert other.fingerprint in error


@pytest.mark.parametrize("text", ["abc", "a.b.c.d", "..."])
def test_a_garbled_token(join: Callable[..., Any], text: str) -> None:
    assert "the token is in the wrong format" in join(token=text).error


def test_nobody_listens(join: Callable[..., Any], token: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = join("--certport", str(port), token=token).error
    assert f"127.0.0.1:{port} refuses connections" in error


def test_a_hub_port_where_nobody_listens(join: Callable[..., Any], token: str) -> None:
    """As behind a firewall that lets only the certificate port through: the node would never become Ready."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = join(token=token, address=f"127.0.0.1:{port}").error
    assert f"127.0.0.1:{port} refuses connections" in error
    assert "edges connect to this one" in error


def test_the_hub_port_for_certificates(join: Callable[..., Any], cloud: Any, token: str) -> None:
    assert "give that one with --certport" in join("--certport", str(cloud.hub_port), token=token).error


def test_a_label_that_no_api_takes(join: Callable[..., Any], token: str) -> None:
    assert "cannot be a label" in join("--labels", "zone=a b", token=token).error


def test_a_name_that_does_not_exist(join: Callable[..., Any], token: str) -> None:
    assert "cloud.invalid" in join(token=token, address="cloud.invalid:10000").error


def test_missing_address(keadm: Keadm) -> None:
    said = keadm("join", "-t", "x")
    assert said.code == 1
    assert "--cloudcore-ipport" in said.error


def test_a_bad_node_name(keadm: Keadm, token: str) -> None:
    said = keadm("join", "-e", "127.0.0.1", "-t", token, "-i", "Edge_1")
    assert said.code == 1
    assert "for example edge-1" in said.error


def test_quic_is_refused_plainly(join: Callable[..., Any], token: str) -> None:
    assert "quic is not built yet" in join("--hub-protocol", "quic", token=token).error


def test_a_cri_endpoint_is_refused_plainly(join: Callable[..., Any], token: str) -> None:
    assert "CRI is not built yet" in join("-p", "unix:///run/containerd/containerd.sock", token=token).error


def test_an_unknown_key(join: Callable[..., Any], token: str) -> None:
    assert "did you mean `edgeHub`" in join("--set", "modules.edgehub.heartbeat=10", token=token).error


def test_a_directory_that_is_not_clean(keadm: Keadm, cloud: Any, token: str, tmp_path: Path) -> None:
    mine = tmp_path / "etc" / "kubeedge" / "mine"
    mine.parent.mkdir(parents=True)
    mine.write_text("stays")
    said = keadm("join", "-e", f"127.0.0.1:{cloud.hub_port}", "-t", token, "--prefix", str(tmp_path))
    assert said.code == 1
    assert "is not clean" in said.error
    assert mine.read_text() == "stays"


def test_a_cloud_that_does_not_answer(join: Callable[..., Any], token: str) -> None:
    """Something accepts the connection and says nothing, as a firewall or a stopped process does."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        error = join("--certport", str(port), token=token).error
    assert f"127.0.0.1:{port} did not answer within" in error
