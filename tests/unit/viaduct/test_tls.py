"""TLS contexts: what they promise, and what they say about files that do not fit."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from viaduct.certificates import Authority
from viaduct.tls import TlsError, bootstrap_context, client_context, server_context


@pytest.fixture
def files(tmp_path: Path) -> Path:
    authority = Authority.create()
    for name in ("server", "other"):
        pair = authority.issue_server(["localhost"], [])
        (tmp_path / f"{name}.crt").write_bytes(pair.certificate_pem)
        (tmp_path / f"{name}.key").write_bytes(pair.key_pem)
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    (tmp_path / "empty").write_bytes(b"")
    key = serialization.load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    protection = serialization.BestAvailableEncryption(b"secret")
    (tmp_path / "locked.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    )
    return tmp_path


def test_clients_verify(files: Path) -> None:
    for ca in (files / "ca.crt", (files / "ca.crt").read_bytes(), None):
        context = client_context(ca=ca)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert bootstrap_context().verify_mode == ssl.CERT_NONE
    client_context(ca=files / "ca.crt", certificate=files / "server.crt", key=files / "server.key")


def test_servers_ask_as_they_are_told(files: Path) -> None:
    modes = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
    for word, mode in modes.items():
        context = server_context(
            certificate=files / "server.crt",
            key=files / "server.key",
            client_ca=files / "ca.crt",
            client_certificates=word,  # type: ignore[arg-type]
        )
        assert context.verify_mode == mode
    with pytest.raises(TlsError, match="needs the CA"):
        server_context(certificate=files / "server.crt", key=files / "server.key", client_ca=None, client_certificates="required")


def test_the_oldest_version_may_be_newer(files: Path) -> None:
    context = server_context(
        certificate=files / "server.crt",
        key=files / "server.key",
        client_ca=None,
        client_certificates="none",
        minimum="tlsv1.3",
    )
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing", "cannot read .*missing: No such file"),
        ("empty", "empty holds no list of revoked certificates"),
        # It would be one more CA that is trusted.
        ("other.crt", "must hold a list of revoked certificates, and no certificate"),
    ],
)
def test_lists_of_revoked_certificates_that_are_none(files: Path, name: str, text: str) -> None:
    with pytest.raises(TlsError, match=text):
        server_context(
            certificate=files / "server.crt",
            key=files / "server.key",
            client_ca=files / "ca.crt",
            client_certificates="required",
            revoked=files / name,
        )


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("server.crt", "other.key", "do not belong together"),
        ("missing.crt", "server.key", r"cannot read .*missing\.crt: No such file"),
        ("server.crt", "missing.key", r"cannot read .*missing\.key"),
        ("empty", "server.key", "not usable"),
        ("server.crt", "empty", "not usable"),
        ("server.crt", "locked.key", "password"),
    ],
)
def test_files_that_do_not_fit_are_named(files: Path, certificate: str, key: str, text: str) -> None:
    with pytest.raises(TlsError, match=text):
        client_context(ca=None, certificate=files / certificate, key=files / key)


def test_cas_that_are_none(files: Path) -> None:
    with pytest.raises(TlsError, match=r"empty holds no certificate"):
        client_context(ca=files / "empty")
    with pytest.raises(TlsError, match="the CA given"):
        client_context(ca=b"rubbish")
    with pytest.raises(TlsError, match="the CA given"):
        client_context(ca=b"\xff\xfe")
    with pytest.raises(TlsError, match="cannot read"):
        client_context(ca=files / "none")
