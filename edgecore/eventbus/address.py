"""Addresses of MQTT servers as the configuration writes them."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_PLAIN: Final = ("tcp", "mqtt")
_SECURE: Final = ("ssl", "tls", "mqtts")


class AddressError(ValueError):
    """The text says what was expected."""


def address(url: str) -> tuple[tuple[str, int] | str, bool]:
    """Host and port, or the path of a unix socket; and whether TLS is wanted. Raises AddressError."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise AddressError(f"{url!r} is no address: {error}") from None
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return parts.path, False
    secure = parts.scheme in _SECURE
    if not secure and parts.scheme not in _PLAIN:
        raise AddressError(f"{url!r} must begin with tcp://, mqtt://, ssl://, tls://, mqtts:// or unix:///")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path not in ("", "/") or parts.username or parts.query or port == 0:
        raise AddressError(f"{url!r} must be {parts.scheme}://<host>:<port>: {parts.scheme}://127.0.0.1:1883")
    return (host, port or (8883 if secure else 1883)), secure


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
