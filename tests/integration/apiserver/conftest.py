"""The real embedded API on loopback with TLS, and the real kubectl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from cloudcore.apiserver import ApiServerSettings, serve
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.store import Store
from kube import kubeconfig
from kube.client import Client
from kube.resources import NAMESPACES
from viaduct.tls import client_context

KUBECTL = os.environ.get("TEST_KUBECTL", "kubectl")
"""Another kubectl than the one in the path may be tried: Debian 12 still has 1.20."""


@dataclass
class Server:
    """A running API. ``kubectl`` has a home of its own."""

    folder: Path
    port: int
    minor: int = 0
    """Of kubectl: 32 is 1.32."""

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        found = kubeconfig.load(self.kubeconfig)
        assert found.certificate is not None
        assert found.key is not None
        certificate, key = self.folder / "admin.crt", self.folder / "admin.key"
        certificate.write_bytes(found.certificate)
        key.write_bytes(found.key)
        tls = client_context(ca=found.ca, certificate=certificate, key=key)
        async with Client(found.server, tls=tls) as client:
            yield client

    def argv(self, *words: str) -> list[str]:
        return [KUBECTL, f"--kubeconfig={self.kubeconfig}", *words]

    @property
    def environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC"}

    async def run(self, *words: str, stdin: str = "", editor: str = "") -> subprocess.CompletedProcess[bytes]:
        environment = self.environment | ({"EDITOR": editor, "KUBE_EDITOR": editor} if editor else {})
        with trio.fail_after(60):
            return await trio.run_process(
                self.argv(*words), stdin=stdin.encode(), capture_stdout=True, capture_stderr=True, check=False, env=environment
            )

    async def kubectl(self, *words: str, stdin: str = "", editor: str = "") -> str:
        """What a successful kubectl printed."""
        done = await self.run(*words, stdin=stdin, editor=editor)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode() + done.stderr.decode()

    async def kubectl_fails(self, *words: str, stdin: str = "") -> str:
        """What a failing kubectl complained of."""
        done = await self.run(*words, stdin=stdin)
        assert done.returncode != 0, done.stdout.decode()
        return done.stderr.decode()


StartServer = Callable[[], AbstractAsyncContextManager[Server]]


@pytest.fixture
def start_server(tmp_path: Path) -> StartServer:
    """Starts the API on the same folder each time: a second start is a restart."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Server]:
        settings = ApiServerSettings(data_dir=tmp_path / "data", kubeconfig=tmp_path / "kubeconfig", port=0)
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve, settings)
            yield Server(tmp_path, port)
            nursery.cancel_scope.cancel()

    return start


@pytest.fixture
async def server(start_server: StartServer) -> AsyncIterator[Server]:
    async with start_server() as running:
        yield running


@pytest.fixture
async def kubectl(server: Server) -> Server:
    """The server, when there is a kubectl to speak to it."""
    if shutil.which(KUBECTL, path=server.environment["PATH"]) is None:
        pytest.skip("kubectl is not installed; install the package kubernetes-client")
    version = json.loads(await server.kubectl("version", "--client", "-o", "json"))
    server.minor = int(version["clientVersion"]["minor"].rstrip("+"))
    return server


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The verbs on a real store, in this process, with namespaces ``default`` and ``shop``; no controller runs."""
    store = Store(tmp_path / "objects.db")
    await trio.to_thread.run_sync(store.open)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        found = Api(store, Registry())
        for name in ("default", "shop"):
            await found.create(found.registry.of(NAMESPACES), "", {"metadata": {"name": name}})
        with trio.fail_after(60):
            yield found
        nursery.cancel_scope.cancel()
