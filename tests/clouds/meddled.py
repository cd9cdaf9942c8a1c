"""The embedded Kubernetes API behind a door that a test may close, slow down or take things away from."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import trio

from cloudcore.apiserver.server import serve
from cloudcore.apiserver.settings import ApiServerSettings
from cloudcore.app import client_context
from kube import kubeconfig
from kube.status import ApiError
from kube.transport import Call, Limits, Transport
from viaduct.http_server import read_body, serve_http
from viaduct.listen import open_listeners, port_of

Meddle = Callable[[str, str], Awaitable[int]]


async def nothing(method: str, path: str) -> int:
    return 0


class MeddledApi:
    """``meddle(method, path)`` may wait, and returns the status of a failure or 0. ``calls`` are all requests so far.

    ``given``: objects of kinds that the embedded API does not serve, by path; one that is posted is kept and answered.
    """

    def __init__(self, url: str, behind: Transport) -> None:
        self.url = url
        self.meddle: Meddle = nothing
        self.calls: list[tuple[str, str]] = []
        self.given: dict[str, Any] = {}
        self._behind = behind

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Passes one request on, watches included."""
        method, path = scope["method"], scope["path"]
        self.calls.append((method, path))
        if code := await self.meddle(method, path):
            await send({"type": "http.response.start", "status": code, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        body = await read_body(receive, 10_000_000)
        if (found := self._given(method, path, body)) is not None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(found).encode()})
            return
        headers = dict(scope["headers"])
        query = dict(parse_qsl(scope["query_string"].decode()))
        kind = headers.get(b"content-type", b"application/json").decode()
        try:
            async with self._behind.stream(Call(method, path, query, body or None, kind)) as chunks:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                async for piece in chunks:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except ApiError as error:
            await send({"type": "http.response.start", "status": error.code, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(error.to_status()).encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _given(self, method: str, path: str, body: bytes) -> Any:
        if method == "POST" and path in self.given:
            obj = json.loads(body)
            self.given[f"{path}/{obj['metadata']['name']}"] = obj
            return obj
        return self.given.get(path) if method == "GET" else None


@asynccontextmanager
async def meddled_api(folder: Path) -> AsyncIterator[MeddledApi]:
    settings = ApiServerSettings(data_dir=folder / "api", kubeconfig=folder / "behind", address="127.0.0.1", port=0)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, settings))
        connection = kubeconfig.load(settings.kubeconfig)
        behind = Transport(
            connection.server,
            tls=client_context(connection),
            token="",
            user_agent="test",
            timeout=30,
            server_name="",
            limits=Limits(connections=1000),
        )
        await behind.open()
        listeners = await open_listeners("127.0.0.1", 0, purpose="a test")
        meddled = MeddledApi(f"http://127.0.0.1:{port_of(listeners)}", behind)
        await nursery.start(partial(serve_http, meddled, listeners, tls=None))
        yield meddled
        await behind.close()
        nursery.cancel_scope.cancel()
