"""The only place where TLS contexts are made (rule R4): TLS 1.2 or later, HTTP/1.1 only, verification on."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Literal, TypeAlias

TlsContext: TypeAlias = ssl.SSLContext
"""What other packages call the thing, so that they need not import ``ssl``."""

_CLIENT_CERTIFICATES = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


class TlsError(Exception):
    """A certificate, key or CA file cannot be used. The text names the file and says why."""


def server_context(
    *,
    certificate: Path,
    key: Path,
    client_ca: Path | None,
    client_certificates: Literal["required", "optional", "none"],
    revoked: Path | None = None,
    minimum: Literal["tlsv1.2", "tlsv1.3"] = "tlsv1.2",
) -> TlsContext:
    """For a server that shows ``certificate`` and asks (or not) for certificates signed by ``client_ca``.

    revoked: a list (CRL, as PEM) of ``client_ca``; without a current one no client certificate is good.

    Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    if minimum == "tlsv1.3":
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load_pair(context, certificate, key)
    if client_certificates != "none":
        if client_ca is None:
            raise TlsError("a server that asks for client certificates needs the CA that signs them")
        _trust(context, client_ca)
        if revoked is not None:
            _revoke(context, revoked)
    context.verify_mode = _CLIENT_CERTIFICATES[client_certificates]
    return context


def client_context(
    *, ca: Path | bytes | None, certificate: Path | bytes | None = None, key: Path | bytes | None = None
) -> TlsContext:
    """For a client that trusts ``ca`` (a PEM file, PEM bytes, or None for the system's own list) and checks host names.

    certificate, key: both as files, or both as PEM bytes.

    Raises TlsError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, ca)
    if isinstance(certificate, bytes) or isinstance(key, bytes):
        _load_pair_in_memory(context, certificate, key)
    elif certificate is not None:
        _load_pair(context, certificate, key)
    return context


def bootstrap_context() -> TlsContext:
    """Verifies nothing. Only for fetching ``/ca.crt``, whose hash is then compared with the one in the join token, and
    for looking at a certificate that failed verification, to say why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _harden(context: TlsContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])


def _load_pair(context: TlsContext, certificate: Path, key: Path | None) -> None:
    for file in (certificate, key):
        _check_readable(file)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        raise TlsError(f"the private key {key or certificate} is protected by a password; store it without one") from None
    except ssl.SSLError as error:
        what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else f"are not usable ({_reason(error)})"
        raise TlsError(f"certificate {certificate} and key {key or certificate} {what}") from error


def _load_pair_in_memory(context: TlsContext, certificate: object, key: object) -> None:
    """OpenSSL reads only files; this one is never on a disk."""
    if not isinstance(certificate, bytes) or not isinstance(key, bytes):
        raise TlsError("a certificate given as bytes needs its key as bytes, too")
    handle = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{handle}", password=_no_password)
    except _Encrypted:
        raise TlsError("the private key given is protected by a password; store it without one") from None
    except ssl.SSLError as error:
        raise TlsError(f"the certificate and key given are not usable ({_reason(error)})") from error
    finally:
        os.close(handle)


def _trust(context: TlsContext, ca: Path | bytes) -> None:
    name = "the CA given" if isinstance(ca, bytes) else f"the CA file {ca}"
    try:
        if isinstance(ca, bytes):
            context.load_verify_locations(cadata=ca.decode("ascii"))
        else:
            _check_readable(ca)
            context.load_verify_locations(cafile=str(ca))
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise TlsError(f"{name} holds no certificate in PEM form ({_reason(error)})") from error


def _revoke(context: TlsContext, revoked: Path) -> None:
    _check_readable(revoked)
    before = context.cert_store_stats()
    try:
        context.load_verify_locations(cafile=str(revoked))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"{revoked} holds no list of revoked certificates in PEM form ({_reason(error)})") from error
    after = context.cert_store_stats()
    if after["x509"] != before["x509"] or after["crl"] == before["crl"]:
        # A certificate in this place would be one more CA that is trusted.
        raise TlsError(f"{revoked} must hold a list of revoked certificates, and no certificate")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _check_readable(file: Path | None) -> None:
    if file is None:
        return
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise TlsError(f"cannot read {file}: {error.strerror}") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise _Encrypted
