"""Why another machine could not be reached: the root cause in one line, and what to do next."""

from __future__ import annotations

import datetime
import errno
import socket
import ssl
from collections.abc import Iterator
from enum import Enum

import trio

from viaduct.tls import bootstrap_context

_NOT_YET_VALID = 9
_EXPIRED = 10
_UNTRUSTED = {2, 7, 18, 19, 20, 21, 24, 30}
_WRONG_NAME = {62, 64}
_PEEK_SECONDS = 5.0


class Cause(Enum):
    """The kinds of failure that a caller may want to tell apart."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DNS = "dns"
    UNTRUSTED = "untrusted"
    WRONG_NAME = "wrong name"
    CLOCK = "clock"
    EXPIRED = "expired"
    OUR_CERTIFICATE = "our certificate"
    NOT_TLS = "not tls"
    BROKEN = "broken"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and the members of groups, outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        waiting.extend(part for part in current.args if isinstance(part, BaseException))  # how httpcore2 hands on an OSError
        waiting.append(current.__cause__)
        if not current.__suppress_context__:
            waiting.append(current.__context__)


async def explain(error: BaseException, host: str, port: int) -> tuple[Cause, str]:
    """The cause and a sentence for a person, for a failed attempt to speak TLS with ``host:port``.

    May ask the server for its certificate once more (at most 5 s) when its dates are the matter.
    """
    errors = list(chain(error))
    where = f"{host}:{port}"
    for found in errors:
        if isinstance(found, ssl.SSLCertVerificationError):
            return await _explain_verification(found, host, port)
    for found in errors:
        if isinstance(found, ssl.SSLError) and (told := _explain_tls(found, where)) is not None:
            return told
    for found in errors:
        if isinstance(found, OSError) and (told := _explain_os(found, host, where)) is not None:
            return told
    for found in errors:
        if isinstance(found, trio.TooSlowError | TimeoutError):
            return Cause.TIMEOUT, f"{where} does not answer (time-out); check the address, firewalls and that cloudcore runs"
    text = next((str(found) for found in reversed(errors) if str(found)), type(error).__name__)
    return Cause.BROKEN, f"the connection with {where} broke: {text}"


def _explain_os(error: OSError, host: str, where: str) -> tuple[Cause, str] | None:
    if isinstance(error, socket.gaierror):
        return Cause.DNS, f"the name {host!r} is not known ({error.strerror}); check its spelling and this machine's DNS"
    if error.errno == errno.ECONNREFUSED:
        return Cause.UNREACHABLE, f"{where} refuses connections; check the address and port and that cloudcore runs there"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return Cause.UNREACHABLE, f"there is no route to {where} ({error.strerror}); check the network"
    if error.errno == errno.ETIMEDOUT:
        return Cause.TIMEOUT, f"{where} does not answer (time-out); check the address, firewalls and that cloudcore runs"
    if error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
        return Cause.BROKEN, f"{where} cut the connection ({error.strerror}); its log says why"
    return None


def _explain_tls(error: ssl.SSLError, where: str) -> tuple[Cause, str] | None:
    reason = error.reason or ""
    if "ALERT" in reason and "EXPIRED" in reason:
        return Cause.OUR_CERTIFICATE, f"{where} says that this node's certificate has expired; join again with a new token"
    if "ALERT" in reason and any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")):
        said = reason.partition("ALERT_")[2].replace("_", " ").lower()
        return Cause.OUR_CERTIFICATE, (
            f"{where} does not accept this node's certificate ({said}); it was issued by another cluster or is missing: "
            "join again with a token of this cluster"
        )
    if reason == "UNEXPECTED_EOF_WHILE_READING":
        return Cause.BROKEN, (
            f"{where} closed the connection in the middle of the TLS handshake; either cloudcore is just ending, or a "
            "proxy or load balancer answers there that has no cloudcore behind it"
        )
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return Cause.NOT_TLS, f"{where} does not speak TLS; check that address and port are those of cloudcore"
    if reason:
        return Cause.BROKEN, f"TLS with {where} failed: {reason.replace('_', ' ').lower()}"
    return None


async def _explain_verification(error: ssl.SSLCertVerificationError, host: str, port: int) -> tuple[Cause, str]:
    where = f"{host}:{port}"
    if error.verify_code in _WRONG_NAME:
        names = await _certificate_names(host, port)
        known = f" (it is for {names})" if names else ""
        return Cause.WRONG_NAME, (
            f"the certificate of {where} is not for {host!r}{known}; use one of its names, or add {host!r} to "
            "modules.cloudHub.advertiseAddress or dnsNames in cloudcore.yaml and restart cloudcore"
        )
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        return await _explain_dates(error.verify_code, host, port)
    if error.verify_code in _UNTRUSTED:
        return Cause.UNTRUSTED, (
            f"the certificate of {where} is not signed by the CA that this node trusts ({error.verify_message}); "
            "this is another cluster, or its CA was made anew: join again with a token of this cluster"
        )
    return Cause.UNTRUSTED, f"the certificate of {where} is not acceptable: {error.verify_message}"


async def _explain_dates(code: int, host: str, port: int) -> tuple[Cause, str]:
    now = datetime.datetime.now(datetime.UTC)
    clock = f"this machine's clock says {now:%Y-%m-%d %H:%M:%S} UTC"
    found = await _peek(host, port)
    validity = f"valid from {found[0]} to {found[1]} UTC" if found else "not valid at that time"
    if code == _NOT_YET_VALID:
        return Cause.CLOCK, f"{clock}, but the certificate of {host}:{port} is {validity}; set the clock (NTP)"
    return Cause.EXPIRED, (
        f"the certificate of {host}:{port} has expired: it is {validity}, and {clock}; "
        "renew cloudcore's certificate, or set the clock if it is wrong"
    )


async def _peek(host: str, port: int) -> tuple[str, str] | None:
    der = await peer_certificate(host, port)
    if der is None:
        return None
    from viaduct.certificates import CertificateError, describe

    try:
        info = describe(der)
    except CertificateError:
        return None
    return f"{info.not_before:%Y-%m-%d %H:%M:%S}", f"{info.not_after:%Y-%m-%d %H:%M:%S}"


async def _certificate_names(host: str, port: int) -> str:
    der = await peer_certificate(host, port)
    if der is None:
        return ""
    from viaduct.certificates import CertificateError, describe

    try:
        info = describe(der)
    except CertificateError:
        return ""
    return ", ".join([*info.dns_names, *info.ip_addresses])


async def peer_certificate(host: str, port: int) -> bytes | None:
    """The certificate (DER) that a server shows, unverified; None when it cannot be had within 5 s."""
    with trio.move_on_after(_PEEK_SECONDS):
        try:
            stream = await trio.open_tcp_stream(host, port)
            async with trio.SSLStream(stream, bootstrap_context(), server_hostname=host, https_compatible=True) as tls:
                await tls.do_handshake()
                der = tls.getpeercert(binary_form=True)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            return None
        return bytes(der) if der else None
    return None
