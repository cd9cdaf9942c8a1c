from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from beehive.message import Message, build, respond
from edgecore.edgehub.outbox import Outbox
from edgecore.edgehub.pace import Pace
from edgecore.metamanager.client import Offline
from viaduct.link import LinkClosed, Peer


class Wire:
    """The end of a link in memory; ``gate`` holds back what is written."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gate = trio.Event()
        self.gate.set()
        self.told = trio.Event()
        self.told.set()
        self.broken = False

    @property
    def peer(self) -> Peer:
        return Peer()

    async def send(self, message: Message) -> None:
        await self.gate.wait()
        if self.broken:
            raise LinkClosed("broken")
        self.sent.append(message)

    async def reached(self) -> None:
        await self.told.wait()

    async def receive(self) -> Message:
        await trio.sleep_forever()
        raise AssertionError

    async def aclose(self, reason: str = "") -> None:
        self.broken = True


def request(name: str = "x", content: object = None) -> Message:
    return build(source="edged", group="meta", operation="update", resource=f"ns/lease/{name}", content=content)


async def opened(nursery: trio.Nursery, outbox: Outbox, wire: Wire) -> None:
    up = trio.Event()
    nursery.start_soon(lambda: outbox.serve(wire, on_open=up.set))
    await up.wait()


async def asked(outbox: Outbox, results: list[object], message: Message, key: object = None, timeout: float = 60.0) -> None:
    try:
        results.append(await outbox.request(message, newest_wins=key, timeout=timeout))
    except Offline as error:
        results.append(str(error))


async def test_without_a_link_it_fails_at_once(autojump_clock: MockClock) -> None:
    with pytest.raises(Offline, match="no link"):
        await Outbox().request(request(), timeout=60)
    assert trio.current_time() == 0 or autojump_clock.current_time() < 1
    assert not Outbox().post(request())


async def test_answers_find_their_askers_whatever_their_order(nursery: trio.Nursery) -> None:
    outbox, wire, results = Outbox(), Wire(), list[object]()
    await opened(nursery, outbox, wire)
    first, second = request("a"), request("b")
    nursery.start_soon(asked, outbox, results, first)
    nursery.start_soon(asked, outbox, results, second)
    await wait_all_tasks_blocked()
    answers = {message.resource: respond(message, message.resource) for message in wire.sent}
    assert outbox.resolve(answers["ns/lease/b"])
    await wait_all_tasks_blocked()
    assert outbox.resolve(answers["ns/lease/a"])
    await wait_all_tasks_blocked()
    assert results == [answers["ns/lease/b"], answers["ns/lease/a"]]
    assert not outbox.resolve(answers["ns/lease/a"])
    assert outbox.late_answers == 1


async def test_of_unsent_requests_the_newest_wins_and_answers_for_all(nursery: trio.Nursery) -> None:
    outbox, wire, results = Outbox(), Wire(), list[object]()
    await opened(nursery, outbox, wire)
    for number in range(4):
        nursery.start_soon(asked, outbox, results, request("x", number), "lease")
        await wait_all_tasks_blocked()
    assert [bytes(message.content) for message in wire.sent] == [b"0"]
    outbox.resolve(respond(wire.sent[0], "first"))
    await wait_all_tasks_blocked()
    assert [bytes(message.content) for message in wire.sent] == [b"0", b"3"]
    last = respond(wire.sent[1], "last")
    outbox.resolve(last)
    await wait_all_tasks_blocked()
    assert results[1:] == [last, last, last]


async def test_when_the_link_breaks_everybody_hears_of_it(nursery: trio.Nursery) -> None:
    outbox, wire, results = Outbox(), Wire(), list[object]()
    async with trio.open_nursery() as inner:
        await opened(inner, outbox, wire)
        for key in ("a", "a", "a", "b"):
            nursery.start_soon(asked, outbox, results, request(key), key)
            await wait_all_tasks_blocked()
        outbox.post(request())
        inner.cancel_scope.cancel()
    await wait_all_tasks_blocked()
    assert len(results) == 4
    assert all("the link to the cloud broke" in str(result) for result in results)
    assert not outbox.connected


async def test_an_unanswered_request_times_out_and_frees_its_key(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    outbox, wire, results = Outbox(), Wire(), list[object]()
    await opened(nursery, outbox, wire)
    await asked(outbox, results, request("x", 1), "lease", 5.0)
    assert "did not answer within 5 s" in str(results[0])
    nursery.start_soon(asked, outbox, results, request("x", 2), "lease", 5.0)
    await wait_all_tasks_blocked()
    assert len(wire.sent) == 2


async def test_a_cancelled_asker_leaves_nothing_behind(nursery: trio.Nursery) -> None:
    outbox, wire, results = Outbox(), Wire(), list[object]()
    await opened(nursery, outbox, wire)
    for _ in range(3):
        async with trio.open_nursery() as inner:
            inner.start_soon(asked, outbox, results, request(), "k")
            await wait_all_tasks_blocked()
            inner.cancel_scope.cancel()
    nursery.start_soon(asked, outbox, results, request(), "k")
    await wait_all_tasks_blocked()
    assert outbox.resolve(respond(wire.sent[-1], "OK"))


async def test_acknowledgements_do_not_wait_for_the_pace(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    outbox, wire = Outbox(qps=1, burst=1), Wire()
    await opened(nursery, outbox, wire)
    start = trio.current_time()
    for _ in range(100):
        await outbox.acknowledge(request())
    await wait_all_tasks_blocked()
    assert len(wire.sent) == 100
    assert trio.current_time() == start
    await outbox.refuse(request(), "disk full")
    await wait_all_tasks_blocked()
    assert (wire.sent[-1].operation, bytes(wire.sent[-1].content)) == ("error", b'"disk full"')


async def test_events_are_bounded(nursery: trio.Nursery) -> None:
    outbox, wire = Outbox(), Wire()
    wire.gate = trio.Event()
    await opened(nursery, outbox, wire)
    taken = sum(outbox.post(request()) for _ in range(2000))
    assert taken == 1024
    assert outbox.dropped_events == 976


@pytest.mark.parametrize(
    ("rate", "burst", "count", "last"), [(10, 5, 5, 0.0), (10, 5, 15, 1.0), (0, 5, 1000, 0.0), (10, 0, 2, 0.1)]
)
def test_pace(rate: float, burst: int, count: int, last: float) -> None:
    pace = Pace(rate, burst)
    assert [pace.reserve(0.0) for _ in range(count)][-1] == pytest.approx(last)


def test_pace_recovers() -> None:
    pace = Pace(10, 5)
    for _ in range(5):
        pace.reserve(0.0)
    assert pace.reserve(100.0) == 0.0


async def arrivals(outbox: Outbox, said: list[str], *names: str) -> None:
    """Sends and notes what becomes of it."""
    for name, sending in [(name, outbox.send(request(name))) for name in names]:
        try:
            await sending.arrived()
            said.append(name)
        except Offline:
            said.append(f"{name} lost")


async def test_what_is_sent_has_arrived_when_the_other_end_says_so(nursery: trio.Nursery) -> None:
    outbox, wire, said = Outbox(), Wire(), list[str]()
    await opened(nursery, outbox, wire)
    wire.told = trio.Event()
    nursery.start_soon(arrivals, outbox, said, "a", "b")
    await wait_all_tasks_blocked()
    assert [message.resource for message in wire.sent] == ["ns/lease/a", "ns/lease/b"]
    assert said == []
    wire.told.set()
    await wait_all_tasks_blocked()
    assert said == ["a", "b"]


async def test_what_was_only_written_when_the_link_broke_is_not_said_to_have_arrived() -> None:
    outbox, wire, said = Outbox(), Wire(), list[str]()
    wire.told = trio.Event()
    async with trio.open_nursery() as outer, trio.open_nursery() as nursery:
        await opened(nursery, outbox, wire)
        outer.start_soon(arrivals, outbox, said, "a")
        await wait_all_tasks_blocked()
        assert len(wire.sent) == 1
        wire.gate = trio.Event()
        outer.start_soon(arrivals, outbox, said, "b")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sorted(said) == ["a lost", "b lost"]
    assert outbox.dropped_events == 0
    with pytest.raises(Offline):
        outbox.send(request("c"))
