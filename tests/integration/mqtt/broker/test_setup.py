"""Keys of the broker's file on real listeners, in this process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio
from brokers.sockets import RawClient
from ports import free_port

from edgecore.brokerfile import parse
from edgecore.brokersetup import Setup
from mqtt.broker import Broker, serve
from mqtt.packets import PingReq, PingResp, Version
from mqtt.passwords import hashed
from mqtt.reasons import Reason

StartFile = Callable[[str], Awaitable[Broker]]


@pytest.fixture
async def start_file(nursery: trio.Nursery) -> AsyncIterator[StartFile]:
    async def start(text: str) -> Broker:
        broker: Broker = await nursery.start(serve, Setup(parse(text.splitlines(), "broker.conf")).config)
        return broker

    yield start
    while RawClient.opened:
        RawClient.opened.pop().close()


async def test_connections_of_one_listener(start_file: StartFile) -> None:
    few, many = free_port(), free_port()
    broker = await start_file(f"allow_anonymous true\nlistener {few} 127.0.0.1\nmax_connections 2\nlistener {many} 127.0.0.1")
    first = await RawClient.connected(few, "a")
    await RawClient.connected(few, "b")
    third = await RawClient.open(few)
    with trio.fail_after(10):
        assert await third.next() is None
    assert broker.core.counters.closed["too many connections"] == 1
    for number in range(3):
        await RawClient.connected(many, f"c{number}")
    first.close()
    with trio.fail_after(10):
        while len(broker.core.links) == 5:
            await trio.sleep(0.01)
    again = await RawClient.connected(few, "a")
    await again.send(PingReq())
    assert isinstance(await again.next(), PingResp)


async def test_a_user_has_his_own_client_identifier(start_file: StartFile, tmp_path: Path) -> None:
    (tmp_path / "p").write_text(f"ann:{hashed(b'a', 1)}\nbob:{hashed(b'b', 1)}\n")
    port = free_port()
    await start_file(f"password_file {tmp_path}/p\nlistener {port} 127.0.0.1\nuse_username_as_clientid true")
    ann = await RawClient.open(port, Version.V5)
    told = await ann.connect("bob", username="ann", password=b"a")
    assert (told.properties or {})["assigned_client_id"] == "ann"
    bob = await RawClient.connected(port, "ann", Version.V5, username="bob", password=b"b")
    # Each is there, and neither has put the other out.
    for client in (ann, bob):
        await client.send(PingReq())
        assert isinstance(await client.next(), PingResp)


async def test_modes_of_unix_sockets(start_file: StartFile, tmp_path: Path) -> None:
    await start_file(f"listener 0 {tmp_path}/own\nlistener 0 {tmp_path}/group\nsocket_mode 660")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("own", "group")] == [0o600, 0o660]


async def test_a_listener_on_all_addresses_lets_in_nobody_without_a_name_but_from_here(start_file: StartFile) -> None:
    port = free_port()
    await start_file(f"allow_anonymous true\nlistener {port}")
    await RawClient.connected(port, "a")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent; it tells which of our addresses others see.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    stream = await trio.open_tcp_stream(address, port)
    outside = RawClient(stream, Version.V311)
    assert (await outside.connect("b")).reason is Reason.NOT_AUTHORIZED


async def test_a_name_is_needed_by_default(start_file: StartFile) -> None:
    port = free_port()
    await start_file(f"listener {port} 127.0.0.1")
    assert (await (await RawClient.open(port)).connect("a")).reason is Reason.NOT_AUTHORIZED
    assert (await (await RawClient.open(port)).connect("a", username="x")).reason is Reason.NOT_AUTHORIZED
