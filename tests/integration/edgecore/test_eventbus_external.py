"""The event bus with an external broker: a mosquitto that comes and goes, over a network that is cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme
from brokers.external import Mosquitto
from clouds.scripted import ScriptedCloud, edge_config
from faults.proxy import Proxy, proxy
from ports import free_port

from beehive.message import Message, build
from edgecore.config import EdgeCore
from mqtt.client import Client, connect
from mqtt.packets import Connect

from .conftest import StartEdge


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def network(mosquitto: Mosquitto) -> Iterator[Proxy]:
    """Between the edge and the external broker."""
    with proxy(mosquitto.port) as made:
        yield made


@pytest.fixture
def config(cloud: ScriptedCloud, network: Proxy, tmp_path: Path) -> EdgeCore:
    config = edge_config(cloud, tmp_path / "edge")
    config.modules.edgeHub.messageQPS = 0
    bus = config.modules.eventBus
    bus.mqttMode = 2
    bus.mqttServerExternal = f"tcp://127.0.0.1:{network.port}"
    return config


@asynccontextmanager
async def application(mosquitto: Mosquitto, *filters: str) -> AsyncIterator[Client]:
    """A client of the external broker beside the edge."""
    async with connect(("127.0.0.1", mosquitto.port), Connect(client_id="application")) as client:
        if filters:
            await client.subscribe(*filters, qos=1)
        yield client


def publish(topic: str, text: str) -> Message:
    return build(source="router_eventbus", group="user", operation="publish", resource=topic, content=text)


def uploads(cloud: ScriptedCloud) -> list[str]:
    found = [each for each in cloud.received if each.operation == "upload" and each.resource != "probe/user/x"]
    return [each.decode(str) for each in found]


async def until(condition: object, seconds: float = 20) -> None:
    with trio.fail_after(seconds):
        while not condition():  # type: ignore[operator]
            await trio.sleep(0.01)


async def bridged(cloud: ScriptedCloud, client: Client) -> None:
    """Until the edge has subscribed there, and is connected to the cloud."""
    with trio.fail_after(20):
        while not any(each.resource == "probe/user/x" for each in cloud.received):
            await client.publish("probe/user/x", qos=0)
            await trio.sleep(0.02)


async def test_both_ways(cloud: ScriptedCloud, mosquitto: Mosquitto, config: EdgeCore, start_edge: StartEdge) -> None:
    async with start_edge(config), application(mosquitto, "orders/#") as client:
        await bridged(cloud, client)
        await cloud.send(publish("orders/1", "go"))
        with trio.fail_after(20):
            message = await client.receive()
        assert (message.topic, message.payload, message.qos, message.retain) == ("orders/1", b"go", 1, False)
        for number in range(10):
            await client.publish("$hw/events/upload/x", str(number).encode(), qos=number % 2)
        await cloud.until(lambda: len(uploads(cloud)) == 10)
        assert uploads(cloud) == [str(number) for number in range(10)]


async def test_a_rule_is_subscribed_there(
    cloud: ScriptedCloud, mosquitto: Mosquitto, network: Proxy, config: EdgeCore, start_edge: StartEdge
) -> None:
    async with start_edge(config), application(mosquitto) as client:
        await bridged(cloud, client)
        order = build(source="router_eventbus", group="user", operation="subscribe", resource="default/test")
        await cloud.send(order)

        async def tell() -> None:
            await client.publish("default/test", b"hello", qos=1)

        while "hello" not in uploads(cloud):
            await tell()
            await trio.sleep(0.05)
        network.cut()
        mosquitto.stop()
        mosquitto.start()
        async with application(mosquitto) as again:
            await until(lambda: network.connections >= 4)
            await again.publish("default/test", b"after the restart", qos=1)
            await cloud.until(lambda: "after the restart" in uploads(cloud))


async def test_nothing_acknowledged_is_lost_over_cuts(
    cloud: ScriptedCloud, mosquitto: Mosquitto, network: Proxy, config: EdgeCore, start_edge: StartEdge
) -> None:
    """Both directions at once, with cuts, a broker that is away, and a restart of the edge in the middle."""
    count = 200
    heard: list[str] = []

    async def listen(client: Client) -> None:
        while True:
            heard.append((await client.receive()).payload.decode())

    async def order_all() -> None:
        for number in range(count):
            await cloud.until(lambda: cloud.link is not None)
            await cloud.send(publish("orders/1", str(number)))
            if number % 20 == 0:
                await trio.sleep(0.01)

    async def publish_all(client: Client) -> None:
        for number in range(count):
            await client.publish("up/user/x", str(number).encode(), qos=1)
            if number % 20 == 0:
                await trio.sleep(0.01)

    async with application(mosquitto, "orders/#") as client, trio.open_nursery() as nursery:
        nursery.start_soon(listen, client)
        async with start_edge(config) as app:
            await bridged(cloud, client)
            async with trio.open_nursery() as work:
                work.start_soon(order_all)
                work.start_soon(publish_all, client)
                for _ in range(4):
                    await trio.sleep(0.1)
                    network.cut()
                assert app.bus is not None
                await until(lambda: app.bus is not None and app.bus.carried_out == count)
            network.stalled = True
            await trio.sleep(0.05)
        network.cut()
        network.stalled = False
        async with start_edge(config):
            wanted = {str(number) for number in range(count)}
            await cloud.until(lambda: set(uploads(cloud)) == wanted, 40)
            await until(lambda: set(heard) == wanted, 10)
        nursery.cancel_scope.cancel()
    for got in (heard, uploads(cloud)):
        first = list(dict.fromkeys(got))
        assert first == [str(number) for number in range(count)], "in order, apart from repetitions"


async def test_a_broker_that_is_away_is_said_once(
    cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    mosquitto.stop()
    async with start_edge(config):
        await cloud.connected()
        await cloud.send(publish("orders/1", "early"))
        await until(lambda: "no connection to the external MQTT broker" in caplog.text)
        mosquitto.start()
        async with application(mosquitto, "orders/#") as client:
            with trio.fail_after(30):
                assert (await client.receive()).payload == b"early"
    said = [str(each.args[0]) for each in caplog.records if "no connection to the external MQTT broker" in each.msg and each.args]
    # Who connects and is hung up on at once sees an end or a reset.
    assert len(said) == len(set(said)) <= 2, said


async def test_both_brokers_hear_the_cloud(
    cloud: ScriptedCloud, mosquitto: Mosquitto, config: EdgeCore, start_edge: StartEdge
) -> None:
    bus = config.modules.eventBus
    port = free_port()
    bus.mqttMode, bus.mqttServerInternal, bus.mqttQOS = 1, f"tcp://127.0.0.1:{port}", 2
    async with start_edge(config) as app, application(mosquitto, "orders/#", "x/#") as outer:
        await cloud.connected()
        assert app.bus is not None
        await app.bus.ready.wait()
        await bridged(cloud, outer)
        async with connect(("127.0.0.1", port), Connect(client_id="application")) as inner:
            await inner.subscribe("#", qos=2)
            await cloud.send(publish("orders/1", "go"))
            with trio.fail_after(20):
                assert (await outer.receive()).qos == 1
                assert (await inner.receive()).qos == 2
            # What clients of one broker publish does not reach those of the other.
            await inner.publish("x/user/a", b"inner", qos=1)
            await outer.publish("x/user/b", b"outer", qos=1)
            await cloud.until(lambda: sorted(uploads(cloud)) == ["inner", "outer"])
            with trio.fail_after(20):
                assert [(await outer.receive()).payload, (await inner.receive()).payload] == [b"outer", b"inner"]


async def test_tls_is_verified_and_its_files_are_read_anew(
    cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker shows a certificate of one CA and wants one of the same; the edge has that of another CA first."""
    caplog.set_level("INFO")
    right, wrong = trustme.CA(), trustme.CA()
    folder = tmp_path / "secure"
    folder.mkdir()
    right.cert_pem.write_to_path(folder / "ca.pem")
    right.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    pair = f"certfile {folder}/server.pem", f"keyfile {folder}/server.pem", f"cafile {folder}/ca.pem"
    broker = Mosquitto(folder, "allow_anonymous true", *pair, "require_certificate true")
    broker.start()
    bus = config.modules.eventBus
    bus.mqttServerExternal = f"ssl://127.0.0.1:{broker.port}"
    tls = bus.eventBusTLS
    tls.enable = True
    tls.tlsMqttCAFile, tls.tlsMqttCertFile, tls.tlsMqttPrivateKeyFile = (str(tmp_path / name) for name in ("ca", "crt", "key"))
    mine = right.issue_cert("edge-1")
    try:
        async with start_edge(config):
            await until(lambda: "cannot read" in caplog.text)
            wrong.cert_pem.write_to_path(tmp_path / "ca")
            mine.cert_chain_pems[0].write_to_path(tmp_path / "crt")
            mine.private_key_pem.write_to_path(tmp_path / "key")
            await until(lambda: "certificate verify failed" in caplog.text.lower(), 30)
            right.cert_pem.write_to_path(tmp_path / "ca")
            await until(lambda: "connected to the external MQTT broker" in caplog.text, 40)
    finally:
        broker.stop()
