"""Large objects are worked on beside the loop and beside the store: nobody else waits for them."""

from __future__ import annotations

import threading

import pytest
import trio

from cloudcore.apiserver import heavy
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.kinds import Kind
from kube.field_errors import FieldError
from kube.objects import Object
from kube.resources import CONFIG_MAPS
from kube.status import Conflict


class Slow(Kind):
    """A kind whose rules take until they are let go."""

    def __init__(self) -> None:
        super().__init__(CONFIG_MAPS)
        self.asked = 0
        self.go = threading.Event()

    def problems(self, obj: Object) -> list[FieldError]:
        self.asked += 1
        assert self.go.wait(20), "the loop is held up: nobody lets it go"
        return []


def body(**data: str) -> Object:
    return {"metadata": {"name": "big"}, "data": data}


async def asked(kind: Slow, times: int) -> None:
    while kind.asked < times:
        await trio.sleep(0.01)


async def test_others_write_while_a_large_object_is_checked(api: Api) -> None:
    slow, plain = Slow(), api.registry.of(CONFIG_MAPS)
    large = body(a="x" * heavy.LARGE)
    async with trio.open_nursery() as nursery:

        async def make() -> None:
            await api.create(slow, "default", large, size=heavy.LARGE)

        nursery.start_soon(make)
        await asked(slow, 1)
        await api.create(plain, "default", {"metadata": {"name": "small"}})
        assert api.store.get(plain.key, "default", "big") is None
        slow.go.set()
    assert api.get(plain, "default", "big").obj["data"] == large["data"]


async def test_what_has_changed_meanwhile_is_not_overwritten(api: Api) -> None:
    slow, plain = Slow(), api.registry.of(CONFIG_MAPS)
    await api.create(plain, "default", body(a="x" * heavy.LARGE))

    def put(key: str) -> object:
        def change(present: Object) -> Object:
            present["data"][key] = "1"
            return present

        return change

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: api.update(slow, "default", "big", put("mine")))  # type: ignore[arg-type]
        await asked(slow, 1)
        await api.update(plain, "default", "big", put("theirs"))  # type: ignore[arg-type]
        slow.go.set()
    found = api.get(plain, "default", "big").obj["data"]
    assert (found["mine"], found["theirs"], slow.asked) == ("1", "1", 2)


async def test_who_is_always_too_late_is_told_so(api: Api) -> None:
    slow, plain = Slow(), api.registry.of(CONFIG_MAPS)
    await api.create(plain, "default", body(a="x" * heavy.LARGE))
    number = 0

    def count(present: Object) -> Object:
        present["data"]["count"] = str(number)
        return present

    def late(present: Object) -> Object:
        nonlocal number
        number += 1
        trio.from_thread.run(lambda: api.update(plain, "default", "big", count))
        return present

    slow.go.set()
    with pytest.raises(Conflict):
        await api.update(slow, "default", "big", late)
    assert api.get(plain, "default", "big").obj["data"]["count"] == "5"


async def test_who_stops_waits_for_none_of_it(api: Api) -> None:
    slow = Slow()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def make() -> None:
                await api.create(slow, "default", body(a="x"), size=heavy.LARGE)

            nursery.start_soon(make)
            await asked(slow, 1)
            scope.cancel()
    assert not slow.go.is_set()
    slow.go.set()
    assert api.store.get(slow.key, "default", "big") is None
