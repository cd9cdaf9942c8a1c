"""A node with a valid certificate says nonsense: one session at most ends, cloudcore and the other nodes go on."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio_websocket
from e2e.harness import Cloud, Edge, eventually
from e2e.manifests import sleeper
from faults.flavours import BOTH, MakeCloud

from beehive import message
from viaduct import tls

MIB = 1024 * 1024
GONE = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError, trio.BrokenResourceError)
"""What the other side's hanging up looks like from here."""
NONSENSE = [
    "",
    "null",
    "not json",
    "[]",
    "{",
    '{"header":null}',
    '{"header":{"msg_id":7},"route":{},"content":1}',
    '{"header":{"msg_id":"a","timestamp":"soon"},"route":{}}',
    '{"header":{"msg_id":"a","timestamp":1},"route":{"operation":7}}',
    '{"header":{"msg_id":"a","timestamp":1},"route":{"resource":null,"operation":"patch"},"content":null}',
    '{"content":' + "[" * 50_000,
]
"""What is not even a message."""

MISLEADING = [
    {"operation": operation, "resource": resource, "content": content}
    for operation, resource, content in itertools.product(
        ["insert", "update", "patch", "query", "delete", "response", "error", "upload", "nonsense", ""],
        [
            "default/podpatch/x",
            "null/nodepatch/liar",
            "null/node/liar",
            "kube-node-lease/lease/liar",
            "a/b/c/d/e",
            "",
            "k8s/ca.crt",
        ],
        [None, "text", [], {"metadata": None}, {"metadata": {"name": 7}}, "{not json", {"status": "x"}],
    )
]
"""Messages whose parts do not fit together."""


@pytest.fixture
def cloud_and_edges(tmp_path: Path, make_cloud: MakeCloud) -> Iterator[tuple[Cloud, Edge, Edge]]:
    """A cloud, an honest edge that runs, and one that joined and whose identity the test uses."""
    cloud = make_cloud(tmp_path / "cloud")
    honest = Edge(tmp_path / "honest", cloud, "process", "honest")
    liar = Edge(tmp_path / "liar", cloud, "process", "liar")
    try:
        cloud.start()
        honest.join()
        honest.wait_ready()
        liar.join()
        liar.program.stop()
        yield cloud, honest, liar
    finally:
        for edge in (honest, liar):
            edge.program.kill()
            edge.keadm("reset", "edge", "--force", f"--prefix={edge.folder}")
        cloud.close()


@asynccontextmanager
async def session(cloud: Cloud, edge: Edge) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A raw WebSocket with the certificate of ``edge``."""
    folder = edge.folder / "etc/kubeedge"
    context = tls.client_context(
        ca=folder / "ca/rootCA.crt", certificate=folder / "certs/server.crt", key=folder / "certs/server.key"
    )
    headers = [(b"Node_id", edge.name.encode()), (b"Project_id", b"project"), (b"Connectionuse", b"msg")]
    stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", cloud.hub_port, ssl_context=context)
    try:
        async with trio.open_nursery() as nursery:
            path = f"/project/{edge.name}/events"
            yield await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", path, extra_headers=headers)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def say(cloud: Cloud, edge: Edge, *texts: str | bytes) -> None:
    """Says it all in one session, or in as many as it takes when the cloud hangs up."""
    left = list(texts)
    while left:
        try:
            async with session(cloud, edge) as socket:
                while left:
                    await socket.send_message(left.pop(0))
        except* GONE:
            pass


def still_well(cloud: Cloud, honest: Edge, name: str) -> None:
    cloud.program.must_run()
    honest.program.must_run()
    assert "connected" in cloud.program.output()
    cloud.apply(sleeper(name, nodeName=honest.name))
    cloud.wait_running(name)


@BOTH
async def test_nonsense_ends_one_session_at_most(cloud_and_edges: tuple[Cloud, Edge, Edge]) -> None:
    cloud, honest, liar = cloud_and_edges
    with trio.fail_after(120):
        for text in NONSENSE:
            await say(cloud, liar, text)
        await say(cloud, liar, b"\xff\xfe\x00", b"\x00" * 1000)
        texts = [message.encode(message.build(source="edged", group="meta", **parts)).decode() for parts in MISLEADING]  # type: ignore[arg-type]
        await say(cloud, liar, *texts)
    await trio.to_thread.run_sync(still_well, cloud, honest, "after-nonsense")
    assert "Traceback" not in cloud.program.output()
    assert cloud.program.output().count("node honest connected") == 1


async def test_a_hundred_megabytes_cost_a_session_and_no_memory(cloud_and_edges: tuple[Cloud, Edge, Edge]) -> None:
    cloud, honest, liar = cloud_and_edges
    before = cloud.program.memory()
    for _ in range(4):
        with trio.move_on_after(60):
            try:
                async with session(cloud, liar) as socket:
                    await socket.send_message('{"header":{"msg_id":"' + "x" * (100 * MIB))
            except* GONE:
                pass
    peak = cloud.program.memory("VmHWM")
    assert peak - before < 100 * MIB, f"{before / MIB:.0f} MiB grew to {peak / MIB:.0f} MiB"
    print(f"cloudcore before {before / MIB:.0f} MiB, highest {peak / MIB:.0f} MiB, after {cloud.program.memory() / MIB:.0f} MiB")
    await trio.to_thread.run_sync(still_well, cloud, honest, "after-the-flood")


async def test_a_certificate_speaks_for_its_own_node_only(cloud_and_edges: tuple[Cloud, Edge, Edge]) -> None:
    cloud, honest, liar = cloud_and_edges
    honest_name, liar.name = liar.name, honest.name
    try:
        with trio.move_on_after(10):
            async with session(cloud, liar) as socket:
                await socket.get_message()
    except* GONE:
        pass
    finally:
        liar.name = honest_name
    await trio.to_thread.run_sync(eventually, "the refusal is in the log", lambda: "system:node:liar" in cloud.program.output())
    await trio.to_thread.run_sync(still_well, cloud, honest, "after-the-lie")
    assert cloud.program.output().count("node honest connected") == 1
