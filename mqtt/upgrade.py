"""The request that opens a WebSocket, and its answer. No I/O here. Needs h11, and nothing imports it before a listener does.

Web pages: a browser opens WebSockets for any page, to any address that its user can reach, and says in ``Origin`` whose page
it is. A broker that trusts the network, the machine or a client certificate would so trust every page that somebody looks at.
Hence a page of another host than the one asked for needs to be listed. Programs mostly send no Origin, and are not asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import logging
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import h11

log = logging.getLogger(__name__)

SUBPROTOCOLS: Final = ("mqtt", "mqttv3.1")
"""MQTT-6.0.0-3; the second is what clients of 3.1 ask for."""
REQUEST: Final = 8 * 1024
"""Bytes of a request and its headers at most."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OVERHEAD: Final = 2048
"""Bytes."""
_TOLD: Final = 16


class _No(Exception):
    """Refused. status: of HTTP. The text is the answer's body."""

    def __init__(self, status: int, text: str, headers: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Answer:
    """data: to be sent. rest: what came behind the request. accepted: whether frames follow, or the end."""

    data: bytes
    rest: bytes = b""
    accepted: bool = False


class Gate:
    """Whom one listener lets in. origins: of web pages, as ``https://panel.example:8443``; ``*``: all."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(each.rstrip("/").lower() for each in origins)
        self._told: set[str] = set()

    def check_origin(self, origin: str, host: str, *, local: bool) -> None:
        """Raises _No. host: as asked for. local: the connection comes from this machine."""
        if "*" in self._origins or origin.lower() in self._origins or self._same_host(origin, host, local=local):
            return
        if origin not in self._told and len(self._told) < _TOLD:
            self._told.add(origin)
            log.warning("a web page of %.200r may not connect: its origin is not listed for this listener", origin)
        raise _No(403, "The origin of this page is not listed for this listener.")

    def _same_host(self, origin: str, host: str, *, local: bool) -> bool:
        """A name that its owner can lead to the loopback address is no proof, for who connects from there."""
        try:
            theirs, ours = urlsplit(origin).hostname, urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return theirs is not None and theirs == ours and (not local or _is_this_machine(theirs))


def _is_this_machine(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Upgrade:
    """One connection until its request is answered. held: what it takes in memory, about, while the request is not whole."""

    __slots__ = ("_connection", "_gate", "_local", "held")

    def __init__(self, gate: Gate, *, local: bool) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST)
        self._gate = gate
        self._local = local
        self.held = _OVERHEAD

    def feed(self, data: bytes) -> Answer | None:
        """None while the request is not whole."""
        self.held += len(data)
        try:
            self._connection.receive_data(data)
            request = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            return _refusal(_No(error.error_status_hint, "This is no HTTP request; a WebSocket is spoken here."))
        if not isinstance(request, h11.Request):
            return None
        try:
            return Answer(self._accept(request), self._connection.trailing_data[0], accepted=True)
        except _No as refused:
            return _refusal(refused)

    def _accept(self, request: h11.Request) -> bytes:
        headers: dict[str, str] = {}
        for name, value in request.headers:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        key = _checked_key(request, headers)
        if (origin := headers.get("origin")) is not None:
            self._gate.check_origin(origin, headers.get("host", ""), local=self._local)
        wanted = _tokens(headers, "sec-websocket-protocol")
        chosen = next((each for each in SUBPROTOCOLS if each in wanted), None)
        if chosen is None:
            raise _No(400, "Sec-WebSocket-Protocol has to name mqtt.")
        accept = base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()).decode()
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {chosen}\r\n\r\n"
        ).encode()


def _tokens(headers: dict[str, str], name: str) -> list[str]:
    return [each.strip() for each in headers.get(name, "").split(",")]


def _checked_key(request: h11.Request, headers: dict[str, str]) -> str:
    """The client's key, of a request that is one for a WebSocket (RFC 6455, 4.2.1). Raises _No."""
    if "websocket" not in [each.lower() for each in _tokens(headers, "upgrade")]:
        raise _No(426, "A WebSocket is spoken here, with the subprotocol mqtt.", "Upgrade: websocket\r\n")
    if (
        request.method != b"GET"
        or request.http_version != b"1.1"
        or "upgrade" not in [each.lower() for each in _tokens(headers, "connection")]
    ):
        raise _No(400, "A request for a WebSocket is a GET of HTTP/1.1 with Connection: Upgrade.")
    if headers.get("sec-websocket-version") != "13":
        raise _No(426, "Only version 13 of WebSocket is spoken here.", "Sec-WebSocket-Version: 13\r\n")
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise _No(400, "A request for a WebSocket has no body.")
    key = headers.get("sec-websocket-key", "")
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise _No(400, "Sec-WebSocket-Key has to be 16 bytes in base64.")
    return key


def _refusal(refused: _No) -> Answer:
    body = f"{refused}\n"
    phrase = HTTPStatus(refused.status).phrase
    head = f"HTTP/1.1 {refused.status} {phrase}\r\n{refused.headers}Connection: close\r\nContent-Type: text/plain\r\n"
    return Answer(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
