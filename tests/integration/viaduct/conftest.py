"""A small cluster's certificates in files, and servers on loopback."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio
from integration.viaduct.rawpeer import REAL_EDGE, Edge, Raw

from viaduct import certificates, http_server, websocket
from viaduct.certificates import Authority, KeyPair, certificate_pem, new_request
from viaduct.http_server import HttpLimits
from viaduct.link import Limits, Link
from viaduct.listen import open_listeners, port_of
from viaduct.tls import TlsContext, client_context, server_context


@dataclass
class Cluster:
    """An authority, the files of its server and of the nodes, and TLS contexts made of them."""

    folder: Path
    authority: Authority

    @classmethod
    def create(cls, folder: Path) -> Cluster:
        folder.mkdir()
        cluster = cls(folder, Authority.create())
        (folder / "ca.crt").write_bytes(cluster.authority.certificate_pem)
        cluster.write("server", cluster.authority.issue_server(["localhost"], ["127.0.0.1"]))
        return cluster

    def write(self, name: str, pair: KeyPair) -> tuple[Path, Path]:
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(pair.certificate_pem)
        files[1].write_bytes(pair.key_pem)
        return files

    def node(self, name: str, *, days: int = 365) -> tuple[Path, Path]:
        key, csr = new_request(name)
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate_pem(self.authority.sign_request(csr, node=name, days=days)))
        files[1].write_bytes(key)
        return files

    def server_tls(self, clients: str = "required", name: str = "server") -> TlsContext:
        return server_context(
            certificate=self.folder / f"{name}.crt",
            key=self.folder / f"{name}.key",
            client_ca=self.folder / "ca.crt",
            client_certificates=clients,  # type: ignore[arg-type]
        )

    def client_tls(self, node: str | None = "edge-1") -> TlsContext:
        certificate, key = self.node(node) if node else (None, None)
        return client_context(ca=self.folder / "ca.crt", certificate=certificate, key=key)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster.create(tmp_path / "cluster")


@pytest.fixture
def other_cluster(tmp_path: Path) -> Cluster:
    return Cluster.create(tmp_path / "other")


@asynccontextmanager
async def running(serve: Callable[..., Awaitable[None]]) -> AsyncIterator[int]:
    """Runs a server on a free port; the block gets the port, and its end stops the server (within 10 s or it fails)."""
    listeners = await open_listeners("127.0.0.1", 0, purpose="a test")
    with trio.CancelScope() as guard:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, listeners))
            yield port_of(listeners)
            nursery.cancel_scope.cancel()
            guard.deadline = trio.current_time() + 10
    assert not guard.cancelled_caught, "the server did not stop"


Serve = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture
def cloud(cluster: Cluster) -> Serve:
    """``async with cloud(handler) as port``: a WebSocket server as cloudcore runs it."""

    def start(
        handler: Callable[[Link], Awaitable[None]],
        *,
        limits: Limits | None = None,
        tls: TlsContext | None = None,
        max_connections: int = 100,
    ) -> AbstractAsyncContextManager[int]:
        return running(
            partial(
                websocket.serve,
                tls=tls or cluster.server_tls(),
                handler=handler,
                limits=limits,
                max_connections=max_connections,
            )
        )

    return start


@pytest.fixture
def web(cluster: Cluster) -> Serve:
    """``async with web(app) as port``: an HTTPS server (or HTTP with ``tls=False``)."""

    def start(
        app: http_server.Application, *, limits: HttpLimits | None = None, tls: bool = True
    ) -> AbstractAsyncContextManager[int]:
        context = cluster.server_tls("optional") if tls else None
        return running(partial(http_server.serve_http, app, tls=context, limits=limits))

    return start


@pytest.fixture
def issued_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime.timedelta], None]:
    """``issued_on(offset)``: certificates are made as if the issuer's clock were off by that much."""

    def shift(offset: datetime.timedelta) -> None:
        monkeypatch.setattr(certificates, "_now", lambda: datetime.datetime.now(datetime.UTC) + offset)

    return shift


@pytest.fixture
def edge(cluster: Cluster) -> Edge:
    """``async with edge(port) as raw``: a TLS connection, upgraded unless ``request`` is empty."""

    @asynccontextmanager
    async def dial(port: int, request: bytes = REAL_EDGE) -> AsyncIterator[Raw]:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.SSLStream(tcp, cluster.client_tls(), server_hostname="127.0.0.1", https_compatible=True) as stream:
            raw = Raw(stream)
            if request:
                await raw.send(request)
                answer = await raw.until(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 101 ")
            yield raw

    return dial
