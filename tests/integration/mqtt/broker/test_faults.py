"""What clients and networks do wrong, on real sockets."""

from __future__ import annotations

import os
import random
import resource
import ssl
from pathlib import Path

import pytest
import trio
import trustme
from brokers.sockets import RawClient

from mqtt.access import Identity, Peer
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.packets import Connect, PingReq, PingResp, PubAck, Publish, PubRec, PubRel, Version, Will
from mqtt.reasons import Reason

from .conftest import Start


def descriptors() -> list[int]:
    return [int(each.name) for each in Path("/proc/self/fd").iterdir()]


async def until(condition: object) -> None:
    with trio.fail_after(10):
        while not condition():  # type: ignore[operator]
            await trio.sleep(0.002)


async def test_what_was_in_flight_comes_again_after_a_reset(start: Start) -> None:
    port = (await start()).ports[0]
    reader = await RawClient.connected(port, "reader", clean_start=False)
    await reader.subscribe("a", 2)
    writer = await RawClient.connected(port, "writer")
    for number in range(1, 6):
        await writer.send(Publish("a", b"%d" % number, 1 + number % 2, packet_id=number))
    first = [await reader.message() for _ in range(5)]
    await reader.reset()
    reader = await RawClient.connected(port, "reader", clean_start=False)
    again = [await reader.message() for _ in range(5)]
    assert [(each.payload, each.packet_id) for each in again] == [(each.payload, each.packet_id) for each in first]
    assert all(each.dup for each in again)


async def test_a_late_acknowledgement_is_taken(start: Start) -> None:
    broker = await start()
    reader = await RawClient.connected(broker.ports[0], "reader", clean_start=False)
    await reader.subscribe("a", 1)
    writer = await RawClient.connected(broker.ports[0], "writer")
    await writer.send(Publish("a", b"1", 1, packet_id=1))
    message = await reader.message()
    session = broker.core.clients.sessions["reader"]
    assert len(session.in_flight) == 1
    await reader.send(PubAck(message.packet_id), PingReq())
    assert isinstance(await reader.next(), PingResp)
    assert not session.in_flight


async def test_qos_2_once_though_the_publisher_is_reset_at_every_step(start: Start) -> None:
    broker = await start()
    port = broker.ports[0]
    reader = await RawClient.connected(port, "reader")
    await reader.subscribe("a", 0)
    for number in range(1, 20):
        message = Publish("a", b"%d" % number, 2, packet_id=number)
        for step in range(3):
            writer = await RawClient.connected(port, "writer", clean_start=False)
            await writer.send(message)
            message.dup = True
            if step > 0:
                assert await writer.next() == PubRec(number)
            if step > 1:
                await writer.send(PubRel(number))
                await writer.next()
            await writer.reset()
    await (await RawClient.connected(port, "last")).send(Publish("a", b"end"))
    got = [(await reader.message()).payload]
    while got[-1] != b"end":
        got.append((await reader.message()).payload)
    assert got == [*(b"%d" % number for number in range(1, 20)), b"end"]


async def test_a_client_that_does_not_read_is_bounded_and_harms_nobody(start: Start) -> None:
    broker = await start(Limits(output=100_000))
    port = broker.ports[0]
    slow = await RawClient.connected(port, "slow", receive_buffer=4096)
    await slow.subscribe("a", 0)
    quick = await RawClient.connected(port, "quick")
    await quick.subscribe("a", 0)
    writer = await RawClient.connected(port, "writer")
    link = broker.core.clients.sessions["slow"].link
    assert link is not None
    most = 0
    for number in range(1, 1500):
        await writer.send(Publish("a", bytes(10_000), 1, packet_id=number))
        assert isinstance(await writer.next(), PubAck)
        assert len((await quick.message()).payload) == 10_000
        most = max(most, link.buffered)
    assert 100_000 <= most < 120_000
    assert broker.core.counters.dropped["slow client"] > 100
    assert (await slow.message()).payload == bytes(10_000), "it is served when it reads again"


async def test_what_waited_for_the_network_goes_on_when_it_was_quick(start: Start) -> None:
    """One round brings more than is sent at once, and the network takes it all: nothing else may be needed to go on."""
    port = (await start(Limits(output=1000))).ports[0]
    reader, writer = await RawClient.connected(port, "reader"), await RawClient.connected(port, "writer")
    await reader.subscribe("a", 1)
    await writer.send(*[Publish("a", bytes(100))] * 20, Publish("a", b"last", 1, packet_id=1))
    while (await reader.message()).payload != b"last":
        pass


async def test_a_client_that_does_not_take_its_answers_is_not_read_further(start: Start) -> None:
    broker = await start(Limits(output=50_000))
    port = broker.ports[0]
    bad = await RawClient.connected(port, "bad", receive_buffer=4096)
    link = broker.core.clients.sessions["bad"].link
    assert link is not None
    with trio.move_on_after(1.5):
        while True:
            await bad.send(*[PingReq()] * 20_000)
    assert link.buffered < 400_000
    good = await RawClient.connected(port, "good")
    await good.send(PingReq())
    assert isinstance(await good.next(), PingResp)


async def test_a_packet_that_is_too_large_is_refused_by_its_header(start: Start) -> None:
    port = (await start(Limits(packet=10_000))).ports[0]
    client = await RawClient.connected(port, "c", Version.V5)
    await client.stream.send_all(b"\x30\x80\x80\x80\x20")
    goodbye = await client.next()
    assert getattr(goodbye, "reason", None) is Reason.PACKET_TOO_LARGE
    assert await client.next() is None
    stranger = await RawClient.open(port)
    await stranger.stream.send_all(b"\x10\xff\xff\xff\x7f")
    assert await stranger.next() is None


async def test_who_was_refused_over_tls_and_goes_on_sending_harms_nobody(start: Start) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    broker = await start(Limits(packet=1000), listeners=[Listener(port=0, tls=context), Listener(port=0)])
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tcp = (await RawClient.open(broker.ports[0])).stream
    client = RawClient(trio.SSLStream(tcp, trusting, server_hostname="localhost"), Version.V5)  # type: ignore[type-var]
    await client.connect("c")
    await client.stream.send_all(b"\x30\x80\x80\x80\x20")
    assert getattr(await client.next(), "reason", None) is Reason.PACKET_TOO_LARGE
    await client.stream.send_all(bytes(1000))
    other = await RawClient.connected(broker.ports[1], "other")
    await other.send(PingReq())
    assert await other.next() == PingResp()


async def test_who_says_nothing_is_not_kept(start: Start) -> None:
    broker = await start(Limits(connect_timeout=0.2))
    strangers = [await RawClient.open(broker.ports[0]) for _ in range(5)]
    await strangers[0].stream.send_all(b"\x10\x20\x00\x04")
    for stranger in strangers:
        assert await stranger.next() is None
    await until(lambda: not broker.core.links)


async def test_silence_beyond_the_keep_alive(start: Start) -> None:
    broker = await start()
    reader = await RawClient.connected(broker.ports[0], "reader")
    await reader.subscribe("w")
    client = await RawClient.connected(broker.ports[0], "c", keep_alive=1, will=Will("w", b"silent"))
    assert await client.next() is None
    assert (await reader.message()).payload == b"silent"


async def test_garbage_closes_one_connection_each(start: Start) -> None:
    broker = await start()
    port = broker.ports[0]
    good = await RawClient.connected(port, "good")
    await good.subscribe("a")
    before = len(descriptors())
    chance = random.Random(5)
    for number in range(300):
        bad = await RawClient.open(port)
        assert isinstance(bad.stream, trio.SocketStream)
        if number % 2:
            await bad.connect(f"bad{number}")
        with trio.move_on_after(5):
            try:
                await bad.stream.send_all(chance.randbytes(chance.randrange(1, 300)) + b"\xf0\xff\xff\xff\xff\xff")
                await bad.stream.send_eof()
                while await bad.next() is not None:
                    pass
            except Exception:  # noqa: S110 - garbage may be an answer, too
                pass
        await bad.stream.aclose()
    await until(lambda: len(broker.core.links) == 1)
    assert len(descriptors()) <= before
    await good.send(Publish("a", b"still here"))
    assert (await good.message()).payload == b"still here"


async def test_no_descriptor_left(start: Start) -> None:
    broker = await start()
    port = broker.ports[0]
    good = await RawClient.connected(port, "good")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = []
    # Sockets that are made before the limit falls: connecting needs no descriptor, accepting does.
    sockets = [trio.socket.socket() for _ in range(20)]
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        for sock in sockets:
            await sock.connect(("127.0.0.1", port))
            waiting.append(trio.SocketStream(sock))
        await until(lambda: broker.core.counters.closed["no descriptor left"])
        await good.send(PingReq())
        assert isinstance(await good.next(), PingResp)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for number, stream in enumerate(waiting):
        client = RawClient(stream, Version.V311)
        assert (await client.connect(f"late{number}")).reason is Reason.SUCCESS


async def test_no_more_connections_than_allowed(start: Start) -> None:
    broker = await start(Limits(connections=2))
    port = broker.ports[0]
    first, second = await RawClient.connected(port, "1"), await RawClient.connected(port, "2")
    third = await RawClient.open(port)
    assert await third.next() is None
    await second.stream.aclose()
    await until(lambda: len(broker.core.links) == 1)
    await RawClient.connected(port, "3")
    await first.send(PingReq())
    assert isinstance(await first.next(), PingResp)


class Slow:
    """An authenticator that takes its time, and fails for some."""

    def __init__(self) -> None:
        self.go = trio.Event()
        self.asked: list[tuple[str, Peer]] = []

    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        self.asked.append((connect.client_id, peer))
        if connect.client_id == "broken":
            raise RuntimeError("no such file")
        if connect.username != "ann":
            return Reason.BAD_USER_NAME_OR_PASSWORD
        await self.go.wait()
        return Identity(connect.client_id, connect.username)


async def test_authentication_that_takes_long_holds_up_only_its_client(start: Start) -> None:
    slow = Slow()
    port = (await start(authenticator=slow)).ports[0]
    waiting = await RawClient.open(port)
    await waiting.send(Connect(client_id="c", username="ann"), *[PingReq()] * 1000)
    await until(lambda: slow.asked)
    assert slow.asked[0][1].local
    refused = await RawClient.open(port)
    assert (await refused.connect("c", username="eve")).reason is Reason.BAD_USER_NAME_OR_PASSWORD
    assert await refused.next() is None
    broken = await RawClient.open(port)
    assert (await broken.connect("broken")).reason is Reason.SERVER_UNAVAILABLE
    slow.go.set()
    answers = [await waiting.next() for _ in range(1001)]
    assert getattr(answers[0], "reason", None) is Reason.SUCCESS


async def test_a_unix_socket(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    await start(listeners=[Listener(path=path)])
    assert path.stat().st_mode & 0o777 == 0o600
    client = RawClient(await trio.open_unix_socket(str(path)), Version.V5)
    assert (await client.connect("c")).reason is Reason.SUCCESS


async def test_tls_and_the_name_in_a_certificate(start: Start) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    known = Slow()
    known.go.set()
    broker = await start(listeners=[Listener(port=0, tls=server)], authenticator=known)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("sensor-7", common_name="sensor-7").configure_cert(context)
    stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", broker.ports[0], ssl_context=context)
    client = RawClient(stream, Version.V311)
    assert (await client.connect("c", username="ann")).reason is Reason.SUCCESS
    assert known.asked[0][1].certificate_name == "sensor-7"
    await client.subscribe("a")
    await client.send(*[Publish("a", bytes(100_000)) for _ in range(5)])
    assert [len((await client.message()).payload) for _ in range(5)] == [100_000] * 5
    plain = await RawClient.open(broker.ports[0])
    await plain.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(Exception):  # noqa: B017 - an alert, which is no packet
        while await plain.next() is not None:
            pass
        raise EOFError
    await client.send(PingReq())
    assert isinstance(await client.next(), PingResp)


async def test_who_is_refused_can_read_why_though_it_goes_on_writing(start: Start) -> None:
    port = (await start(Limits(receive_maximum=10))).ports[0]
    client = await RawClient.connected(port, "c", Version.V5)
    await client.send(*[Publish("a", bytes(5000), qos=2, packet_id=number) for number in range(1, 200)])
    for number in range(1, 11):
        assert getattr(await client.next(), "packet_id", None) == number
        await client.send(PubRel(number))
    assert getattr(await client.next(), "reason", None) is Reason.RECEIVE_MAXIMUM_EXCEEDED
    assert await client.next() is None


async def test_a_client_that_takes_its_answers_late_gets_all(start: Start) -> None:
    """Also when the network takes at once what had made the broker stop listening."""
    port = (await start(Limits(output=1000))).ports[0]
    client = await RawClient.connected(port, "c")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, *[PingReq()] * 20_000)
        for _ in range(20_000):
            assert isinstance(await client.next(), PingResp)
