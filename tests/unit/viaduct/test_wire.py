"""A wire with a peer in memory's place of a network: a socket pair, whose other end is slow, silent or gone."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from viaduct.wire import CHUNK, Wire, authority, peer_address


@pytest.fixture
def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    left, right = trio.socket.socketpair()
    for end in (left, right):
        end.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 4096)
    return trio.SocketStream(left), trio.SocketStream(right)


Pair = tuple[trio.SocketStream, trio.SocketStream]


async def test_a_slow_peer_is_not_a_stalled_one(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire(pair[0], write=10)
    data = bytes(range(256)) * (8 * CHUNK // 256)
    got = bytearray()

    async def slowly() -> None:
        while len(got) < len(data):
            await trio.sleep(0.001)
            got.extend(await pair[1].receive_some(CHUNK))
            if len(got) % (CHUNK // 4) == 0:
                await trio.sleep(0.1)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slowly)
        await wire.send_all(data)
    assert bytes(got) == data
    assert trio.current_time() - start < 8 * 10
    await wire.aclose()
    await pair[1].aclose()


async def test_a_stalled_peer_is_cut(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire(pair[0], write=10)
    start = trio.current_time()
    with pytest.raises(trio.BrokenResourceError, match="took no data for 10 s"):
        await wire.send_all(b"x" * 10_000_000)
    assert trio.current_time() - start == pytest.approx(10)
    assert wire.closed.is_set()
    assert isinstance(wire.failure, TimeoutError)
    await pair[1].aclose()


async def test_a_write_cancelled_half_way_ends_the_wire_one_before_its_start_does_not(pair: Pair) -> None:
    wire = Wire(pair[0], write=10)
    with trio.CancelScope() as before:
        before.cancel()
        await wire.send_all(b"never")
    assert not wire.closed.is_set()
    with trio.CancelScope() as half:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.send_all, b"x" * 10_000_000)
            await trio.testing.wait_all_tasks_blocked()
            half.cancel()
    assert wire.closed.is_set()
    await pair[1].aclose()


async def test_silence_counts_only_while_we_listen(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire(pair[0], write=10)
    await trio.sleep(100)
    assert wire.quiet() == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.receive_some, 10)
        await trio.sleep(7)
        assert wire.quiet() == pytest.approx(7)
        await pair[1].send_all(b"x")
    assert wire.quiet() == 0
    await wire.aclose()
    await pair[1].aclose()


async def test_cutting_wakes_a_reader(pair: Pair) -> None:
    wire = Wire(pair[0], write=10)
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await wire.receive_some(10)

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        wire.cut(ConnectionError("the first cause"))
        wire.cut(ConnectionError("a later one"))
    assert str(wire.failure) == "the first cause"
    await pair[1].aclose()


async def test_nobody_may_flood_before_he_is_known(pair: Pair) -> None:
    wire = Wire(pair[0], write=10, allowance=5)
    await pair[1].send_all(b"12345")
    assert await wire.receive_some(100) == b"12345"
    await pair[1].send_all(b"6")
    with pytest.raises(trio.BrokenResourceError, match="too much"):
        await wire.receive_some(100)
    assert wire.closed.is_set()
    await pair[1].aclose()


async def test_addresses(pair: Pair) -> None:
    assert authority("10.0.0.5", 10000) == "10.0.0.5:10000"
    assert authority("::1", 10000) == "[::1]:10000"
    for end in pair:
        await end.aclose()
    assert peer_address(pair[0]) == "a peer that is gone"
