"""``$SYS`` beside mosquitto's own."""

from __future__ import annotations

import trio

from mqtt.broker import Config, serve
from mqtt.client import connect
from mqtt.listeners import Listener
from mqtt.packets import Connect, Version

from .conftest import Mosquitto

NOT_OURS = {"heap/", "messages/received", "messages/sent", "publish/bytes/", "load/messages/"}
"""Memory of the C library; packets of every kind; bytes of payload alone."""


async def topics_of(address: tuple[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    async with connect(address, Connect(Version.V311, "")) as client:
        await client.subscribe("$SYS/#", "end")
        await client.publish("end")
        while (message := await client.receive()).topic != "end":
            assert message.retain
            found[message.topic.removeprefix("$SYS/broker/")] = message.payload.decode()
    return found


async def test_what_mosquitto_tells_we_tell_too(mosquitto: Mosquitto, nursery: trio.Nursery) -> None:
    broker = await nursery.start(serve, Config([Listener(port=0)], version="edgecore 1.2"))
    with trio.fail_after(20):
        theirs = await topics_of(mosquitto.plain)
        ours = await topics_of(("127.0.0.1", broker.ports[0]))
    assert len(theirs) > 40
    assert {name for name in theirs if name not in ours and not name.startswith(tuple(NOT_OURS))} == set()
    assert ours["version"] == "edgecore 1.2"
    assert {name for name in theirs if theirs[name].isdigit()} & ours.keys() <= {name for name in ours if ours[name].isdigit()}


async def test_sys_is_told_from_time_to_time_or_never(nursery: trio.Nursery) -> None:
    often = await nursery.start(serve, Config([Listener(port=0)], sys_interval=0.05))
    async with connect(("127.0.0.1", often.ports[0]), Connect(Version.V5, "")) as client:
        await client.subscribe("$SYS/broker/clients/connected")
        with trio.fail_after(10):
            while (await client.receive()).payload != b"1":
                pass
    never = await nursery.start(serve, Config([Listener(port=0)], sys_interval=0))
    assert await topics_of(("127.0.0.1", never.ports[0])) == {}
