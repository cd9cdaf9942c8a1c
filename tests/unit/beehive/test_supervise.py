from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock

from beehive.backoff import Backoff
from beehive.supervise import Fatal, fatal_cause, supervise


def exact() -> Backoff:
    return Backoff(first=1, limit=8, jitter=0)


def test_backoff_doubles_up_to_its_limit_and_starts_again() -> None:
    delays = exact()
    assert [delays.next() for _ in range(6)] == [1, 2, 4, 8, 8, 8]
    delays.reset()
    assert delays.next() == 1


def test_jitter_spreads_within_its_bounds() -> None:
    delays = Backoff(first=10, limit=10, jitter=0.5, rng=random.Random(1))
    drawn = [delays.next() for _ in range(200)]
    assert min(drawn) >= 5
    assert max(drawn) <= 15
    assert len(set(drawn)) > 100


async def test_a_crashed_module_starts_again(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    starts: list[float] = []

    async def module() -> None:
        starts.append(trio.current_time())
        if len(starts) < 4:
            raise RuntimeError("boom")

    begin = trio.current_time()
    await supervise("m", module, backoff=exact())
    assert [start - begin for start in starts] == [0, 1, 3, 7]
    assert "module m crashed" in caplog.text


async def test_after_a_healthy_hour_the_back_off_is_short_again(autojump_clock: MockClock) -> None:
    starts: list[float] = []

    async def module() -> None:
        starts.append(trio.current_time())
        if len(starts) == 3:
            await trio.sleep(3600)
        if len(starts) < 5:
            raise RuntimeError("boom")

    await supervise("m", module, backoff=exact())
    assert starts[3] - starts[2] == 3601


async def test_fatal_ends_the_program_also_from_inside_groups() -> None:
    async def module() -> None:
        async with trio.open_nursery():
            raise Fatal("port 10000 is in use")

    with pytest.raises(ExceptionGroup) as caught:
        await supervise("m", module)
    assert str(fatal_cause(caught.value)) == "port 10000 is in use"


async def test_cancellation_stops_it(autojump_clock: MockClock) -> None:
    with trio.move_on_after(5) as scope:
        await supervise("m", trio.sleep_forever)
    assert scope.cancelled_caught
