"""A cloud that says what a test tells it to, over the real WebSocket and TLS.

It answers requests as KubeEdge's cloudcore does (protocol 2.7, application-path 1.5) from a dictionary of objects.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from beehive.message import Message, Operation, build, content_text, respond
from edgecore.config import EdgeCore
from viaduct import tls, token
from viaduct.certificates import Authority, key_pem
from viaduct.http_server import read_body, serve_http
from viaduct.link import Link, LinkClosed
from viaduct.listen import open_listeners, port_of
from viaduct.websocket import serve

Answer = Callable[[Message], Message | None]


def pod(name: str, *, version: int = 1, uid: str = "", node: str = "edge-1", namespace: str = "default") -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "resourceVersion": str(version)},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "busybox"}]},
        "status": {},
    }


def config_map(name: str, data: dict[str, str], *, version: int = 1, uid: str = "") -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "resourceVersion": str(version)},
        "data": data,
    }


def status_error(reason: str, code: int, message: str) -> dict[str, Any]:
    return {"ErrStatus": {"metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}}


class ScriptedCloud:
    """``objects`` by resource path answer queries; ``answer`` may override any request (return None to stay silent)."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self.folder = folder
        self.authority = authority or Authority.create()
        self.heard: list[Message] = []
        self.received: list[Message] = []
        self.enrolments: list[str] = []
        self.podlists: list[Message] = []
        self.acks: list[str] = []
        self.errors: list[Message] = []
        self.keepalives = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.answer: Answer = self.usual_answer
        self.link: Link | None = None
        self.connections = 0
        self.port = 0
        self._news = trio.Event()
        pair = self.authority.issue_server(["localhost"], ["127.0.0.1"])
        (folder / "ca.crt").write_bytes(self.authority.certificate_pem)
        (folder / "cloud.crt").write_bytes(pair.certificate_pem)
        (folder / "cloud.key").write_bytes(pair.key_pem)

    def issue(self, node: str, folder: Path, days: int = 365) -> None:
        """Writes a node's three files, as a finished join leaves them."""
        folder.mkdir(parents=True, exist_ok=True)
        pair = self.authority.issue_client(f"system:node:{node}", ["system:nodes"], days)
        (folder / "rootCA.crt").write_bytes(self.authority.certificate_pem)
        (folder / "server.crt").write_bytes(pair.certificate_pem)
        (folder / "server.key").write_bytes(key_pem(pair.key_der))

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[ScriptedCloud]:
        listeners = await open_listeners("127.0.0.1", port, purpose="the scripted cloud")
        self.port = port_of(listeners)
        context = tls.server_context(
            certificate=self.folder / "cloud.crt",
            key=self.folder / "cloud.key",
            client_ca=self.folder / "ca.crt",
            client_certificates="required",
        )
        async with trio.open_nursery() as nursery:

            async def listen(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
                await serve(listeners, tls=context, handler=self._handle, task_status=task_status)

            await nursery.start(listen)
            try:
                yield self
            finally:
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def certificate_server(self) -> AsyncIterator[str]:
        """Port 10002 of a cloudcore; yields its address."""
        listeners = await open_listeners("127.0.0.1", 0, purpose="scripted certificates")
        context = tls.server_context(
            certificate=self.folder / "cloud.crt",
            key=self.folder / "cloud.key",
            client_ca=self.folder / "ca.crt",
            client_certificates="optional",
        )
        async with trio.open_nursery() as nursery:

            async def listen(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
                await serve_http(self._issue, listeners, tls=context, task_status=task_status)

            await nursery.start(listen)
            try:
                yield f"https://127.0.0.1:{port_of(listeners)}"
            finally:
                nursery.cancel_scope.cancel()

    async def _issue(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive, 100_000)
        headers = {key.decode().lower(): value.decode() for key, value in scope["headers"]}
        status, answer = 200, self.authority.certificate_der
        if scope["path"] == "/edge.crt":
            self.enrolments.append(headers.get("authorization", ""))
            try:
                if not headers.get("authorization"):
                    assert scope["state"]["peer"] is not None
                else:
                    token.verify(token.bearer(headers["authorization"]), self.authority.key_der)
                answer = self.authority.sign_request(body, node=headers["nodename"], days=365)
            except token.TokenError as error:
                status, answer = 401, str(error).encode()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    def token(self, seconds: float = 3600) -> str:
        return token.mint(self.authority.key_der, self.authority.fingerprint, seconds)

    async def _handle(self, link: Link) -> None:
        self.link = link
        self.connections += 1
        self._changed()
        try:
            while True:
                await self._take(link, await link.receive())
        except LinkClosed:
            pass
        finally:
            if self.link is link:
                self.link = None
            self._changed()

    async def _take(self, link: Link, message: Message) -> None:
        self.heard.append(message)
        if message.operation == Operation.KEEPALIVE:
            self.keepalives += 1
        elif message.operation == Operation.ERROR:
            self.errors.append(message)
        elif message.is_response() and message.parent_id:
            self.acks.append(message.parent_id)
        elif "/podlist/" in message.resource:
            await self.take_podlist(message)
        else:
            self.received.append(message)
            if (answer := self.answer(message)) is not None:
                await link.send(answer)
        self._changed()

    async def take_podlist(self, question: Message) -> None:
        """A real cloudcore drops it."""
        self.podlists.append(question)

    def usual_answer(self, request: Message) -> Message | None:
        """What KubeEdge's cloudcore would say."""
        type_ = request.resource.split("/")[1]
        stored = self.objects.get(request.resource)
        if request.operation == Operation.QUERY and type_ in ("configmap", "secret"):
            name = request.resource.split("/")[2]
            return self.reply(request, stored or status_error("NotFound", 404, f'{type_}s "{name}" not found'))
        if request.operation == Operation.QUERY:
            err = None if stored else status_error("NotFound", 404, f"{type_} not found")
            return self.reply(request, {"Object": stored, "Err": err})
        if request.operation in (Operation.INSERT, Operation.UPDATE):
            sent = json.loads(bytes(request.content))
            version = int((stored or {}).get("metadata", {}).get("resourceVersion", "0")) + 1
            sent.setdefault("metadata", {}).update({"uid": f"uid-{type_}", "resourceVersion": str(version)})
            self.objects[request.resource] = sent
            return self.reply(request, {"Object": sent, "Err": None})
        if request.operation == Operation.PATCH:
            return self._patched(request)
        if request.operation == Operation.DELETE:
            return self.reply(request, "OK")
        return None

    def _patched(self, request: Message) -> Message:
        place = request.resource.replace("podpatch", "pod").replace("nodepatch", "node")
        stored = self.objects.get(place)
        if stored is None:
            empty = {"metadata": {"creationTimestamp": None}}
            return self.reply(request, {"Object": empty, "Err": status_error("NotFound", 404, f'"{place}" not found')})
        patch = json.loads(content_text(request) or "{}")
        merged = stored | {"status": stored.get("status", {}) | patch.get("status", {})}
        merged["metadata"] = merged["metadata"] | {"resourceVersion": str(int(merged["metadata"]["resourceVersion"]) + 1)}
        self.objects[place] = merged
        return self.reply(request, {"Object": merged, "Err": None}, version=merged["metadata"]["resourceVersion"])

    def reply(self, request: Message, content: object, *, version: str = "") -> Message:
        return respond(request, content, source="edgecontroller", group="resource", resource_version=version)

    async def push(self, operation: str, resource: str, content: object, *, source: str = "edgecontroller") -> Message:
        """Sends without a parent id, as downstream messages are."""
        version = ""
        if isinstance(content, dict) and isinstance(content.get("metadata"), dict):
            version = str(content["metadata"].get("resourceVersion", ""))
        message = build(
            source=source, group="resource", operation=operation, resource=resource, content=content, resource_version=version
        )
        await self.send(message)
        return message

    async def send(self, message: Message) -> None:
        assert self.link is not None, "the edge is not connected"
        await self.link.send(message)

    def _changed(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Waits for something that a message of the edge brings about."""
        with trio.fail_after(seconds):
            while not condition():
                await self._news.wait()

    async def connected(self) -> None:
        """Until the link is up and the first keepalive of it has come."""
        before = self.keepalives if self.link is None else 0
        await self.until(lambda: self.link is not None and self.keepalives > before)

    async def acked(self, *messages: Message) -> None:
        await self.until(lambda: {message.id for message in messages} <= set(self.acks))


def edge_config(cloud: ScriptedCloud, folder: Path, node: str = "edge-1") -> EdgeCore:
    """A configuration whose every path is inside ``folder`` and whose cloud is ``cloud``."""
    config = EdgeCore()
    hub = config.modules.edgeHub
    hub.websocket.server = f"127.0.0.1:{cloud.port}"
    hub.httpServer = "https://127.0.0.1:1"
    hub.tlsCaFile, hub.tlsCertFile, hub.tlsPrivateKeyFile = (
        str(folder / name) for name in ("rootCA.crt", "server.crt", "server.key")
    )
    config.database.dataSource = str(folder / "edgecore.db")
    config.modules.edged.hostnameOverride = node
    config.modules.edged.enable = False
    return config
