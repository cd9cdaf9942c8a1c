"""One bounded HTTPS GET, for the few calls that an edge makes before it has a link.

KubeEdge's certificate server wants a body with a GET. The edge needs no HTTP client library otherwise, so that none is
loaded for this: the protocol is h11's, which the WebSocket library brings along.
"""

from __future__ import annotations

import urllib.parse
from typing import Final

import h11
import trio

from viaduct.tls import TlsContext
from viaduct.wire import authority

_HEADERS_LIMIT: Final = 64 * 1024
_READ_SIZE: Final = 64 * 1024


class AnswerTooLarge(Exception):
    """The answer is longer than it may be."""


class NoHttp(Exception):
    """What came is not an HTTP answer, or it stopped half way."""


async def get(
    url: str, *, tls: TlsContext, headers: dict[str, str] | None = None, body: bytes = b"", limit: int
) -> tuple[int, bytes]:
    """Status and body of ``https://host:port/path``. No redirection is followed, no proxy is used. The caller sets the
    deadline.

    Raises OSError or trio.BrokenResourceError (not reachable), NoHttp, AnswerTooLarge.
    """
    target = urllib.parse.urlsplit(url)
    host, port = target.hostname or "", target.port or 443
    fields = {"Host": authority(host, port), "Connection": "close", "Content-Length": str(len(body))} | (headers or {})
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADERS_LIMIT)
    tcp = await trio.open_tcp_stream(host, port)
    async with trio.SSLStream(tcp, tls, server_hostname=host, https_compatible=True) as stream:
        await stream.do_handshake()
        try:
            request = h11.Request(method="GET", target=target.path or "/", headers=list(fields.items()))
            data = (connection.send(request) or b"") + (connection.send(h11.Data(data=body)) or b"")
            await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))
            return await _answer(connection, stream, limit)
        except h11.ProtocolError as error:
            raise NoHttp(f"no HTTP answer: {error}") from error


async def _answer(connection: h11.Connection, stream: trio.SSLStream[trio.SocketStream], limit: int) -> tuple[int, bytes]:
    status = 0
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_READ_SIZE)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise AnswerTooLarge(f"more than {limit} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            raise NoHttp("the connection was closed without an answer")
