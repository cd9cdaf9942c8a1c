"""The event bus with amqtt before it: mosquitto's clients on one side, a cloud on the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from clouds.scripted import ScriptedCloud, edge_config
from mqttsuite.servers import Missing, installed_amqtt
from ports import free_port

from edgecore.app import App
from edgecore.config import EdgeCore
from edgecore.eventbus import amqttfront
from edgecore.eventbus.amqttfront import Amqtt, AmqttError, front
from mqtt.codec import encode
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.local import Closed, LocalBroker
from mqtt.packets import Connect, Version, Will
from mqtt.topics import TopicError

from .conftest import StartEdge
from .test_eventbus import bus_runs, order, uploads

# What amqtt and what it is made of say about themselves; tasks that it leaves behind.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def amqtt() -> Iterator[None]:
    """It can be imported; last on the path, so that nothing else comes from there."""
    try:
        folder = str(installed_amqtt())
    except Missing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    sys.path.append(folder)
    yield
    sys.path.remove(folder)


@pytest.fixture
def listener() -> Listener:
    return Listener("127.0.0.1", free_port())


@pytest.fixture
def config(cloud: ScriptedCloud, tmp_path: Path, listener: Listener) -> EdgeCore:
    config = edge_config(cloud, tmp_path / "edge")
    config.modules.eventBus.mqttMode = 0
    config.modules.eventBus.broker = "amqtt"
    config.modules.eventBus.mqttServerInternal = f"tcp://127.0.0.1:{listener.port}"
    return config


@pytest.fixture
async def edge(amqtt: None, cloud: ScriptedCloud, config: EdgeCore, start_edge: StartEdge) -> AsyncIterator[App]:
    async with start_edge(config) as app:
        await cloud.connected()
        await bus_runs(app)
        await listens(config.modules.eventBus.mqttServerInternal)
        yield app
    assert "amqtt" not in [each.name for each in threading.enumerate()]


async def listens(url: str) -> None:
    with trio.fail_after(30):
        while True:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))).aclose()
                return
            except OSError:
                await trio.sleep(0.05)


async def pub(port: int, *words: str, stdin: bytes = b"") -> None:
    with trio.fail_after(30):
        await trio.run_process(["mosquitto_pub", "-p", str(port), *words], stdin=stdin)


async def heard(port: int, *words: str) -> bytes:
    with trio.fail_after(30):
        done = await trio.run_process(["mosquitto_sub", "-p", str(port), "-W", "20", *words], capture_stdout=True)
    return done.stdout


async def test_to_the_cloud_and_back(cloud: ScriptedCloud, edge: App, listener: Listener) -> None:
    await pub(listener.port, "-q", "1", "-t", "plant/user/a", "-m", "up")
    await pub(listener.port, "-t", "other", "-m", "stays here")
    await cloud.send(order("subscribe", "default/test"))
    with trio.fail_after(10):
        while not await edge.store.database.read(edge.store.topics):
            await trio.sleep(0.01)
    await cloud.until(lambda: uploads(cloud) == [("plant/user/a", "up")])
    await pub(listener.port, "-q", "2", "-t", "default/test", "-m", "by a rule")
    await cloud.until(lambda: len(uploads(cloud)) == 2)
    assert uploads(cloud)[1] == ("default/test", "by a rule")
    async with trio.open_nursery() as nursery:
        # Until it is heard: amqtt has nobody subscribed to it for a moment.
        async def say() -> None:
            while True:
                await cloud.send(order("publish", "$hw/events/device/d/twin/update/document", "down"))
                await trio.sleep(0.2)

        nursery.start_soon(say)
        assert await heard(listener.port, "-t", "$hw/#", "-C", "1", "-F", "%t %p") == (
            b"$hw/events/device/d/twin/update/document down\n"
        )
        nursery.cancel_scope.cancel()


async def test_clients_within_the_program(amqtt: None, listener: Listener) -> None:
    async with front(listener, Limits()) as broker, broker.open("one", inbox=2) as one, broker.open("two") as two:
        await one.subscribe("a/#", qos=1)
        await two.subscribe("a/b", own=True)
        await two.publish("a/b", b"x", 1)
        await pub(listener.port, "-q", "1", "-t", "a/b", "-l", stdin=b"1\n2\n3\n")
        with trio.fail_after(10):
            assert [(await two.receive()).payload for _ in range(4)] == [b"x", b"1", b"2", b"3"]
            first, second = await one.receive(), await one.receive()
            assert (first.payload, first.qos, second.payload) == (b"x", 1, b"1")
            with trio.move_on_after(0.05) as scope:
                await one.receive()
            assert scope.cancelled_caught  # two are unacknowledged
            one.acknowledge(second)
            assert (await one.receive()).payload == b"2"
        await one.publish("kept", b"still here", 1, retain=True)
        assert await heard(listener.port, "-t", "kept", "-C", "1", "-F", "%r %p") == b"1 still here\n"
        await two.subscribe("kept")
        with trio.fail_after(10):
            found = await two.receive()
        assert (found.topic, found.payload, found.retain) == ("kept", b"still here", True)
        await two.unsubscribe("kept")
        await one.publish("kept", b"", retain=True)
        with pytest.raises(TopicError):
            await one.subscribe("a/#/b")
        with pytest.raises(TopicError):
            await one.publish("a/+")
        async with broker.open("one"):
            with pytest.raises(Closed):
                await one.receive()
    with pytest.raises(Closed):
        await two.publish("late")


async def test_a_will_is_heard(amqtt: None, listener: Listener) -> None:
    async with front(listener, Limits()) as broker, broker.open("one") as one:
        await one.subscribe("gone", "here")
        stream = await trio.open_tcp_stream(listener.host, listener.port)
        packet = Connect(Version.V311, "leaves", keep_alive=60, will=Will("gone", b"bye"))
        await stream.send_all(encode(packet, Version.V311))
        with trio.fail_after(20):
            assert await stream.receive_some(4) == b"\x20\x02\0\0"
            await stream.aclose()
            assert (await one.receive()).payload == b"bye"


async def test_what_nobody_takes_is_bounded_and_counted(amqtt: None, listener: Listener) -> None:
    async with front(listener, Limits(queued_messages=10)) as broker, broker.open("slow") as slow:
        assert isinstance(broker, Amqtt)
        await slow.subscribe("flood", "end")
        with socket.create_connection(("127.0.0.1", listener.port)) as _silent:  # somebody who never says who he is
            await pub(listener.port, "-q", "1", "-t", "flood", "-l", stdin=b"".join(b"%d\n" % each for each in range(100)))
            with trio.fail_after(20):
                while not broker.dropped:
                    await trio.sleep(0.01)
                assert [(await slow.receive()).payload for _ in range(10)] == [b"%d" % each for each in range(10)]
    assert "amqtt" not in [each.name for each in threading.enumerate()]


async def test_a_port_that_is_taken(amqtt: None, listener: Listener) -> None:
    with socket.create_server((listener.host, listener.port)), pytest.RaisesGroup(OSError):
        async with front(listener, Limits()):
            pass
    async with front(listener, Limits()) as broker:
        assert isinstance(broker, Amqtt)


async def test_it_is_told_when_amqtt_ends_by_itself(amqtt: None, listener: Listener) -> None:
    async def use(broker: LocalBroker) -> None:
        async with broker.open("one") as one:
            await one.receive()

    with pytest.RaisesGroup(AmqttError, Closed, flatten_subgroups=True):
        async with front(listener, Limits()) as broker, trio.open_nursery() as nursery:
            nursery.start_soon(use, broker)
            await trio.testing.wait_all_tasks_blocked()
            assert isinstance(broker, Amqtt)
            assert broker._server is not None
            broker._server.stop()


def test_without_it_the_log_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys, trio; sys.modules['amqtt'] = None\n"
        "from edgecore.eventbus.amqttfront import front\n"
        "from mqtt.limits import Limits; from mqtt.listeners import Listener\n"
        "assert 'asyncio' not in sys.modules\n"
        "async def main():\n"
        "    try:\n"
        "        async with front(Listener('127.0.0.1', 1), Limits()): pass\n"
        "    except* OSError as group: print(group.exceptions[0])\n"
        "trio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert "pip install 'edgecore[amqtt]'" in done.stdout


async def test_an_amqtt_that_hangs_holds_up_nobody(
    amqtt: None, listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(amqttfront, "_END", 0.1)
    begun, released = threading.Event(), threading.Event()

    async def hang(_: object) -> None:
        begun.set()
        released.wait(60)

    async with front(listener, Limits()) as broker, trio.open_nursery() as nursery:
        assert isinstance(broker, Amqtt)
        nursery.start_soon(broker.order, hang)
        with trio.fail_after(10):
            while not begun.is_set():
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert "amqtt does not end; its thread is left behind" in caplog.text
    released.set()
    with trio.fail_after(10):
        await trio.to_thread.run_sync(lambda: [each.join() for each in threading.enumerate() if each.name == "amqtt"])
