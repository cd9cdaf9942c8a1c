"""Uploads over links that come, are slow, and go."""

from __future__ import annotations

from collections import deque

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from beehive.message import Message
from edgecore.edgehub.outbox import Outbox
from edgecore.eventbus.uplink import Uplink
from mqtt.packets import Publish
from mqtt.properties import Properties
from viaduct.link import LinkClosed, MessageTooBig, Peer


class Inbox:
    """Has ``left`` messages, numbered."""

    def __init__(self, left: int, topic: str = "a/user/b") -> None:
        self.messages = deque(Publish(topic, str(number).encode(), 1, packet_id=number + 1) for number in range(left))
        self.taken = 0
        self.acknowledged: list[int] = []

    async def receive(self) -> Publish:
        await trio.lowlevel.checkpoint()
        if not self.messages:
            await trio.sleep_forever()
        self.taken += 1
        return self.messages.popleft()

    def acknowledge(self, message: Publish) -> None:
        self.acknowledged.append(int(message.payload))

    async def publish(
        self, topic: str, payload: bytes = b"", qos: int = 0, *, retain: bool = False, properties: Properties | None = None
    ) -> None:
        raise NotImplementedError

    async def subscribe(self, *filters: str, qos: int = 1, own: bool = False) -> None:
        raise NotImplementedError

    async def unsubscribe(self, *filters: str) -> None:
        raise NotImplementedError


class Wire:
    """A link that takes messages when ``gate`` is open, and says that they have arrived when ``told`` is set."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.gate, self.told = trio.Event(), trio.Event()
        self.gate.set()
        self.told.set()
        self.too_big: set[int] = set()
        self.peer = Peer()

    async def send(self, message: Message) -> None:
        await self.gate.wait()
        number = int(message.decode(str))
        if number in self.too_big:
            raise MessageTooBig("too big")
        self.sent.append(number)

    async def reached(self) -> None:
        await trio.lowlevel.checkpoint()
        await self.told.wait()

    async def receive(self) -> Message:
        raise LinkClosed("not here")

    async def aclose(self, reason: str = "") -> None:
        return


async def link(outbox: Outbox, uplink: Uplink, wire: Wire, nursery: trio.Nursery) -> trio.CancelScope:
    """A link is up until the scope is cancelled."""
    scope = trio.CancelScope()
    up = trio.Event()

    async def serve() -> None:
        try:
            with scope:
                await outbox.serve(wire, on_open=up.set)
        finally:
            uplink.on_connection(False)

    nursery.start_soon(serve)
    await up.wait()
    uplink.on_connection(True)
    return scope


async def test_only_so_many_are_on_their_way(nursery: trio.Nursery) -> None:
    outbox, inbox, wire = Outbox(qps=0), Inbox(5000), Wire()
    uplink = Uplink(outbox)
    nursery.start_soon(uplink.run, inbox)
    await wait_all_tasks_blocked()
    assert inbox.taken == 0, "nothing is taken without a link"
    wire.told = trio.Event()
    await link(outbox, uplink, wire, nursery)
    await wait_all_tasks_blocked()
    assert inbox.taken == 200
    assert inbox.acknowledged == []
    wire.told.set()
    await wait_all_tasks_blocked()
    assert wire.sent == inbox.acknowledged == list(range(5000))
    assert uplink.sent == 5000


async def test_what_a_link_has_not_confirmed_goes_over_the_next(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    outbox, inbox, first, second = Outbox(qps=0), Inbox(10), Wire(), Wire()
    uplink = Uplink(outbox)
    nursery.start_soon(uplink.run, inbox)
    first.told = trio.Event()
    scope = await link(outbox, uplink, first, nursery)
    await wait_all_tasks_blocked()
    assert first.sent == list(range(10))
    scope.cancel()
    await wait_all_tasks_blocked()
    assert inbox.acknowledged == []
    await link(outbox, uplink, second, nursery)
    await trio.sleep(5)
    assert second.sent == inbox.acknowledged == list(range(10))


async def test_what_no_link_can_carry_does_not_hold_up_the_rest(nursery: trio.Nursery) -> None:
    outbox, inbox, wire = Outbox(qps=0), Inbox(5), Wire()
    uplink = Uplink(outbox)
    wire.too_big = {2}
    nursery.start_soon(uplink.run, inbox)
    await link(outbox, uplink, wire, nursery)
    await wait_all_tasks_blocked()
    assert wire.sent == [0, 1, 3, 4]
    assert inbox.acknowledged == [0, 1, 2, 3, 4]
    assert (uplink.sent, uplink.dropped) == (4, 1)


async def test_what_is_for_the_twin_does_not_go_up(nursery: trio.Nursery) -> None:
    outbox, inbox, wire = Outbox(qps=0), Inbox(3, "$hw/events/device/default/thermo/twin/update"), Wire()
    uplink = Uplink(outbox)
    nursery.start_soon(uplink.run, inbox)
    await link(outbox, uplink, wire, nursery)
    await wait_all_tasks_blocked()
    assert (wire.sent, inbox.acknowledged) == ([], [0, 1, 2])
