"""An edge that does what a test tells it to, over the real certificate server, WebSocket and TLS.

It joins and speaks as KubeEdge's edge does (protocol 7a): keepalive first, acknowledgements, requests answered by parent id.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from beehive.message import Message, Operation, acknowledge, build, decode
from viaduct import enrol, tls, websocket
from viaduct.certificates import certificate_pem, new_request
from viaduct.link import Link, LinkClosed
from viaduct.token import JoinToken
from viaduct.websocket_link import WebSocketLink

PROJECT = "e632aba927ea4ac2b575ec1603d56f10"


def node_object(name: str, **labels: str) -> dict[str, Any]:
    """What a kubelet registers."""
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "creationTimestamp": None,
            "labels": {"kubernetes.io/hostname": name, "node-role.kubernetes.io/edge": ""} | labels,
        },
        "spec": {},
        "status": {
            "capacity": {"cpu": "4", "memory": "4Gi", "pods": "110"},
            "allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


class ScriptedEdge:
    """``stored`` is what a MetaManager would have on disk: wire resource -> content. It survives reconnections."""

    def __init__(self, name: str, folder: Path, https: str, wss: str) -> None:
        self.name = name
        self.stored: dict[str, dict[str, Any]] = {}
        self.received: list[Message] = []
        self.acknowledges: Callable[[Message], bool] = lambda message: True
        self._folder = folder
        self._https = https
        self._wss = wss
        self._link: Link | None = None
        self._answers: dict[str, Message] = {}
        self._news = trio.Event()

    async def join(self, token_text: str) -> None:
        """Gets CA and certificate by token."""
        token = JoinToken.parse(token_text)
        ca = await enrol.fetch_authority(self._https, token.fingerprint)
        key, request = new_request(self.name)
        pem = certificate_pem(ca)
        der = await enrol.request_certificate(self._https, node=self.name, csr_der=request, ca_pem=pem, jwt=token.jwt)
        self._folder.mkdir(parents=True, exist_ok=True)
        for file, content in (("ca.crt", pem), ("node.crt", certificate_pem(der)), ("node.key", key)):
            (self._folder / file).write_bytes(content)

    def certificate(self) -> tuple[bytes, bytes]:
        """What it shows now, and the key of it."""
        return (self._folder / "node.crt").read_bytes(), (self._folder / "node.key").read_bytes()

    def use(self, certificate: tuple[bytes, bytes]) -> None:
        """Shows this one from now on."""
        for file, content in zip(("node.crt", "node.key"), certificate, strict=True):
            (self._folder / file).write_bytes(content)

    def elsewhere(self, wss: str) -> ScriptedEdge:
        """The same machine, with the same store, on its way to another address."""
        other = ScriptedEdge(self.name, self._folder, self._https, wss)
        other.stored = self.stored
        return other

    @asynccontextmanager
    async def connected(self, *, as_node: str = "") -> AsyncIterator[ScriptedEdge]:
        """A session. as_node: what to claim in the Node_id header."""
        node = as_node or self.name
        context = tls.client_context(
            ca=self._folder / "ca.crt", certificate=self._folder / "node.crt", key=self._folder / "node.key"
        )
        url = f"{self._wss}/{PROJECT}/{node}/events"
        async with websocket.connect(url, tls=context, node=node, project=PROJECT) as link, trio.open_nursery() as nursery:
            self._link = link
            await self.keepalive()
            nursery.start_soon(self._read, link)
            yield self
            nursery.cancel_scope.cancel()

    async def keepalive(self) -> None:
        assert self._link is not None
        await self._link.send(
            build(source="websocket", group="resource", operation=Operation.KEEPALIVE, resource="node", content="ping")
        )

    async def _read(self, link: Link) -> None:
        while True:
            try:
                message = await link.receive()
            except LinkClosed:
                self._link = None
                self._tell()
                return
            self.received.append(message)
            if message.parent_id:
                self._answers[message.parent_id] = message
            elif self.acknowledges(message):
                self._store(message)
                await link.send(acknowledge(message))
            self._tell()

    def _store(self, message: Message) -> None:
        content = json.loads(bytes(message.content))
        if message.operation == Operation.DELETE:
            old = self.stored.get(message.resource)
            if old is not None and old["metadata"]["uid"] == content["metadata"]["uid"]:
                del self.stored[message.resource]
        else:
            self.stored[message.resource] = content

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, condition: Callable[[], Any], seconds: float = 10) -> Any:
        """Waits until ``condition`` is true after some message; returns its value."""
        with trio.fail_after(seconds):
            while not (found := condition()):
                await self._news.wait()
        return found

    async def until_closed(self) -> None:
        await self.until(lambda: self._link is None)

    async def send(self, operation: str, resource: str, content: object = None) -> Message:
        """A message as edged sends it."""
        assert self._link is not None
        message = build(source="edged", group="meta", operation=operation, resource=resource, content=content)
        await self._link.send(message)
        return message

    async def transmit(self, text: str) -> Message:
        """Sends one recorded message."""
        assert self._link is not None
        message = decode(text)
        await self._link.send(message)
        return message

    async def transmit_raw(self, text: str) -> None:
        """Sends what need not be a message."""
        assert isinstance(self._link, WebSocketLink)
        await self._link._connection.send_message(text)

    async def replay(self, text: str) -> Message:
        """Sends one recorded message and returns its answer."""
        request = await self.transmit(text)
        found: Message = await self.until(lambda: self._answers.get(request.id))
        return found

    async def ask(self, operation: str, resource: str, content: object = None) -> Message:
        """A request and its answer."""
        request = await self.send(operation, resource, content)
        found: Message = await self.until(lambda: self._answers.get(request.id))
        return found

    async def register(self, **labels: str) -> dict[str, Any]:
        answer = await self.ask("insert", f"null/node/{self.name}", node_object(self.name, **labels))
        content: dict[str, Any] = json.loads(bytes(answer.content))
        assert content["Err"] is None, content
        return content

    def versions(self, resource: str) -> list[tuple[str, str]]:
        """(operation, resourceVersion) of everything received about ``resource`` without being asked for."""
        return [(m.operation, m.header.resource_version) for m in self.received if m.resource == resource and not m.parent_id]
