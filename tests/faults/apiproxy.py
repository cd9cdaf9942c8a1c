"""A bad API server: a reverse proxy in front of a good one that ends TLS, so that it can tell requests and watch events apart.

It cuts watches after so many events (sometimes in the middle of the next), and answers at random with 500 and 429, late, or not
at all although the request was carried out.
"""

from __future__ import annotations

import json
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import h11
import trio
from cluster import HOST, Cluster

from viaduct.certificates import certificate_pem, key_pem

CHUNK: Final = 65536
GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, OSError)


class _Cut(Exception):
    """This connection ends here."""


class ApiProxy:
    """cut_after: events of one watch, 0 for never. trouble: the share of requests that meet some. refusing: nobody gets in.

    ``requests`` counts by method, ``at`` the requests of each second, ``troubles`` what was done to them.
    """

    def __init__(self, port: int, server: ssl.SSLContext, client: ssl.SSLContext, seed: int) -> None:
        self.port = 0
        self.cut_after = 0
        self.trouble = 0.0
        self.refusing = False
        self.requests: Counter[str] = Counter()
        self.at: Counter[int] = Counter()
        self.troubles: Counter[str] = Counter()
        self._target, self._server, self._client = port, server, client
        self._random = random.Random(seed)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self._connection, listeners, task_status=task_status)

    async def _connection(self, tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, self._server, server_side=True)
        try:
            if self.refusing:
                return
            upstream = await trio.open_tcp_stream(HOST, self._target)
            behind = trio.SSLStream(upstream, self._client, server_hostname=HOST)
            try:
                await self._exchanges(_Side(stream, h11.SERVER), _Side(behind, h11.CLIENT))
            finally:
                await trio.aclose_forcefully(behind)
        except (*GONE, _Cut):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _exchanges(self, front: _Side, back: _Side) -> None:
        while True:
            request = await front.next()
            if not isinstance(request, h11.Request):
                return
            body = await front.body()
            target = request.target.decode()
            watch = "watch=true" in target
            verb = "WATCH" if watch else request.method.decode()
            self.requests[verb] += 1
            self.at[int(trio.current_time())] += 1
            if self.refusing:
                raise _Cut
            lost = False
            if self._random.random() < self.trouble:
                kind = self._random.choice(["500", "429", "late", "lost"])
                self.troubles[kind] += 1
                lost = kind == "lost"
                if lost and watch:
                    raise _Cut
                if kind == "late":
                    await trio.sleep(self._random.uniform(0.1, 2.0))
                elif not lost:
                    await _refuse(front, int(kind))
                    continue
            await back.send(request, body)
            await self._answer(front, back, watch=watch, lost=lost)
            front.again()
            back.again()

    async def _answer(self, front: _Side, back: _Side, *, watch: bool, lost: bool) -> None:
        seen = 0
        while not isinstance(event := await back.next(), h11.EndOfMessage):
            if lost:
                continue
            if watch and self.cut_after and isinstance(event, h11.Data):
                data, seen = self._until_cut(bytes(event.data), seen)
                await front.send(h11.Data(data=data))
                if seen >= self.cut_after:
                    self.troubles["watches cut"] += 1
                    raise _Cut
            elif isinstance(event, h11.Response | h11.Data):
                await front.send(event)
        if lost:
            raise _Cut
        await front.send(event)

    def _until_cut(self, data: bytes, seen: int) -> tuple[bytes, int]:
        """What of ``data`` may pass, and how many events have passed by then; now and then a piece of one more."""
        at = 0
        while seen < self.cut_after and (end := data.find(b"\n", at)) >= 0:
            at, seen = end + 1, seen + 1
        if seen < self.cut_after:
            return data, seen
        return data[: at + self._random.choice([0, 0, 40])], seen


class _Side:
    """One end of HTTP/1.1 on a stream."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self._stream = stream
        self._http = h11.Connection(role, max_incomplete_event_size=CHUNK)

    async def next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._stream.receive_some(CHUNK))
        return event  # type: ignore[return-value]

    async def body(self) -> bytes:
        found = b""
        while isinstance(event := await self.next(), h11.Data):
            found += bytes(event.data)
        return found

    async def send(self, event: h11.Event, body: bytes = b"") -> None:
        """An event; with a request goes its body."""
        data = self._http.send(event) or b""
        if isinstance(event, h11.Request):
            data += (self._http.send(h11.Data(data=body)) or b"") if body else b""
            data += self._http.send(h11.EndOfMessage()) or b""
        if data:
            await self._stream.send_all(data)

    def again(self) -> None:
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            raise _Cut
        self._http.start_next_cycle()


async def _refuse(front: _Side, code: int) -> None:
    reason = {429: "TooManyRequests", 500: "InternalError"}[code]
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "bad weather"}
    body = json.dumps(status).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    if code == 429:
        headers.append(("retry-after", "1"))
    await front.send(h11.Response(status_code=code, headers=headers))
    await front.send(h11.Data(data=body))
    await front.send(h11.EndOfMessage())
    front.again()


@asynccontextmanager
async def api_proxy(cluster: Cluster, folder: Path, seed: int) -> AsyncIterator[ApiProxy]:
    """In front of the API server of ``cluster``, with a certificate of its authority; harmless until told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = cluster.authority.issue_server(["localhost"], [HOST], 2)
    for name, content in (("crt", certificate_pem(pair.certificate_der)), ("key", key_pem(pair.key_der))):
        (folder / f"proxy.{name}").write_bytes(content)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "proxy.crt", folder / "proxy.key")
    client = ssl.create_default_context(cadata=cluster.authority.certificate_pem.decode())
    made = ApiProxy(cluster.port, server, client, seed)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.serve)
        yield made
        nursery.cancel_scope.cancel()
