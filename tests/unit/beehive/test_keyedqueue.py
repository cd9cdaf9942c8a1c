from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beehive.keyedqueue import KeyedQueue


async def test_the_newest_value_of_a_key_wins_and_keeps_its_place() -> None:
    queue: KeyedQueue[str, int] = KeyedQueue()
    queue.put("a", 1)
    queue.put("b", 2)
    queue.put("a", 3)
    assert [await queue.get(), await queue.get()] == [("a", 3), ("b", 2)]
    assert queue.replaced == 1


async def test_a_key_in_work_is_not_handed_out_twice() -> None:
    queue: KeyedQueue[str, int] = KeyedQueue()
    queue.put("a", 1)
    async with queue.take() as (key, value):
        assert (key, value) == ("a", 1)
        queue.put("a", 2)
        with pytest.raises(trio.WouldBlock):
            queue.get_nowait()
    assert await queue.get() == ("a", 2)


async def test_get_waits_until_something_comes(autojump_clock: trio.testing.MockClock) -> None:
    queue: KeyedQueue[str, int] = KeyedQueue()
    got: list[tuple[str, int]] = []

    async def worker() -> None:
        async with queue.take() as item:
            got.append(item)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        nursery.start_soon(worker)
        await trio.sleep(1)
        queue.put("x", 1)
        await trio.sleep(1)
        assert got == [("x", 1)]
        queue.put("y", 2)
    assert got == [("x", 1), ("y", 2)]


async def test_a_cancelled_get_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    queue: KeyedQueue[str, int] = KeyedQueue()
    with trio.move_on_after(1):
        await queue.get()
    queue.put("a", 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await queue.get()
    assert scope.cancelled_caught
    assert queue.get_nowait() == ("a", 1)


class Model(RuleBasedStateMachine):
    """Against the obvious model: a dictionary of newest values and a set of keys in work."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: KeyedQueue[int, int] = KeyedQueue()
        self.newest: dict[int, int] = {}
        self.working: set[int] = set()

    @rule(key=st.integers(0, 4), value=st.integers())
    def put(self, key: int, value: int) -> None:
        self.queue.put(key, value)
        self.newest[key] = value

    @rule()
    def get(self) -> None:
        ready = {key for key in self.newest if key not in self.working}
        try:
            key, value = self.queue.get_nowait()
        except trio.WouldBlock:
            assert not ready
            return
        assert key in ready
        assert self.newest.pop(key) == value
        self.working.add(key)

    @rule(key=st.integers(0, 4))
    def done(self, key: int) -> None:
        self.queue.done(key)
        self.working.discard(key)

    @rule(key=st.integers(0, 4))
    def discard(self, key: int) -> None:
        self.queue.discard(key)
        self.newest.pop(key, None)

    @invariant()
    def same_keys(self) -> None:
        assert len(self.queue) == len(self.newest)
        assert all(key in self.queue and self.queue.peek(key) == value for key, value in self.newest.items())


TestModel = Model.TestCase


@given(st.lists(st.tuples(st.integers(0, 3), st.integers())))
def test_never_longer_than_the_number_of_keys(puts: list[tuple[int, int]]) -> None:
    queue: KeyedQueue[int, int] = KeyedQueue()
    for key, value in puts:
        queue.put(key, value)
    assert len(queue) == len({key for key, _ in puts})
