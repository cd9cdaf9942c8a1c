"""A cloud with the right certificate says nonsense to a real edgecore: a session ends, the edge goes on and takes sense again."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio_websocket
from clouds.scripted import ScriptedCloud, config_map, edge_config

from beehive.message import build, encode
from beehive.settings import dump
from viaduct import tls

MIB = 1024 * 1024
NONSENSE = ["not json", "null", '{"header":{"msg_id":1}}', '{"header":{"msg_id":"' + "x" * (100 * MIB)]
HARMLESS = [
    encode(build(source="edgecontroller", group=group, operation=operation, resource=resource, content=content)).decode()
    for group in ("resource", "nonsense", "")
    for operation in ("insert", "delete", "response", "nonsense")
    for resource in ("default/pod/x", "a/b/c/d", "", "null/node/edge-1")
    for content in (None, [], "text", {"metadata": None}, {"metadata": {"name": "x", "uid": 7}})
]
"""Messages in form, without sense: none of them may end anything."""


class MadCloud:
    """Says the next of NONSENSE to whoever connects; when nothing is left, speaks plainly and waits for the acknowledgement."""

    def __init__(self) -> None:
        self.left = list(NONSENSE)
        self.connections = 0
        self.acknowledged = trio.Event()
        self.plain = build(
            source="edgecontroller",
            group="resource",
            operation="insert",
            resource="default/configmap/sense",
            content=config_map("sense", {"a": "b"}),
            resource_version="1",
        )

    async def __call__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.connections += 1
        try:
            async with trio.open_nursery() as nursery:
                request = await trio_websocket.wrap_server_stream(nursery, stream)
                await self._talk(await request.accept())
                nursery.cancel_scope.cancel()
        except* (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError, trio.BrokenResourceError):
            pass  # it hung up, as it should

    async def _talk(self, socket: trio_websocket.WebSocketConnection) -> None:
        if self.left:
            await socket.send_message(self.left.pop(0))
            while True:
                await socket.get_message()
        for text in [*HARMLESS, encode(self.plain).decode()]:
            await socket.send_message(text)
        while json.loads(await socket.get_message())["header"].get("parent_msg_id") != self.plain.id:
            pass
        self.acknowledged.set()


@asynccontextmanager
async def mad_cloud(scripted: ScriptedCloud) -> AsyncIterator[MadCloud]:
    mad = MadCloud()
    context = tls.server_context(
        certificate=scripted.folder / "cloud.crt",
        key=scripted.folder / "cloud.key",
        client_ca=scripted.folder / "ca.crt",
        client_certificates="required",
    )
    (plain,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    scripted.port = plain.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, mad, [trio.SSLListener(plain, context)])
        yield mad
        nursery.cancel_scope.cancel()


def memory(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024


async def test_edgecore_outlives_a_mad_cloud(tmp_path: Path) -> None:
    scripted = ScriptedCloud(tmp_path)
    async with mad_cloud(scripted) as mad:
        config = edge_config(scripted, tmp_path)
        scripted.issue("edge-1", tmp_path)
        path, log = tmp_path / "edgecore.yaml", tmp_path / "edgecore.log"
        path.write_text(dump(config))
        environ = os.environ | {"CHECK_EDGECORE_ENVIRONMENT": "false"}
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "edgecore", "--config", str(path)], stderr=out, env=environ)
        try:
            with trio.fail_after(150):
                await mad.acknowledged.wait()
            grown = memory(process.pid, "VmHWM") - memory(process.pid, "VmRSS")
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()
    assert mad.left == []
    assert mad.connections == len(NONSENSE) + 1, "what is a message in form ended a session"
    assert grown < 100 * MIB, f"{grown / MIB:.0f} MiB"
    assert "Traceback" not in log.read_text()
    with sqlite3.connect(tmp_path / "edgecore.db") as connection:
        assert connection.execute("SELECT count(*) FROM meta WHERE key = 'default/configmap/sense'").fetchone() == (1,)
    connection.close()
