"""The client's shell over a stream in memory, against a server that says what the test says, on a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mqtt.client import Client, ClientLimits, ConnectFailed, ConnectionLost, Refused, Session, connect_stream
from mqtt.codec import Decoder, Unencodable, encode
from mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    Version,
    Will,
)
from mqtt.reasons import Reason

V31, V311, V5 = Version


class Server:
    """The other end of the stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.decoder = Decoder(1 << 20)

    async def hears(self) -> Packet | None:
        """The next packet of the client; None at the end of the stream."""
        while (packet := self.decoder.next()) is None:
            data = await self.stream.receive_some()
            if not data:
                return None
            self.decoder.feed(bytes(data))
        return packet

    async def says(self, *packets: Packet) -> None:
        assert self.decoder.version is not None
        await self.stream.send_all(b"".join(encode(packet, self.decoder.version) for packet in packets))


@asynccontextmanager
async def talking(
    packet: Connect, answer: ConnAck | None = None, *, limits: ClientLimits | None = None, manual: bool = False
) -> AsyncIterator[tuple[Client, Server]]:
    near, far = trio.testing.memory_stream_pair()
    server = Server(far)
    async with trio.open_nursery() as nursery:

        async def greet() -> None:
            greeting = await server.hears()
            assert isinstance(greeting, Connect)
            await server.says(answer or ConnAck())

        nursery.start_soon(greet)
        async with connect_stream(near, packet, limits=limits, manual_acknowledgement=manual) as client:
            yield client, server


async def test_what_this_client_takes_is_said_to_the_server(autojump_clock: MockClock) -> None:
    near, far = trio.testing.memory_stream_pair()
    server = Server(far)
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            with pytest.raises(ConnectFailed, match="the server: the server refuses: server moved \\(to b\\)") as caught:
                async with connect_stream(near, Connect(V5, properties={"topic_alias_maximum": 2})):
                    pass
            assert caught.value.reason is Reason.SERVER_MOVED

        nursery.start_soon(client)
        greeting = await server.hears()
        assert isinstance(greeting, Connect)
        assert greeting.properties == {"receive_maximum": 100, "maximum_packet_size": 1 << 20, "topic_alias_maximum": 2}
        await server.says(ConnAck(False, Reason.SERVER_MOVED, {"reason_string": "to b"}))
        assert await server.hears() is None


async def test_a_server_that_does_not_answer(autojump_clock: MockClock) -> None:
    near, far = trio.testing.memory_stream_pair()
    with pytest.raises(ConnectFailed, match="west has not answered the CONNECT within 30 s"):
        async with connect_stream(near, Connect(), name="west"):
            pass
    assert isinstance(await Server(far).hears(), Connect)


async def test_a_server_that_speaks_something_else(autojump_clock: MockClock) -> None:
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ConnectFailed, match="breaks the protocol"):
        async with connect_stream(near, Connect()):
            pass


async def test_the_end_is_said(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5)) as (client, server):
        await client.publish("t", b"x" * 200_000)
    assert isinstance(await server.hears(), Publish)
    assert await server.hears() == Disconnect()
    assert await server.hears() is None


@pytest.mark.parametrize(("version", "last"), [(V31, None), (V311, None), (V5, Disconnect(Reason.DISCONNECT_WITH_WILL))])
async def test_a_block_that_fails_leaves_the_will(autojump_clock: MockClock, version: Version, last: Packet | None) -> None:
    near, far = trio.testing.memory_stream_pair()
    server = Server(far)
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            with pytest.raises(ZeroDivisionError):  # bare, not in a group
                async with connect_stream(near, Connect(version, will=Will("gone", b""))):
                    raise ZeroDivisionError

        nursery.start_soon(client)
        await server.hears()
        await server.says(ConnAck())
        assert await server.hears() == last


async def test_a_cancelled_block_takes_the_will_back(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1):
        async with talking(Connect(V311, will=Will("gone", b""))) as (_, server):
            await trio.sleep_forever()
    assert await server.hears() == Disconnect()


async def test_a_server_that_takes_no_bytes_does_not_hold_the_end_up(autojump_clock: MockClock) -> None:
    near, far = trio.testing.lockstep_stream_pair()
    server = Server(far)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            async with connect_stream(near, Connect(V5), limits=ClientLimits(close=3)):
                pass

        nursery.start_soon(client)
        await server.hears()
        await server.says(ConnAck())
    assert 3 <= trio.current_time() - start <= 7


async def test_pings_when_nothing_is_sent_and_what_comes_of_silence(autojump_clock: MockClock) -> None:
    async with talking(Connect(V311, keep_alive=10)) as (client, server):
        start = trio.current_time()
        assert await server.hears() == PingReq()
        assert trio.current_time() - start == pytest.approx(10)
        await server.says(PingResp())
        assert await server.hears() == PingReq()
        assert trio.current_time() - start == pytest.approx(20)
        await client.lost.wait()
        assert trio.current_time() - start == pytest.approx(40)
        with pytest.raises(ConnectionLost, match="has not answered a ping for 20 s"):
            await client.publish("t")


async def test_a_client_that_only_sends_asks_whether_somebody_is_there(autojump_clock: MockClock) -> None:
    async with talking(Connect(V311, keep_alive=10)) as (client, server):
        for _ in range(10):
            await client.publish("t")
            await trio.sleep(2)
        said = [await server.hears() for _ in range(11)]
        assert said.count(PingReq()) == 1
        assert said[-1] == Publish("t")


async def test_the_server_sets_the_keep_alive(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5, keep_alive=10), ConnAck(properties={"server_keep_alive": 3})) as (_, server):
        start = trio.current_time()
        assert await server.hears() == PingReq()
        assert trio.current_time() - start == pytest.approx(3)


async def test_refusals(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5)) as (client, server), trio.open_nursery() as nursery:

        async def answer() -> None:
            assert await server.hears() == Publish("t", b"", 1, packet_id=1)
            await server.says(PubAck(1, Reason.NOT_AUTHORIZED, {"reason_string": "ask for it"}))
            assert await server.hears() == Subscribe(2, [Subscription("a", 1), Subscription("b", 2)])
            await server.says(SubAck(2, [Reason.GRANTED_QOS_1, Reason.QUOTA_EXCEEDED]))

        nursery.start_soon(answer)
        with pytest.raises(Refused, match=r"refuses a message to 't': not authorized \(ask for it\)"):
            await client.publish("t", b"", 1)
        with pytest.raises(Refused, match="a subscription to 'a', 'b': granted qos 1, quota exceeded") as caught:
            await client.subscribe("a", Subscription("b", 2), qos=1)
        assert caught.value.reasons == [Reason.GRANTED_QOS_1, Reason.QUOTA_EXCEEDED]
        with pytest.raises(Unencodable):
            await client.publish("a/#")


async def test_everybody_who_waits_hears_of_the_end(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5)) as (client, server), trio.open_nursery() as nursery:

        async def publishes() -> None:
            with pytest.raises(ConnectionLost, match=r"the server disconnects: server busy \(later\)") as caught:
                await client.publish("t", b"", 1)
            assert caught.value.reason is Reason.SERVER_BUSY

        async def iterates() -> None:
            with pytest.raises(ConnectionLost):
                async for _ in client.messages:
                    pass

        nursery.start_soon(publishes)
        nursery.start_soon(iterates)
        await server.hears()
        await server.says(Disconnect(Reason.SERVER_BUSY, {"reason_string": "later"}))
        assert await server.hears() is None


async def test_a_server_that_breaks_the_protocol_is_told_so(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5)) as (client, server):
        await server.says(PingResp(), Publish("", properties={"topic_alias": 99}))
        assert await server.hears() == Disconnect(Reason.TOPIC_ALIAS_INVALID)
        assert await server.hears() is None
        with pytest.raises(ConnectionLost, match="the server breaks the protocol: topic alias 99") as caught:
            await client.receive()
        assert caught.value.reason is Reason.TOPIC_ALIAS_INVALID


async def test_what_had_arrived_is_given_out_after_the_end_too(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5)) as (client, server):
        await server.says(Publish("a"), Publish("b", b"", 2, packet_id=3))
        await server.stream.aclose()
        await client.lost.wait()
        assert (await client.receive()).topic == "a"
        assert (await client.receive()).topic == "b"
        with pytest.raises(ConnectionLost, match="closed the connection"):
            await client.receive()


async def test_acknowledged_when_taken(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5)) as (client, server):
        await server.says(Publish("a", b"", 1, packet_id=1), Publish("b", b"", 2, packet_id=2))
        await trio.testing.wait_all_tasks_blocked()
        await client.publish("first")
        assert await server.hears() == Publish("first")
        await client.receive()
        assert await server.hears() == PubAck(1)
        await client.receive()
        assert await server.hears() == PubRec(2)


async def test_acknowledged_by_hand(autojump_clock: MockClock) -> None:
    async with talking(Connect(V5), manual=True) as (client, server):
        await server.says(Publish("a", b"", 1, packet_id=1))
        message = await client.receive()
        await client.publish("first")
        assert await server.hears() == Publish("first")
        client.acknowledge(message)
        assert await server.hears() == PubAck(1)


async def test_a_full_inbox_stops_reading(autojump_clock: MockClock) -> None:
    """The bytes then wait in the stream, and at last the server notices."""
    async with talking(Connect(V311), limits=ClientLimits(inbox=5)) as (client, server):
        for number in range(50):
            await server.says(Publish("t", bytes([number])))
            await trio.testing.wait_all_tasks_blocked()
        assert len(client._inbox) == 5
        got = [(await client.receive()).payload[0] for _ in range(50)]
        assert got == list(range(50))
        assert client.dropped == 0


async def test_who_waits_for_an_answer_gets_it_past_a_full_inbox(autojump_clock: MockClock) -> None:
    async with (
        talking(Connect(V311), limits=ClientLimits(inbox=5)) as (client, server),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.publish, "t", b"", 1)
        assert isinstance(await server.hears(), Publish)
        for number in range(100):
            await server.says(Publish("t", bytes([number])))
            await trio.testing.wait_all_tasks_blocked()
        await server.says(PubAck(1))
        await trio.testing.wait_all_tasks_blocked()
        got = [(await client.receive()).payload[0] for _ in range(50)]
        assert got == list(range(50))
        assert client.dropped == 50


async def test_who_asks_with_a_full_inbox_is_answered(autojump_clock: MockClock) -> None:
    async with (
        talking(Connect(V311), limits=ClientLimits(inbox=5)) as (client, server),
        trio.open_nursery() as nursery,
    ):
        for number in range(20):
            await server.says(Publish("t", bytes([number])))
            await trio.testing.wait_all_tasks_blocked()

        async def answer() -> None:
            assert isinstance(await server.hears(), Publish)
            await server.says(PubAck(1))

        nursery.start_soon(answer)
        with trio.fail_after(5):
            await client.publish("t", b"", 1)


async def test_the_four_packets_of_qos_2(autojump_clock: MockClock) -> None:
    async with talking(Connect(V311)) as (client, server), trio.open_nursery() as nursery:

        async def answer() -> None:
            assert await server.hears() == Publish("t", b"", 2, packet_id=1)
            await server.says(PubRec(1))
            assert await server.hears() == PubRel(1)
            await server.says(PubComp(1))

        nursery.start_soon(answer)
        with trio.fail_after(5):
            await client.publish("t", b"", 2)


async def test_a_server_that_sends_too_far_ahead(autojump_clock: MockClock) -> None:
    async with (
        talking(Connect(V311), limits=ClientLimits(inbox=5, unacknowledged=20)) as (client, server),
        trio.open_nursery() as nursery,
    ):

        async def waits() -> None:
            with pytest.raises(ConnectionLost, match="more than 20 messages ahead"):
                await client.publish("t", b"", 1)

        nursery.start_soon(waits)
        await server.says(*[Publish("t", b"", 1, packet_id=number) for number in range(1, 22)])


async def test_a_publisher_that_is_faster_than_the_network_waits(autojump_clock: MockClock) -> None:
    near, far = trio.testing.lockstep_stream_pair()
    server = Server(far)
    sent = 0
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            nonlocal sent
            async with connect_stream(near, Connect(V5)) as client:
                for _ in range(10):
                    await client.publish("t", bytes(40_000))
                    sent += 1

        nursery.start_soon(client)
        await server.hears()
        await server.says(ConnAck())
        await trio.testing.wait_all_tasks_blocked()
        assert sent <= 3
        while await server.hears() is not None:
            pass
    assert sent == 10


async def test_a_cancelled_publish_goes_on_without_its_caller(autojump_clock: MockClock) -> None:
    session = Session()
    near, far = trio.testing.memory_stream_pair()
    server = Server(far)
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            await server.hears()
            await server.says(ConnAck())

        nursery.start_soon(answer)
        async with connect_stream(near, Connect(V5), session=session) as client:
            with trio.move_on_after(1):
                await client.publish("t", b"", 1)
            assert list(session.outgoing) == [1]
            await server.says(PubAck(1))
            await trio.testing.wait_all_tasks_blocked()
            assert not session.outgoing
