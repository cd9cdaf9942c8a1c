"""How an edge gets its certificates from the certificate server (port 10002).

Source: KubeEdge 1.23: edge/pkg/edgehub/certificate/certmanager.go, cloud/pkg/cloudhub/servers/httpserver.
"""

from __future__ import annotations

import hashlib
import urllib.parse
from pathlib import Path
from typing import Final

import trio

from viaduct.causes import Cause, explain
from viaduct.fetch import AnswerTooLarge, NoHttp, get
from viaduct.tls import TlsContext, bootstrap_context, client_context

SECONDS: Final = 10.0
"""How long one call may take."""

_ANSWER_LIMIT: Final = 1024 * 1024
_SHOWN: Final = 300


class EnrolError(Exception):
    """No certificate was obtained. The text says what failed, why, and what to do next."""


class Unreachable(EnrolError):
    """The certificate server cannot be reached: refused, no answer, no such name, or something that speaks no TLS."""


class WrongAuthority(EnrolError):
    """The server belongs to another cluster than the token, or than the CA that this node trusts."""


class TokenRejected(EnrolError):
    """The server does not accept the join token. expired: it was good once."""

    def __init__(self, text: str, *, expired: bool = False) -> None:
        super().__init__(text)
        self.expired = expired


class CertificateRejected(EnrolError):
    """The server does not accept the certificate that this node has."""


class NameMismatch(EnrolError):
    """The server's certificate is not for the name or address by which it was called."""


class ClockSkew(EnrolError):
    """The clocks of edge and cloud are so far apart that certificates do not hold."""


class Refused(EnrolError):
    """The server answered, but with an error. status: its HTTP status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


_KINDS: Final = {
    Cause.UNREACHABLE: Unreachable,
    Cause.TIMEOUT: Unreachable,
    Cause.DNS: Unreachable,
    Cause.NOT_TLS: Unreachable,
    Cause.BROKEN: Unreachable,
    Cause.UNTRUSTED: WrongAuthority,
    Cause.WRONG_NAME: NameMismatch,
    Cause.CLOCK: ClockSkew,
    Cause.EXPIRED: ClockSkew,
    Cause.OUR_CERTIFICATE: CertificateRejected,
}


async def fetch_authority(base_url: str, fingerprint: str, *, seconds: float = SECONDS) -> bytes:
    """The cluster's CA certificate (DER), whose SHA-256 is ``fingerprint`` (hex, first part of the join token).

    base_url: ``https://host:port``. Raises EnrolError; WrongAuthority when the hash is another one.
    """
    status, body = await _get(base_url, "/ca.crt", bootstrap_context(), seconds)
    if status != 200:
        raise Refused(f"{base_url}/ca.crt answered HTTP {status}{_quote(body)}; check that this is a cloudcore", status)
    found = hashlib.sha256(body).hexdigest()
    if found != fingerprint.lower():
        raise WrongAuthority(
            f"the CA of {base_url} has the hash {found}, but the token is for a CA with the hash {fingerprint.lower()}: "
            "it is the token of another cluster; get one with `keadm gettoken` on this cloud"
        )
    return body


async def request_certificate(
    base_url: str,
    *,
    node: str,
    csr_der: bytes,
    ca_pem: bytes,
    jwt: str | None = None,
    identity: tuple[Path, Path] | None = None,
    seconds: float = SECONDS,
) -> bytes:
    """The node's certificate (DER) for a request.

    jwt: the token part that the cloud verifies (first certificate). identity: certificate and key files in use until
    now (rotation). Raises EnrolError.
    """
    certificate, key = identity or (None, None)
    tls = client_context(ca=ca_pem, certificate=certificate, key=key)
    headers = {"NodeName": node} | ({"Authorization": f"Bearer {jwt}"} if jwt else {})
    status, body = await _get(base_url, "/edge.crt", tls, seconds, headers=headers, content=csr_der)
    if status == 401:
        raise _unauthorized(base_url, node, body, by_token=jwt is not None)
    if status != 200:
        raise Refused(f"{base_url}/edge.crt issued no certificate for node {node!r}: HTTP {status}{_quote(body)}", status)
    _check(base_url, node, csr_der, body)
    return body


async def node_exists(base_url: str, node: str, *, ca_pem: bytes | None = None, seconds: float = SECONDS) -> bool:
    """Whether the cloud has a Node of this name already.

    Without ``ca_pem`` the server is not verified (nothing secret is sent). Raises EnrolError.
    """
    tls = bootstrap_context() if ca_pem is None else client_context(ca=ca_pem)
    path = "/node/" + urllib.parse.quote(node, safe="")
    status, body = await _get(base_url, path, tls, seconds)
    if status not in (200, 404):
        raise Refused(f"{base_url} cannot say whether node {node!r} exists: HTTP {status}{_quote(body)}", status)
    return status == 200


async def _get(
    base_url: str,
    path: str,
    tls: TlsContext,
    seconds: float,
    *,
    headers: dict[str, str] | None = None,
    content: bytes = b"",
) -> tuple[int, bytes]:
    host, port = _address(base_url)
    url = base_url.rstrip("/") + path
    try:
        with trio.fail_after(seconds):
            return await get(url, tls=tls, headers=headers, body=content, limit=_ANSWER_LIMIT)
    except AnswerTooLarge as error:
        raise EnrolError(f"{url} answered with {error}; check that this is a cloudcore") from error
    except NoHttp as error:
        raise Unreachable(f"{url} does not speak HTTP ({error}); check address and port (10002)") from error
    except (OSError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        cause, text = await explain(error, host, port)
        raise _KINDS[cause](text) from error


def _address(base_url: str) -> tuple[str, int]:
    try:
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme == "https" and parts.hostname and not parts.path.strip("/"):
            return parts.hostname, parts.port or 443
    except ValueError:
        pass
    raise EnrolError(f"{base_url!r} is not an address of the form https://host:port; correct it")


def _unauthorized(base_url: str, node: str, body: bytes, *, by_token: bool) -> EnrolError:
    said = _quote(body)
    if not by_token:
        return CertificateRejected(f"{base_url} does not accept the certificate of node {node!r}{said}; join again with a token")
    if b"expired" in body:
        return TokenRejected(f"the join token has expired{said}; get a new one with `keadm gettoken`", expired=True)
    if b"signature is invalid" in body:
        return TokenRejected(f"the join token is not from this cluster{said}; get one with `keadm gettoken` on {base_url}")
    return TokenRejected(f"{base_url} does not accept the join token{said}; get a new one with `keadm gettoken`")


def _check(base_url: str, node: str, csr_der: bytes, certificate_der: bytes) -> None:
    from viaduct.certificates import NODE_PREFIX, CertificateError, answers_request, describe

    try:
        name = describe(certificate_der).common_name
        ours = answers_request(certificate_der, csr_der)
    except CertificateError as error:
        raise EnrolError(f"{base_url}/edge.crt answered with something else than a certificate: {error}") from error
    if name != NODE_PREFIX + node or not ours:
        raise EnrolError(f"{base_url}/edge.crt issued a certificate for {name!r} that does not answer our request; try again")


def _quote(body: bytes) -> str:
    said = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    return f" ({said})" if said else ""
