"""A real cloudcore --standalone inside the test, and what a test does with it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio
from edges.scripted import ScriptedEdge

from cloudcore.app import Running, client_context, serve
from cloudcore.config import CloudCoreConfig
from kube import kubeconfig
from kube.client import Client
from kube.kubeconfig import Connection
from kube.objects import Object
from kube.resources import CONFIG_MAPS, PODS, SECRETS, Resource


class Cloud:
    """A running cloudcore with its embedded API, and the administrator's client of that API."""

    def __init__(self, folder: Path, running: Running, client: Client) -> None:
        self.folder = folder
        self.running = running
        self.client = client

    @property
    def https(self) -> str:
        return f"https://127.0.0.1:{self.running.https_port}"

    async def token(self) -> str:
        secret = await self.client.get(SECRETS, "tokensecret", namespace="kubeedge")
        return base64.b64decode(secret["data"]["tokendata"]).decode()

    def edge(self, name: str = "edge-1") -> ScriptedEdge:
        return ScriptedEdge(name, self.folder / name, self.https, f"wss://127.0.0.1:{self.running.websocket_port}")

    async def joined(self, name: str = "edge-1") -> ScriptedEdge:
        edge = self.edge(name)
        await edge.join(await self.token())
        return edge

    async def pod(self, name: str, *, node: str = "edge-1", **spec: Any) -> Object:
        body = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "busybox"}]} | spec,
        }
        return await self.client.create(PODS, body, namespace="default")

    async def until(self, resource: Resource, condition: Callable[[Object], Any], seconds: float = 10) -> Object:
        """Waits until some object of this kind is as it should be, and returns it."""
        with trio.fail_after(seconds):
            async with self.client.watch(resource) as events:
                async for event in events:
                    if event.type in ("ADDED", "MODIFIED") and condition(event.object):
                        return event.object
        raise AssertionError(f"the watch of {resource.plural} ended")

    async def config_map(self, name: str, **data: str) -> Object:
        body = {"metadata": {"name": name, "namespace": "default"}, "data": data}
        return await self.client.create(CONFIG_MAPS, body, namespace="default")


class StartCloud(Protocol):
    def __call__(self, config: CloudCoreConfig | None = None) -> AbstractAsyncContextManager[Cloud]: ...


def config_for(folder: Path, *, websocket: int = 0, https: int = 0) -> CloudCoreConfig:
    config = CloudCoreConfig()
    hub = config.modules.cloud_hub
    hub.advertise_address = ["127.0.0.1"]
    hub.websocket.address = hub.https.address = "127.0.0.1"
    hub.websocket.port, hub.https.port = websocket, https
    config.common_config.monitor_server.bind_address = "127.0.0.1:0"
    nowhere = folder / "none"
    hub.tls_ca_file, hub.tls_ca_key_file = str(nowhere / "ca.crt"), str(nowhere / "ca.key")
    hub.tls_cert_file, hub.tls_private_key_file = str(nowhere / "server.crt"), str(nowhere / "server.key")
    own = config.standalone
    own.enable, own.address, own.port = True, "127.0.0.1", 0
    own.data_dir, own.kube_config = str(folder / "data"), str(folder / "kubeconfig")
    return config


@asynccontextmanager
async def running_cloud(config: CloudCoreConfig, folder: Path) -> AsyncIterator[Cloud]:
    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(partial(serve, config))
        master = config.kube_api_config.master
        connection = Connection(server=master) if master else kubeconfig.load(Path(config.standalone.kube_config))
        async with Client.of(connection, tls=client_context(connection)) as client:
            yield Cloud(folder, running, client)
        nursery.cancel_scope.cancel()
