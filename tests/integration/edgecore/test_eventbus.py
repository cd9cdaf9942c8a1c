"""The event bus of a whole edge half: mosquitto's clients on one side, a cloud on the other."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from clouds.scripted import ScriptedCloud, edge_config
from faults.proxy import proxy
from ports import free_port

from beehive.message import Message, build
from edgecore.app import App
from edgecore.config import EdgeCore
from keadm.__main__ import main

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
        await bus_runs(app)
        yield app


async def bus_runs(app: App) -> None:
    assert app.bus is not None
    with trio.fail_after(10):
        await app.bus.ready.wait()


def port(app: App) -> int:
    assert app.bus is not None
    assert app.bus.broker is not None
    return app.bus.broker.ports[0]


async def mosquitto_pub(app: App, *words: str) -> None:
    await trio.run_process(["mosquitto_pub", "-p", str(port(app)), *words])


async def subscribed(app: App, topic: str) -> None:
    """Until somebody is subscribed to what this topic matches."""
    assert app.bus is not None
    assert app.bus.broker is not None
    trie = app.bus.broker.core.router.trie
    with trio.fail_after(10):
        while not trie.match(topic).recipients:
            await trio.sleep(0.01)


def uploads(cloud: ScriptedCloud) -> list[tuple[str, str]]:
    return [(each.resource, each.decode(str)) for each in cloud.received if each.operation == "upload"]


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
    words = ["mosquitto_sub", "-p", str(port(edge)), "-t", "orders/#", "-C", "3", "-F", "%t %q %p", "-W", "10"]
    done: list[subprocess.CompletedProcess[bytes]] = []

    async def listen() -> None:
        done.append(await trio.run_process(words, capture_stdout=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        await subscribed(edge, "orders/1")
        await cloud.send(order("publish", "orders/1", "start"))
        await cloud.send(order("publish", "wrong/+", "this harms nobody"))
        await cloud.send(order("publish", "$SYS/broker/version", "nor does this"))
        await cloud.send(order("sing", "a song"))
        await cloud.send(order("message", "x", {"message": {"topic": "orders/2", "n": 1}}))
        await cloud.send(order("publish", "orders/3", {"speed": 3}))
    lines = [b"orders/1 0 start", b'orders/2 0 {"topic":"orders/2","n":1}', b'orders/3 0 {"speed":3}', b""]
    assert done[0].stdout.split(b"\n") == lines
    assert edge.bus is not None
    assert edge.bus.dropped == 3


async def test_a_rule_of_the_cloud_makes_a_topic_go_up(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.send(order("subscribe", "default/test"))
    await subscribed(edge, "default/test")
    await mosquitto_pub(edge, "-q", "1", "-t", "default/test", "-m", "hello")
    await cloud.until(lambda: uploads(cloud) == [("default/test", "hello")])
    # What the cloud itself publishes there does not come back to it.
    await cloud.send(order("publish", "default/test", "echo"))
    await cloud.send(order("unsubscribe", "default/test"))
    assert edge.bus is not None
    with trio.fail_after(10):
        while await edge.store.database.read(edge.store.topics):
            await trio.sleep(0.01)
    await mosquitto_pub(edge, "-q", "1", "-t", "default/test", "-m", "unheard")
    await mosquitto_pub(edge, "-q", "1", "-t", "x/user/end", "-m", "end")
    await cloud.until(lambda: ("x/user/end", "end") in uploads(cloud))
    assert uploads(cloud) == [("default/test", "hello"), ("x/user/end", "end")]


async def test_uploads_and_rules_outlive_the_cloud_and_the_program(
    cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge
) -> None:
    async with start_edge(config) as app:
        await cloud.connected()
        await bus_runs(app)
        await cloud.send(order("subscribe", "default/test"))
        await subscribed(app, "default/test")
    config.modules.edgeHub.enable = False
    async with start_edge(config) as app:
        await bus_runs(app)
        for number in range(40):
            topic = "default/test" if number % 2 else "a/user/b"
            await mosquitto_pub(app, "-q", "1", "-t", topic, "-m", str(number))
        await mosquitto_pub(app, "-q", "1", "-r", "-t", "lamp", "-m", "on")
    config.modules.edgeHub.enable = True
    async with start_edge(config) as app:
        await bus_runs(app)
        await cloud.until(lambda: len(uploads(cloud)) == 40)
        assert [text for _, text in uploads(cloud)] == [str(number) for number in range(40)]
        words = ["mosquitto_sub", "-p", str(port(app)), "-t", "lamp", "-C", "1", "-F", "%r %p", "-W", "10"]
        assert (await trio.run_process(words, capture_stdout=True)).stdout == b"1 on\n"


async def test_a_port_in_use_is_waited_for(
    cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge, caplog: pytest.LogCaptureFixture
) -> None:
    held = await trio.open_tcp_listeners(int(config.modules.eventBus.mqttServerInternal.rpartition(":")[2]), host="127.0.0.1")
    async with start_edge(config) as app:
        await cloud.connected()
        with trio.fail_after(10):
            while "the MQTT broker cannot start" not in caplog.text:
                await trio.sleep(0.01)
        await held[0].aclose()
        await bus_runs(app)
    assert caplog.text.count("cannot start") == 1


async def test_keadm_sees_the_broker_of_the_edge(edge: App, capsys: pytest.CaptureFixture[str]) -> None:
    view = edge.store.database.path.with_name("broker.sock")
    assert await trio.to_thread.run_sync(main, ["ctl", "broker", "--socket", str(view), "clients"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["upload", "-", "yes"]


async def test_uploads_that_a_dead_link_has_swallowed_go_again(
    cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge
) -> None:
    with proxy(cloud.port) as network:
        config.modules.edgeHub.websocket.server = f"127.0.0.1:{network.port}"
        async with start_edge(config) as app:
            await cloud.connected()
            await bus_runs(app)
            await mosquitto_pub(app, "-q", "1", "-t", "a/user/b", "-m", "0")
            await cloud.until(lambda: len(uploads(cloud)) == 1)
            network.stalled = True
            for number in range(1, 6):
                await mosquitto_pub(app, "-q", "1", "-t", "a/user/b", "-m", str(number))
            await trio.testing.wait_all_tasks_blocked(0.05)
            network.cut()
            network.stalled = False
            await cloud.until(lambda: len({text for _, text in uploads(cloud)}) == 6)
    assert list(dict.fromkeys(text for _, text in uploads(cloud))) == [str(number) for number in range(6)]
