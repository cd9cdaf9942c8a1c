from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from cloudcore.cloudhub.lanes import Lanes


async def test_order_per_key_and_concurrency_between_keys(autojump_clock) -> None:
    done: list[str] = []

    async def work(item: str) -> None:
        await trio.sleep({"a": 3, "b": 1}[item[0]])
        done.append(item)

    lanes: Lanes[str] = Lanes(work)
    async with trio.open_nursery() as nursery:
        for item in ("a1", "a2", "b1", "b2"):
            assert lanes.submit(nursery, item[0], item)
    assert done == ["b1", "b2", "a1", "a2"]


async def test_no_more_at_once_than_the_width(autojump_clock) -> None:
    running, most = 0, 0

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    lanes: Lanes[int] = Lanes(work, width=3)
    async with trio.open_nursery() as nursery:
        for item in range(10):
            lanes.submit(nursery, str(item), item)
    assert most == 3


async def test_the_backlog_is_bounded_and_frees_itself(autojump_clock) -> None:
    gate = trio.Event()
    done: list[int] = []

    async def work(item: int) -> None:
        await gate.wait()
        done.append(item)

    lanes: Lanes[int] = Lanes(work, width=1, backlog=2)
    async with trio.open_nursery() as nursery:
        assert lanes.submit(nursery, "x", 0)
        await wait_all_tasks_blocked()
        assert [lanes.submit(nursery, "x", item) for item in (1, 2, 3)] == [True, True, False]
        gate.set()
        await wait_all_tasks_blocked()
        assert lanes.submit(nursery, "x", 4)
    assert done == [0, 1, 2, 4]
