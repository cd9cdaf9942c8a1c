from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from kube.throttle import Throttle, is_heartbeat


async def test_a_burst_passes_at_once_and_then_the_rate_holds(autojump_clock: MockClock) -> None:
    throttle = Throttle(10, 5)
    start = trio.current_time()
    for _ in range(5):
        await throttle.take()
    assert trio.current_time() == start
    for _ in range(20):
        await throttle.take()
    assert trio.current_time() - start == pytest.approx(2.0, abs=0.1)


async def test_heartbeats_do_not_wait_behind_a_storm(autojump_clock: MockClock) -> None:
    throttle = Throttle(10, 10)
    left: list[str] = []

    async def send(name: str, *, urgent: bool = False) -> None:
        await throttle.take(urgent=urgent)
        left.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(send, f"pod-{number}")
        await trio.sleep(1)
        sent = len(left)
        start = trio.current_time()
        for number in range(5):
            await send(f"lease-{number}", urgent=True)
        assert trio.current_time() == start
        assert [name for name in left[sent:] if name.startswith("lease")] == [f"lease-{number}" for number in range(5)]
    assert trio.current_time() - start == pytest.approx((105 - 10) / 10 - 1, abs=0.5)


async def test_one_that_is_cancelled_while_it_waits_costs_nothing(autojump_clock: MockClock) -> None:
    throttle = Throttle(1, 1)
    await throttle.take()
    with trio.move_on_after(0.5):
        await throttle.take()
    start = trio.current_time()
    await throttle.take()
    assert trio.current_time() - start == pytest.approx(0.5, abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans()), max_size=60), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_no_window_sees_more_than_it_may(arrivals: list[tuple[float, bool]], rate: int, burst: int) -> None:
    left: list[float] = []

    async def send(throttle: Throttle, *, urgent: bool) -> None:
        await throttle.take(urgent=urgent)
        left.append(trio.current_time())

    async def main() -> None:
        throttle = Throttle(rate, burst)
        async with trio.open_nursery() as nursery:
            for pause, urgent in arrivals:
                await trio.sleep(pause)
                nursery.start_soon(lambda urgent=urgent: send(throttle, urgent=urgent))  # type: ignore[misc]

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(left) == len(arrivals)
    for begin in range(len(left)):
        for end in range(begin, len(left)):
            assert end - begin + 1 <= (left[end] - left[begin]) * rate + burst * 1.5 + 1.001


@pytest.mark.parametrize(
    ("path", "urgent"),
    [
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/edge-1", True),
        ("/api/v1/nodes/edge-1/status", True),
        ("/api/v1/nodes/edge-1", False),
        ("/api/v1/nodes", False),
        ("/api/v1/namespaces/default/pods/web/status", False),
    ],
)
def test_what_is_a_heartbeat(path: str, urgent: bool) -> None:
    assert is_heartbeat(path) is urgent


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_nonsense_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="a rate above 0"):
        Throttle(rate, burst)
