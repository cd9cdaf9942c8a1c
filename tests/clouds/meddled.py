"""The embedded Kubernetes API behind a door that a test may close, slow down or take things away from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.app import Application
from cloudcore.apiserver.credentials import ADMINISTRATORS
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.store import Store
from kube.client import Client
from kube.resources import NAMESPACES
from viaduct.http_server import PeerCertificate, serve_http
from viaduct.listen import open_listeners, port_of

Meddle = Callable[[str, str], Awaitable[int]]


async def nothing(method: str, path: str) -> int:
    return 0


class MeddledApi:
    """``meddle(method, path)`` may wait, and returns the status of a failure or 0. ``calls`` are all requests so far."""

    def __init__(self, url: str, application: Application) -> None:
        self.url = url
        self.meddle: Meddle = nothing
        self.calls: list[tuple[str, str]] = []
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["path"]
        self.calls.append((method, path))
        if code := await self.meddle(method, path):
            await send({"type": "http.response.start", "status": code, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        scope["state"]["peer"] = PeerCertificate("test", (ADMINISTRATORS,), b"")
        await self._application(scope, receive, send)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with Client(self.url, tls=None) as client:
            yield client


@asynccontextmanager
async def meddled_api(folder: Path) -> AsyncIterator[MeddledApi]:
    store = Store(folder / "kubernetes.db")
    await trio.to_thread.run_sync(store.open)
    api = Api(store, Registry())
    listeners = await open_listeners("127.0.0.1", 0, purpose="a test")
    meddled = MeddledApi(f"http://127.0.0.1:{port_of(listeners)}", Application(api))
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        kind = api.registry.of(NAMESPACES)
        for name in ("default", "kube-node-lease", "kubeedge"):
            await api.create(kind, "", {"metadata": {"name": name}})
        await nursery.start(partial(serve_http, meddled, listeners, tls=None))
        yield meddled
        nursery.cancel_scope.cancel()
