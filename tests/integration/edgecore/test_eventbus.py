"""The event bus of a whole edge half: mosquitto's clients on one side, a cloud on the other."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from clouds.scripted import ScriptedCloud, edge_config
from ports import free_port

from beehive.message import Message, build
from edgecore.app import App
from edgecore.config import EdgeCore

from .conftest import StartEdge


def order(operation: str, resource: str, content: object = None) -> Message:
    """What the cloud's router sends."""
    return build(source="router_eventbus", group="user", operation=operation, resource=resource, content=content)


@pytest.fixture
def config(cloud: ScriptedCloud, tmp_path: Path) -> EdgeCore:
    config = edge_config(cloud, tmp_path / "edge")
    config.modules.eventBus.mqttMode = 0
    config.modules.eventBus.mqttServerInternal = f"tcp://127.0.0.1:{free_port()}"
    return config


@pytest.fixture
async def edge(cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge) -> AsyncIterator[App]:
    async with start_edge(config) as app:
        await cloud.connected()
        assert app.bus is not None
        with trio.fail_after(10):
            while app.bus.broker is None:
                await trio.sleep(0.01)
        yield app


async def mosquitto_pub(edge: App, *words: str) -> None:
    assert edge.bus is not None
    assert edge.bus.broker is not None
    port = edge.bus.broker.ports[0]
    await trio.run_process(["mosquitto_pub", "-p", str(port), *words])


async def test_what_clients_upload_arrives_in_the_cloud(cloud: ScriptedCloud, edge: App) -> None:
    for topic in ("$hw/events/upload/line/7", "SYS/dis/upload_records", "plant/user/x/y"):
        await mosquitto_pub(edge, "-q", "1", "-t", topic, "-m", f"to {topic}")
    await mosquitto_pub(edge, "-t", "other/thing", "-m", "stays here")
    await mosquitto_pub(edge, "-t", "plant/user/last", "-m", "ünï")
    await cloud.until(lambda: len(cloud.received) >= 4)
    found = [(each.route.source, each.route.group, each.operation, each.resource, each.decode(str)) for each in cloud.received]
    assert found == [
        ("bus", "user", "upload", topic, text)
        for topic, text in [
            ("$hw/events/upload/line/7", "to $hw/events/upload/line/7"),
            ("SYS/dis/upload_records", "to SYS/dis/upload_records"),
            ("plant/user/x/y", "to plant/user/x/y"),
            ("plant/user/last", "ünï"),
        ]
    ]


async def test_what_the_cloud_publishes_arrives_at_clients(cloud: ScriptedCloud, edge: App) -> None:
    assert edge.bus is not None
    assert edge.bus.broker is not None
    port = edge.bus.broker.ports[0]
    words = ["mosquitto_sub", "-p", str(port), "-t", "orders/#", "-C", "2", "-F", "%t %p", "-W", "10"]
    done: list[subprocess.CompletedProcess[bytes]] = []

    async def listen() -> None:
        done.append(await trio.run_process(words, capture_stdout=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        with trio.fail_after(10):
            while not edge.bus.broker.core.router.trie.match("orders/x").recipients:
                await trio.sleep(0.01)
                edge.bus.broker.core.router.trie.cache.clear()
        await cloud.send(order("publish", "orders/1", "start"))
        await cloud.send(order("publish", "orders/2", {"speed": 3}))
    assert done[0].stdout == b'orders/1 start\norders/2 {"speed":3}\n'
