"""The broker with the clients of mosquitto, which know nothing of ours."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from mqtt.broker import Broker
from mqtt.limits import Limits

from .conftest import Start

pytestmark = pytest.mark.usefixtures("mosquitto_clients")
VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


async def pub(broker: Broker, *words: str, stdin: bytes = b"") -> None:
    command = ["mosquitto_pub", "-p", str(broker.ports[0]), *words]
    with trio.fail_after(20):
        await trio.run_process(command, stdin=stdin, capture_stdout=True, capture_stderr=True)


@asynccontextmanager
async def sub(broker: Broker, *words: str, subscribed: bool = True) -> AsyncIterator[trio.Process]:
    """A running mosquitto_sub, which has subscribed already."""
    clients = broker.core.clients
    before = sum(len(each.subscriptions) for each in clients.sessions.values() if each.connected)
    command = ["mosquitto_sub", "-p", str(broker.ports[0]), *words]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        with trio.fail_after(10):
            while subscribed and sum(len(each.subscriptions) for each in clients.sessions.values() if each.connected) <= before:
                await trio.sleep(0.005)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def lines(process: trio.Process) -> list[str]:
    """All it prints until it ends by itself."""
    data = b""
    assert process.stdout is not None
    with trio.fail_after(30):
        async for chunk in process.stdout:
            data += chunk
    return data.decode().splitlines()


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_qos(start: Start, version: str) -> None:
    broker = await start()
    async with sub(broker, "-V", version, "-q", "2", "-t", "a/#", "-C", "3", "-F", "%t %q %r %p") as process:
        for qos in "012":
            await pub(broker, "-V", version, "-q", qos, "-t", "a/b", "-m", f"m{qos}")
        assert await lines(process) == ["a/b 0 0 m0", "a/b 1 0 m1", "a/b 2 0 m2"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_retained_message(start: Start, version: str) -> None:
    broker = await start()
    await pub(broker, "-V", version, "-r", "-q", "1", "-t", "a", "-m", "kept")
    async with sub(broker, "-V", version, "-t", "a", "-C", "1", "-F", "%r %p", subscribed=False) as process:
        assert await lines(process) == ["1 kept"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_that_waits(start: Start, version: str) -> None:
    broker = await start()
    stays = ["-V", version, "-i", "waits", "-c", "-q", "2", "-t", "a", *(["-x", "600"] if version == "mqttv5" else [])]
    async with sub(broker, *stays) as process:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    await pub(broker, "-V", version, "-q", "2", "-t", "a", "-l", stdin=b"".join(b"%d\n" % number for number in range(200)))
    async with sub(broker, *stays, "-C", "200", subscribed=False) as process:
        assert await lines(process) == [str(number) for number in range(200)]


async def test_a_will(start: Start) -> None:
    broker = await start()
    async with sub(broker, "-t", "will", "-C", "1") as reader:
        async with sub(broker, "-t", "x", "--will-topic", "will", "--will-payload", "gone") as lost:
            lost.kill()
        assert await lines(reader) == ["gone"]


async def test_take_over(start: Start) -> None:
    broker = await start()
    async with (
        sub(broker, "-V", "mqttv5", "-i", "same", "-t", "a", "-d") as first,
        sub(broker, "-V", "mqttv5", "-i", "same", "-t", "a", "-C", "1", subscribed=False) as second,
    ):
        with trio.fail_after(10):
            while not broker.core.counters.closed["session taken over"]:
                await trio.sleep(0.005)
        first.kill()
        with trio.fail_after(10):
            while "same" not in broker.core.clients.sessions or not broker.core.clients.sessions["same"].subscriptions:
                await trio.sleep(0.005)
        await pub(broker, "-t", "a", "-m", "for the second")
        assert (await lines(second))[-1] == "for the second"


@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_a_burst_and_its_publisher_is_gone(start: Start, qos: str) -> None:
    """Nothing that was acknowledged is lost because its publisher leaves."""
    broker = await start(Limits(queued_messages=5000))
    async with sub(broker, "-q", qos, "-t", "a", "-C", "2000") as process:
        await pub(broker, "-q", qos, "-t", "a", "-l", stdin=b"".join(b"%d\n" % number for number in range(2000)))
        assert await lines(process) == [str(number) for number in range(2000)]


async def test_what_is_new_in_5(start: Start) -> None:
    broker = await start()
    form = "%t %p %P %C %R %D"
    five = ["-V", "mqttv5"]
    async with sub(broker, *five, "-t", "$share/g/a", "-t", "b", "-C", "1", "-F", form) as process:
        await pub(
            broker, *five, "-t", "a", "-m", "x", "-D", "publish", "user-property", "k", "v", "-D", "publish", "content-type", "t",
            "-D", "publish", "response-topic", "r", "-D", "publish", "correlation-data", "c",
        )  # fmt: skip
        assert await lines(process) == ["a x k:v t r c"]
    async with sub(broker, *five, "-t", "req") as _:
        command = [
            "mosquitto_rr",
            "-V",
            "mqttv5",
            "-p",
            str(broker.ports[0]),
            "-t",
            "echo",
            "-e",
            "answer/1",
            "-m",
            "ping",
            "-W",
            "8",
        ]
        asker = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        with trio.fail_after(10):
            while not any("answer/1" in each.subscriptions for each in broker.core.clients.sessions.values()):
                await trio.sleep(0.005)
        await pub(broker, *five, "-t", "answer/1", "-m", "pong", "-D", "publish", "correlation-data", "1")
        asker.terminate()
        await asker.wait()
