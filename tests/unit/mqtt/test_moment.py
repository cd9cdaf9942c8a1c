"""Waiting for sockets a moment longer: what ends it, and that trio is built as it expects."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mqtt.moment import MOMENT, Moment, moment


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def own(pair: tuple[socket.socket, socket.socket]) -> Iterator[select.epoll]:
    """A poll of one socket, as the broker's."""
    with select.epoll() as poll:
        poll.register(pair[0].fileno(), select.EPOLLIN)
        yield poll


def _of(own: select.epoll) -> Moment:
    found = moment(own.fileno())
    assert found is not None, "trio is built otherwise than mqtt.moment knows: the broker works, but takes twice the CPU"
    return found


async def test_what_is_ready_already_is_seen(own: select.epoll, pair: tuple[socket.socket, socket.socket]) -> None:
    here = _of(own)
    pair[1].send(b"x")
    assert here.wait()
    here.close()


async def test_nothing_comes_in_a_moment(own: select.epoll) -> None:
    here = _of(own)
    assert not here.wait()
    here.close()


async def test_a_task_that_can_run_comes_first(
    own: select.epoll, pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    here = _of(own)
    pair[1].send(b"x")
    nursery.start_soon(trio.lowlevel.checkpoint)
    assert not here.wait()
    here.close()


async def test_other_sockets_of_the_program_and_threads_come_first(
    own: select.epoll, pair: tuple[socket.socket, socket.socket], nursery: trio.Nursery
) -> None:
    here = _of(own)
    other, end = socket.socketpair()
    with other, end:
        nursery.start_soon(trio.lowlevel.wait_readable, other.fileno())
        await wait_all_tasks_blocked()
        pair[1].send(b"x")
        assert here.wait()
        end.send(b"x")
        assert not here.wait()
        await wait_all_tasks_blocked()
        trio.lowlevel.current_trio_token().run_sync_soon(int)
        assert not here.wait()
    here.close()


async def test_the_broker_may_stand_in_trios_poll_as_well(own: select.epoll, pair: tuple[socket.socket, socket.socket]) -> None:
    here = _of(own)
    for _ in range(3):
        pair[1].send(b"x")
        await trio.lowlevel.wait_readable(own.fileno())
        assert here.wait()
        pair[0].recv(10)
        assert not here.wait()
    here.close()


async def test_another_trio_is_gone_through_each_time(own: select.epoll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqtt.moment.trio", object())
    assert moment(own.fileno()) is None


async def test_a_deadline_that_is_near_forbids_it(own: select.epoll, nursery: trio.Nursery, mock_clock: MockClock) -> None:
    here = _of(own)
    now = trio.current_time()
    assert here.free(now)
    nursery.start_soon(trio.sleep, 1.0)
    await wait_all_tasks_blocked()
    assert here.free(now + 1.0 - 2 * MOMENT)
    assert not here.free(now + 1.0 - MOMENT / 2)
    mock_clock.jump(2.0)
    here.close()
