"""What is answered: an ASGI application that reads a broker's core and changes nothing.

``GET /metrics``; on the private socket also ``/status`` (one JSON object), ``/clients`` and ``/subscriptions`` (one a line).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import asdict
from fnmatch import translate
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import trio

from beehive import metrics
from edgecore.brokerview.metrics import families
from mqtt.access import INSIDE
from mqtt.core import Core
from mqtt.session import Session
from mqtt.sysreport import survey
from mqtt.view import Row, client_row, subscription_rows, waits
from viaduct.http_server import Receive, Scope, Send

LIMIT: Final = 1000
"""Rows of an answer, if nothing else is asked for."""
_SLICE: Final = 100
"""Sessions after which the broker has its turn: a millisecond."""
_LINES: Final = "application/x-ndjson"

Rows = Callable[[Session], Iterable[Row]]


class View:
    """listeners: for ``/status``. private: whether clients and topics are told, or only metrics."""

    def __init__(self, core: Core, version: str, *, listeners: list[str], private: bool) -> None:
        self._core = core
        self._version = version
        self._listeners = listeners
        self._private = private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope["path"]
        served = ("/metrics", "/status", "/clients", "/subscriptions") if self._private else ("/metrics",)
        if path not in served:
            await _answer(send, 404, "text/plain", f"served are {', '.join(served)}\n".encode())
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, "text/plain", b"only GET is served here\n")
        elif path == "/metrics":
            found = await survey(self._core)
            await _answer(send, 200, metrics.CONTENT_TYPE, metrics.text(families(found, self._version)).encode())
        elif path == "/status":
            await _answer(send, 200, "application/json", msgspec.json.encode(await self._status()))
        else:
            await self._list(path, scope["query_string"], send)

    async def _status(self) -> dict[str, Any]:
        return {"version": self._version, "listeners": self._listeners, **asdict(await survey(self._core))}

    async def _list(self, path: str, query: bytes, send: Send) -> None:
        try:
            wanted = _Wanted(query)
        except ValueError as error:
            await _answer(send, 400, "text/plain", f"{error}\n".encode())
            return
        rows = subscription_rows if path == "/subscriptions" else self._clients
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _LINES.encode())]})
        async for lines in self._lines(rows, wanted):
            await send({"type": "http.response.body", "body": lines, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _clients(self, session: Session) -> Iterator[Row]:
        yield client_row(session, trio.current_time())

    async def _lines(self, rows: Rows, wanted: _Wanted) -> AsyncIterator[bytes]:
        """The last line says that it is the last, and whether there would have been more."""
        encode = msgspec.json.encode
        left = wanted.limit
        more = False
        every = list(self._core.clients.sessions.values())
        for place in range(0, len(every), _SLICE):
            found = [row for session in every[place : place + _SLICE] if wanted.means(session) for row in rows(session)]
            more = len(found) > left
            found = found[:left]
            left -= len(found)
            if found:
                yield b"".join(encode(row) + b"\n" for row in found)
            if more:
                break
            await trio.lowlevel.checkpoint()
        yield encode({"end": True, "more": more}) + b"\n"


class _Wanted:
    """``match``: a pattern with * and ? for client identifiers. ``waiting``: only clients for whom something waits or was
    dropped. ``limit``: rows. Raises ValueError."""

    def __init__(self, query: bytes) -> None:
        known = {"match": "*", "waiting": "", "limit": str(LIMIT)}
        for name, values in parse_qs(query.decode("ascii", "replace"), max_num_fields=10).items():
            if name not in known:
                raise ValueError(f"{name}: known are {', '.join(known)}")
            known[name] = values[-1]
        if not known["limit"].isascii() or not known["limit"].isdigit() or len(known["limit"]) > 9:
            raise ValueError("limit: how many rows, a number")
        self.limit = int(known["limit"])
        self._waiting = bool(known["waiting"])
        self._match = re.compile(translate(known["match"])).match if known["match"] != "*" else None

    def means(self, session: Session) -> bool:
        if self._waiting and not waits(session):
            return False
        return self._match is None or self._match(session.client_id.removeprefix(INSIDE)) is not None


async def _answer(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
