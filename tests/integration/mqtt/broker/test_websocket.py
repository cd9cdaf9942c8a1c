"""MQTT over WebSocket, with another library as client, on real sockets."""

from __future__ import annotations

import os
import queue
import random
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import trio
import trustme
from brokers.sockets import RawClient
from brokers.websockets import Rejected, WebSocketStream
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Request, TextMessage

from mqtt.access import Anybody, Identity, Peer
from mqtt.codec import encode
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Subscription,
    Version,
    Will,
)
from mqtt.reasons import Reason

from .conftest import Start

PLAIN = Listener(port=0)
WEB = Listener(port=0, websocket=True)


async def opened(port: int, version: Version = Version.V311, **more: Any) -> RawClient:
    tcp = (await RawClient.open(port)).stream
    return RawClient(await WebSocketStream.open(tcp, **more), version)  # type: ignore[arg-type]


async def connected(port: int, name: str, version: Version = Version.V311, **more: Any) -> RawClient:
    client = await opened(port, version)
    assert (await client.connect(name, **more)).reason is Reason.SUCCESS
    return client


def web(client: RawClient) -> WebSocketStream:
    assert isinstance(client.stream, WebSocketStream)
    return client.stream


@pytest.mark.parametrize("chunk", [0, 1, 7])
async def test_packets_stand_anywhere_in_frames(start: Start, chunk: int) -> None:
    broker = await start(listeners=[PLAIN, WEB])
    client = await opened(broker.ports[1], chunk=chunk)
    assert web(client).subprotocol == "mqtt"
    await client.send(Connect(client_id="web"), Subscribe(1, [Subscription("a/#", 1)]), PingReq())
    assert isinstance(await client.next(), ConnAck)
    assert isinstance(await client.next(), SubAck)
    assert isinstance(await client.next(), PingResp)
    other = await RawClient.connected(broker.ports[0], "tcp")
    await other.subscribe("b")
    for size in (0, 1, 125, 126, 300, 700 if chunk else 70_000):
        await other.send(Publish("a/b", bytes(size), 1, packet_id=1))
        assert await other.next() == PubAck(1)
        message = await client.message()
        assert len(message.payload) == size
        await client.send(PubAck(message.packet_id), Publish("b", bytes(size)))
        assert len((await other.message()).payload) == size


async def test_over_tls(start: Start) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    port = (await start(listeners=[Listener(port=0, tls=context, websocket=True)])).ports[0]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tcp = (await RawClient.open(port)).stream
    stream = await WebSocketStream.open(trio.SSLStream(tcp, trusting, server_hostname="localhost"))  # type: ignore[arg-type]
    client = RawClient(stream, Version.V5)  # type: ignore[arg-type]
    await client.connect("web")
    await client.subscribe("a")
    await client.send(Publish("a", bytes(200_000)))
    assert len((await client.message()).payload) == 200_000
    await stream.send(Ping(payload=b"there?"))
    await client.send(PingReq())
    assert isinstance(await client.next(), PingResp)
    assert stream.pongs == [b"there?"]


async def test_a_close_is_answered_after_what_came_before_and_brings_the_will(start: Start) -> None:
    broker = await start(listeners=[PLAIN, WEB])
    other = await RawClient.connected(broker.ports[0], "tcp")
    await other.subscribe("#")
    client = await connected(broker.ports[1], "web", will=Will("w", b"gone"))
    stream = web(client)
    last = stream.protocol.send(BytesMessage(data=encode(Publish("a", b"last"), Version.V311)))
    await stream.transport_stream.send_all(last + stream.protocol.send(CloseConnection(code=1001)))
    assert await client.next() is None
    assert stream.close == CloseConnection(code=1001, reason="")
    assert await stream.transport_stream.receive_some(1) == b"", "and the server closes first (RFC 6455, 7.1.1)"
    assert [(await other.message()).payload for _ in range(2)] == [b"last", b"gone"]


class SlowDoorkeeper(Anybody):
    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        await trio.sleep(0.02)
        return await super().authenticate(connect, peer)


@pytest.mark.parametrize("said", [True, False], ids=["disconnect", "close alone"])
async def test_what_came_before_a_close_counts_however_long_it_takes(start: Start, said: bool) -> None:
    broker = await start(listeners=[PLAIN, WEB], authenticator=SlowDoorkeeper())
    other = await RawClient.connected(broker.ports[0], "tcp")
    await other.subscribe("#")
    stream = web(await opened(broker.ports[1]))
    packets = [Connect(client_id="web", will=Will("w", b"gone")), Publish("a", b"last"), *([Disconnect()] if said else [])]
    data = b"".join(encode(each, Version.V311) for each in packets)  # type: ignore[arg-type]
    frames = stream.protocol.send(BytesMessage(data=data)) + stream.protocol.send(CloseConnection(code=1000))
    await stream.transport_stream.send_all(frames)
    while await stream.receive_some(1):
        pass
    assert stream.close == CloseConnection(code=1000, reason="")
    await (await RawClient.connected(broker.ports[0], "late")).send(Publish("a", b"end"))
    expected = [b"last", b"end"] if said else [b"last", b"gone", b"end"]
    assert [(await other.message()).payload for _ in expected] == expected


async def test_after_disconnect_the_server_closes_with_a_close_frame(start: Start) -> None:
    client = await connected((await start(listeners=[WEB])).ports[0], "web")
    await client.stream.send_all(b"\xe0\x00")
    assert await client.next() is None
    assert web(client).close == CloseConnection(code=1000, reason="")


async def test_who_is_refused_reads_why_and_then_the_close(start: Start) -> None:
    broker = await start(Limits(packet=10_000), listeners=[WEB])
    client = await connected(broker.ports[0], "web", Version.V5)
    await client.stream.send_all(b"\x30\x80\x80\x80\x20" + bytes(100_000))
    assert getattr(await client.next(), "reason", None) is Reason.PACKET_TOO_LARGE
    assert await client.next() is None
    assert web(client).close == CloseConnection(code=1000, reason="")


async def test_what_is_no_binary_frame_ends_the_connection(start: Start) -> None:
    broker = await start(listeners=[PLAIN, WEB])
    other = await RawClient.connected(broker.ports[0], "tcp")
    await other.subscribe("#")
    client = await connected(broker.ports[1], "web", will=Will("w", b"gone"))
    await client.send(Publish("a", b"last"))
    await web(client).send(TextMessage(data="hello"))
    assert await client.next() is None
    assert web(client).close == CloseConnection(code=1003, reason="")
    assert [(await other.message()).payload for _ in range(2)] == [b"last", b"gone"]
    assert broker.core.counters.closed["not MQTT in frames"] == 1


async def test_strangers_are_refused_with_a_reason(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    broker = await start(listeners=[WEB, Listener(port=0, websocket=True, origins=frozenset({"https://panel.example"}))])
    evil = [(b"Origin", b"https://evil.example")]
    for _ in range(3):
        with pytest.raises(Rejected) as refused:
            await opened(broker.ports[0], extra_headers=evil)
        assert refused.value.status == 403
    assert caplog.text.count("'https://evil.example' may not connect") == 1, "told once"
    with pytest.raises(Rejected, match=r"name mqtt"):
        await opened(broker.ports[0], subprotocols=["chat"])
    await opened(broker.ports[1], extra_headers=[(b"Origin", b"https://panel.example")])
    stranger = await RawClient.open(broker.ports[0])
    await stranger.stream.send_all(encode(Connect(client_id="x"), Version.V311) + b"\r\n\r\n")
    with trio.fail_after(10):
        assert (await stranger.stream.receive_some(1000)).startswith(b"HTTP/1.1 400 ")
    assert broker.core.counters.closed["no WebSocket"] == 5


async def test_an_upgrade_has_the_time_of_a_connect(start: Start) -> None:
    port = (await start(Limits(connect_timeout=0.2), listeners=[WEB])).ports[0]
    half = await RawClient.open(port)
    await half.stream.send_all(b"GET / HTTP/1.1\r\nHost:")
    whole = await opened(port)
    assert await half.next() is None
    assert await whole.next() is None


async def test_half_upgrades_are_bounded_together(start: Start) -> None:
    broker = await start(Limits(unknown_bytes=100_000), listeners=[WEB])
    whole = await opened(broker.ports[0])
    half = [await RawClient.open(broker.ports[0]) for _ in range(40)]
    for each in half:
        await each.stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"x" * 6000)
    with trio.fail_after(10):
        while broker.core.counters.closed["too many half CONNECTs"] < 28:
            await trio.sleep(0.002)
    assert len(broker.core.links) == 13
    assert (await whole.connect("web")).reason is Reason.SUCCESS


async def test_a_client_that_pings_and_does_not_read_is_bounded(start: Start) -> None:
    broker = await start(Limits(output=50_000), listeners=[PLAIN, WEB])
    tcp = await RawClient.open(broker.ports[1], receive_buffer=4096)
    client = RawClient(await WebSocketStream.open(tcp.stream), Version.V311)  # type: ignore[arg-type]
    await client.connect("web")
    link = broker.core.clients.sessions["web"].link
    assert link is not None
    ping = web(client).protocol.send(Ping(payload=bytes(125)))
    with trio.move_on_after(1.0):
        while True:
            await tcp.stream.send_all(ping * 50 + web(client).protocol.send(BytesMessage(data=b"\xc0\x00" * 5000)))
    assert link.buffered < 400_000
    good = await RawClient.connected(broker.ports[0], "good")
    await good.send(PingReq())
    assert isinstance(await good.next(), PingResp)


async def test_a_slow_web_client_drops_qos_0_and_goes_on(start: Start) -> None:
    broker = await start(Limits(output=100_000), listeners=[PLAIN, WEB])
    tcp = await RawClient.open(broker.ports[1], receive_buffer=4096)
    slow = RawClient(await WebSocketStream.open(tcp.stream), Version.V311)  # type: ignore[arg-type]
    await slow.connect("slow")
    await slow.subscribe("a")
    link = broker.core.clients.sessions["slow"].link
    assert link is not None
    writer = await RawClient.connected(broker.ports[0], "writer")
    for number in range(1, 600):
        await writer.send(Publish("a", bytes(10_000), 1, packet_id=number))
        assert isinstance(await writer.next(), PubAck)
        assert link.buffered < 130_000
    dropped = broker.core.counters.dropped["slow client"]
    assert dropped > 0
    for _ in range(599 - dropped):
        assert len((await slow.message()).payload) == 10_000
    with trio.fail_after(10):
        while link.buffered:
            await trio.sleep(0.002)


async def test_nonsense_harms_nobody_else(start: Start) -> None:
    broker = await start(listeners=[PLAIN, WEB])
    other = await RawClient.connected(broker.ports[0], "other")
    await other.subscribe("#")
    dice = random.Random(6455)
    good = WSConnection(ConnectionType.CLIENT).send(Request(host="localhost", target="/", subprotocols=["mqtt"]))
    for number in range(int(os.environ.get("WEB_NONSENSE", "150"))):
        stranger = await RawClient.open(broker.ports[1])
        if number % 3 == 0:
            data = bytearray(good)
            for _ in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
        else:
            frames = Connection(ConnectionType.CLIENT)
            packets = encode(Connect(client_id="x"), Version.V311) + encode(Publish("a", bytes(99)), Version.V311)
            data = bytearray(frames.send(BytesMessage(data=packets + dice.randbytes(dice.randrange(300)))))
            if number % 3 == 1:
                data[dice.randrange(16)] ^= 1 << dice.randrange(8)
            data = bytearray(good) + data
        with suppress(trio.BrokenResourceError):
            await stranger.stream.send_all(data)
            if number % 2:
                await stranger.stream.send_eof()  # type: ignore[union-attr]
        await stranger.stream.aclose()
    await other.send(PingReq())
    while not isinstance(await other.next(), PingResp):
        pass
    with trio.fail_after(10):
        while len(broker.core.links) > 1:
            await trio.sleep(0.005)
    assert len(broker.core.clients.sessions) == 1


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_with_paho(start: Start, tmp_path: Path, secure: bool) -> None:
    """A client of browsers' habits: it sends an Origin, and pings."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    broker = await start(listeners=[Listener(port=0, websocket=True, tls=context if secure else None)])

    def talk() -> list[tuple[int, bytes]]:
        found: queue.Queue[tuple[int, bytes]] = queue.Queue()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, "paho", transport="websockets", protocol=paho.MQTTv5)
        if secure:
            client.tls_set(tmp_path / "ca.pem")
        client.on_connect = lambda *_: client.subscribe("a/#", 2)
        client.on_subscribe = lambda *_: [client.publish("a/b", b"%d" % qos, qos) for qos in range(3)]
        client.on_message = lambda _client, _data, message: found.put((message.qos, message.payload))
        client.connect("localhost", broker.ports[0])
        client.loop_start()
        try:
            return sorted(found.get(timeout=10) for _ in range(3))
        finally:
            client.disconnect()
            client.loop_stop()

    with trio.fail_after(30):
        assert await trio.to_thread.run_sync(talk) == [(0, b"0"), (1, b"1"), (2, b"2")]
