"""The API's own authority, its server certificate and the administrator's kubeconfig, made at the first start.

The private key of the authority stands in ``data_dir/pki`` (0600) beside the database: whoever reads it is an administrator.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beehive.files import write_atomically
from cloudcore.apiserver.settings import ApiServerSettings
from kube import kubeconfig
from viaduct import certificates

ADMINISTRATORS: Final = "system:masters"
_DAYS: Final = 3650
_RENEW_BEFORE: Final = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Credentials:
    """Files for the server's TLS context, and the authority."""

    authority: certificates.Authority
    ca_file: Path
    certificate_file: Path
    key_file: Path


def prepare(settings: ApiServerSettings) -> Credentials:
    """Blocking. Loads what is there, makes what is missing, renews what ends soon or lacks a name.

    Raises OSError or CertificateError (the text names the file).
    """
    folder = settings.data_dir / "pki"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _authority(folder)
    certificate_file, key_file = folder / "apiserver.crt", folder / "apiserver.key"
    dns, ips = _names(settings)
    if not _server_usable(certificate_file, key_file, authority, dns, ips):
        pair = authority.issue_server(dns, ips, _DAYS, common_name="kube-apiserver")
        write_atomically(key_file, pair.key_pem)
        write_atomically(certificate_file, pair.certificate_pem, mode=0o644)
    return Credentials(authority, folder / "ca.crt", certificate_file, key_file)


def _authority(folder: Path) -> certificates.Authority:
    certificate, key = folder / "ca.crt", folder / "ca.key"
    if certificate.exists() and key.exists():
        try:
            return certificates.Authority.from_der(
                certificates.certificate_der(certificate.read_bytes()), certificates.key_der(key.read_bytes())
            )
        except certificates.CertificateError as error:
            raise certificates.CertificateError(
                f"the authority of the embedded Kubernetes API in {folder} cannot be used: {error}. "
                "Restore ca.crt and ca.key from a backup, or remove both to begin with a new authority"
            ) from error
    authority = certificates.Authority.create("kubernetes")
    write_atomically(key, certificates.key_pem(authority.key_der))
    write_atomically(certificate, authority.certificate_pem, mode=0o644)
    return authority


def _names(settings: ApiServerSettings) -> tuple[list[str], list[str]]:
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", socket.gethostname()]
    addresses = ["127.0.0.1", "::1"]
    for wanted in (settings.address, *settings.advertise):
        if _is_address(wanted):
            addresses.append(wanted)
        elif wanted:
            names.append(wanted)
    unspecified = {"0.0.0.0", "::"}  # noqa: S104 - to leave them out
    return list(dict.fromkeys(names)), [ip for ip in dict.fromkeys(addresses) if ip not in unspecified]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _server_usable(
    certificate: Path, key: Path, authority: certificates.Authority, dns: Iterable[str], ips: Iterable[str]
) -> bool:
    if not certificate.exists() or not key.exists():
        return False
    try:
        data = certificate.read_bytes()
        info = certificates.describe(data)
        fits = certificates.belong_together(data, key.read_bytes()) and certificates.issued_by(data, authority.certificate_der)
    except certificates.CertificateError:
        return False
    named = set(dns) <= set(info.dns_names) and {ipaddress.ip_address(ip) for ip in ips} <= {
        ipaddress.ip_address(ip) for ip in info.ip_addresses
    }
    return fits and named and info.not_after - _RENEW_BEFORE > datetime.datetime.now(datetime.UTC)


def server_url(settings: ApiServerSettings, port: int) -> str:
    """The address that the administrator's kubeconfig names."""
    host = settings.address
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - to replace them
        host = settings.advertise[0] if settings.advertise else "127.0.0.1"
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def write_kubeconfig(settings: ApiServerSettings, credentials: Credentials, port: int) -> None:
    """Blocking. Writes the kubeconfig, unless the one that is there is still right.

    Raises OSError.
    """
    server = server_url(settings, port)
    if settings.kubeconfig.exists():
        try:
            present = kubeconfig.load(settings.kubeconfig)
            if present.server == server and present.ca == credentials.authority.certificate_pem and present.certificate:
                soon = datetime.datetime.now(datetime.UTC) + _RENEW_BEFORE
                if certificates.describe(present.certificate).not_after > soon:
                    return
        except (kubeconfig.KubeconfigError, certificates.CertificateError):
            pass
    pair = credentials.authority.issue_client("kubernetes-admin", [ADMINISTRATORS], _DAYS)
    connection = kubeconfig.Connection(
        server=server, ca=credentials.authority.certificate_pem, certificate=pair.certificate_pem, key=pair.key_pem
    )
    write_atomically(settings.kubeconfig, kubeconfig.dump(connection))
