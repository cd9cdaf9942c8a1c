"""One session over a link in memory, on a clock of its own."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from beehive.message import Message, acknowledge, build
from cloudcore.cloudhub.session import Session
from cloudcore.cloudhub.window import RESEND
from viaduct.link import LinkClosed, MessageTooBig, Peer

POD = build(source="edgecontroller", group="resource", operation="insert", resource="default/pod/web", content={})
KEEPALIVE = build(source="websocket", group="resource", operation="keepalive", resource="node", content="ping")


class MemoryLink:
    """``say`` is what the node sends; ``sent`` what it gets, with the time."""

    def __init__(self) -> None:
        self.peer = Peer(node="edge-1")
        self.sent: list[tuple[float, Message]] = []
        self.too_big: set[str] = set()
        self.closed = ""
        self._in, self._out = trio.open_memory_channel[Message](10)

    async def say(self, message: Message) -> None:
        await self._in.send(message)

    async def send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        if message.resource in self.too_big:
            raise MessageTooBig(f"{message.resource} is too big")
        self.sent.append((trio.current_time(), message))

    async def receive(self) -> Message:
        try:
            return await self._out.receive()
        except trio.EndOfChannel:
            raise LinkClosed("hung up") from None

    async def aclose(self, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()
        self.closed = reason

    def hang_up(self) -> None:
        self._in.close()


class Controllers:
    """Both directions: nothing to tell by itself, nothing to answer; remembers what was acknowledged."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.attached = trio.Event()

    def attach(self, node: str, put: Any, certificate: str) -> Any:
        self.put = put
        self.attached.set()
        return self

    def detach(self, feed: Any) -> None:
        pass

    async def run(self) -> str:
        await trio.sleep_forever()
        return ""

    def acknowledged(self, note: Any) -> None:
        self.notes.append(note)

    async def handle(self, node: str, message: Message) -> Message | None:
        return None

    def overloaded(self, message: Message) -> Message | None:
        return None


async def test_what_is_not_acknowledged_comes_again_with_the_same_id(autojump_clock: trio.testing.MockClock) -> None:
    link, controllers = MemoryLink(), Controllers()
    session = Session(link, controllers, keepalive=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run, controllers)
        await controllers.attached.wait()
        start = trio.current_time()
        controllers.put("default/pod/web", POD, "note")
        await trio.sleep(2 * RESEND + 1)
        assert [moment - start for moment, _ in link.sent] == [0, RESEND, 2 * RESEND]
        assert {message.id for _, message in link.sent} == {POD.id}
        await link.say(acknowledge(POD))
        await trio.sleep(10 * RESEND)
        assert len(link.sent) == 3
        assert controllers.notes == ["note"]
        link.hang_up()
    assert link.closed == "hung up"


async def test_silence_ends_the_session_and_a_word_does_not(autojump_clock: trio.testing.MockClock) -> None:
    link, controllers = MemoryLink(), Controllers()
    session = Session(link, controllers, keepalive=30)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def speak() -> None:
            for _ in range(3):
                await trio.sleep(20)
                await link.say(KEEPALIVE)

        nursery.start_soon(speak)
        reason = await session.run(controllers)
    assert reason == "nothing heard from it for 30 s"
    assert trio.current_time() - start == 3 * 20 + 30


async def test_an_object_that_no_link_carries_does_not_hold_up_the_others(autojump_clock: trio.testing.MockClock) -> None:
    link, controllers = MemoryLink(), Controllers()
    link.too_big.add("default/configmap/huge")
    session = Session(link, controllers, keepalive=1000)
    huge = build(source="s", group="resource", operation="insert", resource="default/configmap/huge", content={})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run, controllers)
        await controllers.attached.wait()
        controllers.put("default/configmap/huge", huge, None)
        controllers.put("default/pod/web", POD, None)
        await trio.sleep(1)
        assert [message.resource for _, message in link.sent] == ["default/pod/web"]
        session.stop("enough")
    assert link.closed == "enough"
