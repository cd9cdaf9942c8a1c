"""The clients that people use in Python, against our broker: TLS, password, will, retained, QoS 0 to 2, sessions, shared."""

from __future__ import annotations

import asyncio
import gc
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme
from ports import free_port

from edgecore import brokerfile
from edgecore.brokersetup import Setup
from mqtt.broker import serve
from mqtt.passwords import hashed

from .drivers import WILL, Aiomqtt, Door, Driver, Gmqtt, Got, Paho, Refused

# asyncio's transports are not closed by all of these libraries.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
async def door(tmp_path: Path, nursery: trio.Nursery) -> Door:
    """A broker that lets in one user, with TLS."""
    authority, port = trustme.CA(), free_port()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (tmp_path / "passwords").touch(0o600)
    (tmp_path / "passwords").write_text(f"ann:{hashed(b'secret', 101)}\n")
    (tmp_path / "conf").write_text(
        f"listener {port} 127.0.0.1\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.pem\n"
        f"password_file {tmp_path}/passwords\nallow_anonymous false\n"
    )
    await nursery.start(serve, Setup(brokerfile.load(tmp_path / "conf")).config)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Door(port, context, "ann", "secret")


async def story(kind: type[Driver], door: Door, *, five: bool) -> None:
    with pytest.raises(Refused):
        await kind(replace(door, password="wrong"), "liar", five=five).connect()

    writer = kind(door, "writer", five=five, will=True)
    stays = kind(door, "stays", five=five, stays=True)
    await writer.connect()
    await writer.publish("lamp", b"on", 1, retain=True)
    await stays.connect()
    await stays.subscribe("lamp", 1)
    assert await stays.receive() == Got("lamp", b"on", 1, True)
    await stays.subscribe("jobs/#", 2)
    await stays.subscribe(WILL[0], 1)
    for qos in (0, 1, 2):
        await writer.publish(f"jobs/{qos}", b"\x00\xff" * 5000, qos)
        assert await stays.receive() == Got(f"jobs/{qos}", b"\x00\xff" * 5000, qos, False)

    await stays.leave()
    for qos in (1, 2):
        await writer.publish(f"jobs/{qos}", b"meanwhile", qos)
    stays = kind(door, "stays", five=five, stays=True)
    await stays.connect()
    for qos in (1, 2):
        assert await stays.receive() == Got(f"jobs/{qos}", b"meanwhile", qos, False)

    if five:
        await writer.publish("jobs/5", b"", 1, user=True)
        assert await stays.receive() == Got("jobs/5", b"", 1, False, (("k", "v"),))
        others = [kind(door, f"worker-{each}", five=True) for each in range(2)]
        for each in others:
            await each.connect()
            await each.subscribe("$share/all/work/#", 1)
        for number in range(2):
            await writer.publish(f"work/{number}", b"%d" % number, 1)
        assert {(await each.receive()).payload for each in others} == {b"0", b"1"}
        for each in others:
            await each.leave()

    await writer.vanish()
    assert await stays.receive() == Got(*WILL, 1, False)
    await stays.leave()


@pytest.mark.parametrize("five", [False, True], ids=["3.1.1", "5.0"])
@pytest.mark.parametrize("kind", [Paho, Aiomqtt, Gmqtt])
async def test_the_story(door: Door, kind: type[Driver], five: bool) -> None:
    with trio.fail_after(60):
        await trio.to_thread.run_sync(lambda: asyncio.run(story(kind, door, five=five)))
    gc.collect()  # while their warnings do not count
