"""The event bus without the rest of the edge: the way to the device twin, its broker's own file, filters that are refused."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from brokers.external import Mosquitto
from ports import free_port

from edgecore.edgehub.outbox import Outbox
from edgecore.eventbus.eventbus import EventBus, Front, TwinMessage
from edgecore.eventbus.outgoing import Outgoing
from edgecore.eventbus.settings import BusSettings, External
from edgecore.store import Store
from mqtt.access import Identity
from mqtt.broker import Broker, Config, serve
from mqtt.client import Client, ConnectFailed, ConnectionLost, connect
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.local import Closed, Inside, LocalBroker
from mqtt.packets import Connect
from mqtt.topics import TopicError

PASSWORD = "me:$7$101$X75AjmTQpMgD1rpH$PI9QyNJH2SpG49gJSaFOlecGmOQaiqQjp3ZHdVZGxH9ZG2gDDRUPiiinzl3A6/nLqTKtcM/hXLWRs6bwzuVM1g==\n"
"""User ``me``, password ``secret``."""


@pytest.fixture
def settings(tmp_path: Path) -> BusSettings:
    return BusSettings("edge-1", tmp_path / "mqtt.db", internal=Listener(port=free_port()))


@asynccontextmanager
async def running(
    settings: BusSettings, twin: trio.MemorySendChannel[TwinMessage] | None = None, front: Front | None = None
) -> AsyncIterator[EventBus]:
    store = Store(settings.journal.with_name("edgecore.db"))
    store.database.open()
    async with trio.open_nursery() as nursery:
        await nursery.start(store.database.run)
        bus = EventBus(settings, store, Outbox(), twin, front)
        nursery.start_soon(bus.run)
        with trio.fail_after(10):
            await bus.ready.wait()
        with trio.fail_after(30):
            yield bus
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def device(settings: BusSettings, **more: object) -> AsyncIterator[Client]:
    assert settings.internal is not None
    async with connect(("127.0.0.1", settings.internal.port), Connect(client_id="device", **more)) as client:  # type: ignore[arg-type]
        yield client


async def test_the_twin_hears_devices_in_order_and_again_what_it_did_not_finish(settings: BusSettings) -> None:
    topic = "$hw/events/device/default/thermo/twin/update"
    send, twin = trio.open_memory_channel[TwinMessage](10)
    async with running(settings, send) as bus, device(settings) as client:
        for number in range(5):
            await client.publish(topic, str(number).encode(), qos=1)
        await client.publish("$hw/events/device/default/thermo/twin/update/result", b"not this", qos=1)
        await client.publish("$hw/events/node/edge-1/membership/get", b"5", qos=0)
        got = [await twin.receive() for _ in range(6)]
        assert [each.payload for each in got] == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert got[0].topic == topic
        got[0].done()
        got[2].done()
        bus.twin_again()
        assert [(await twin.receive()).payload for _ in range(3)] == [b"1", b"3", b"4"]
    # A restart of everything.
    async with running(settings, send):
        again = [await twin.receive() for _ in range(3)]
        assert [each.payload for each in again] == [b"1", b"3", b"4"]
        for each in again:
            each.done()
    async with running(settings, send):
        with trio.move_on_after(0.2):
            pytest.fail(f"{await twin.receive()} came again")


async def test_answers_of_the_twin_reach_devices(settings: BusSettings) -> None:
    async with running(replace(settings, qos=1, retain=True)) as bus, device(settings) as client:
        await client.subscribe("$hw/#", qos=2)
        await bus.publish("$hw/events/device/default/thermo/twin/update/result", b"{}")
        message = await client.receive()
        assert (message.payload, message.qos) == (b"{}", 1)
        for wrong in ("", "a/#", "$SYS/x", "/".join("x" * 200)):
            with pytest.raises(TopicError):
                await bus.publish(wrong, b"")
    with pytest.raises(Closed):
        await bus.publish("t", b"")


async def test_users_and_rights_by_a_file_of_its_own(settings: BusSettings, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "passwords").write_text(PASSWORD)
    (tmp_path / "acl").write_text("user me\ntopic read allowed/#\n")
    (tmp_path / "passwords").chmod(0o600)
    (tmp_path / "acl").chmod(0o600)
    file = tmp_path / "broker.conf"
    file.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {tmp_path}/passwords\nacl_file {tmp_path}/acl\n"
    )
    settings = replace(settings, internal=Listener(port=port), broker_file=file)
    async with running(settings) as bus:
        with pytest.raises(ConnectFailed):
            async with device(settings):
                pass
        async with device(settings, username="me", password=b"secret") as client:
            await client.subscribe("allowed/#", qos=1)
            await bus.publish("allowed/x", b"1")
            assert (await client.receive()).payload == b"1"
        (tmp_path / "passwords").write_text("")
        os.kill(os.getpid(), signal.SIGHUP)
        with trio.fail_after(10):
            while True:
                try:
                    async with device(settings, username="me", password=b"secret"):
                        await trio.sleep(0.01)
                except ConnectFailed:
                    break


async def test_a_sighup_while_the_broker_starts_is_not_forgotten(settings: BusSettings, tmp_path: Path) -> None:
    port = free_port()
    file, passwords = tmp_path / "broker.conf", tmp_path / "passwords"
    passwords.write_text(PASSWORD)
    passwords.chmod(0o600)
    file.write_text(f"listener {port} 127.0.0.1\npassword_file {passwords}\n")
    settings = replace(settings, internal=Listener(port=port), broker_file=file)
    # The journal waits for who has it; the files have been read by then, and the port is open.
    other = sqlite3.connect(settings.journal, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    async def change() -> None:
        with trio.fail_after(10):
            while True:
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                except OSError:
                    await trio.sleep(0.01)
                else:
                    break
        passwords.write_text("")
        os.kill(os.getpid(), signal.SIGHUP)
        await trio.testing.wait_all_tasks_blocked(0.05)
        other.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        async with running(settings):
            with pytest.raises(ConnectFailed):
                async with device(settings, username="me", password=b"secret"):
                    pass


async def test_a_file_that_is_wrong_opens_nothing(
    settings: BusSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "broker.conf"
    file.write_text("listener 1\nalow_anonymous true\n")
    store = Store(tmp_path / "edgecore.db")
    store.database.open()
    async with trio.open_nursery() as nursery:
        await nursery.start(store.database.run)
        bus = EventBus(replace(settings, broker_file=file), store, Outbox())
        nursery.start_soon(bus.run)
        with trio.fail_after(10):
            while "cannot start" not in caplog.text:
                await trio.sleep(0.01)
            assert "broker.conf" in caplog.text
            assert "line 2" in caplog.text or ":2" in caplog.text
            os.kill(os.getpid(), signal.SIGHUP)
            file.write_text(f"listener {free_port()} 127.0.0.1\nallow_anonymous true\n")
            await bus.ready.wait()
        nursery.cancel_scope.cancel()


async def test_other_machines_are_not_let_in_without_a_file(settings: BusSettings, caplog: pytest.LogCaptureFixture) -> None:
    assert settings.internal is not None
    settings = replace(settings, internal=replace(settings.internal, host="0.0.0.0"))  # noqa: S104 - the point of it
    async with running(settings), device(settings) as client:
        await client.publish("t", b"from this machine", qos=1)
    assert "only clients of this one are let in" in caplog.text


@pytest.mark.parametrize("wrong", ["a/#/b", "x" * 2000, "/".join("y" * 40)], ids=["wrong", "long", "deep"])
async def test_a_rule_that_cannot_be_subscribed_costs_only_itself(settings: BusSettings, wrong: str) -> None:
    store = Store(settings.journal.with_name("edgecore.db"))
    store.database.open()
    for topic in (wrong, "default/good"):
        store.add_topic(topic)
    store.database.peewee.close()
    async with running(settings) as bus:
        assert bus.broker is not None
        while not bus.broker.core.router.trie.match("default/good").recipients:
            await trio.sleep(0.01)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """Lets only ``me`` in."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    (folder / "passwords").write_text(PASSWORD)
    broker = Mosquitto(folder, "allow_anonymous false", f"password_file {folder}/passwords")
    broker.start()
    yield broker
    broker.stop()


async def test_an_external_broker_with_users(settings: BusSettings, guarded: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    address = ("127.0.0.1", guarded.port)
    outside = replace(settings, internal=None, external=External(address))
    async with running(outside) as bus:
        await bus.publish("x", b"waits")
        while "not authorized" not in caplog.text:
            await trio.sleep(0.01)
    login = Connect(client_id="reader", username="me", password=b"secret")
    async with connect(address, login) as client:
        await client.subscribe("x", qos=1)
        async with running(replace(outside, external=External(address, username="me", password=b"secret"))):
            with trio.fail_after(10):
                assert (await client.receive()).payload == b"waits"


class Upright:
    """Refuses what begins with a dollar sign."""

    reads_are_free = True

    def may_publish(self, identity: Identity, topic: str) -> bool:
        return True

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        return not topic_filter.startswith("$")

    def may_receive(self, identity: Identity, topic: str) -> bool:
        return True


async def test_a_subscription_that_an_external_broker_refuses_costs_only_itself(
    settings: BusSettings, caplog: pytest.LogCaptureFixture
) -> None:
    async with trio.open_nursery() as nursery:
        outer: Broker = await nursery.start(serve, Config([Listener(port=0)], authorizer=Upright()))
        async with running(replace(settings, internal=None, external=External(("127.0.0.1", outer.ports[0])))):
            while not outer.core.router.trie.match("x/user/y").recipients:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert caplog.text.count("does not get here") == 1
    assert "no connection" not in caplog.text


async def test_another_broker_for_the_clients_of_this_node(settings: BusSettings) -> None:
    """It is one of ours here; what is seen of it is the protocol only."""
    assert settings.internal is not None
    listener = settings.internal
    up = trio.Event()

    @asynccontextmanager
    async def front() -> AsyncIterator[LocalBroker]:
        async with trio.open_nursery() as nursery:
            broker: Broker = await nursery.start(serve, Config([listener]))
            up.set()
            yield Inside(broker)
            nursery.cancel_scope.cancel()

    send, twin = trio.open_memory_channel[TwinMessage](10)
    topic = "$hw/events/device/default/thermo/twin/update"
    async with running(settings, send, front) as bus:
        await up.wait()
        async with device(settings) as client:
            await client.subscribe("down")
            while True:
                await client.publish(topic, b"25", qos=1)
                with trio.move_on_after(0.1):
                    assert (await twin.receive()).payload == b"25"
                    break
            await client.publish("x/user/y", b"for the cloud", qos=1)
            await bus.publish("down", b"from the cloud")
            assert (await client.receive()).payload == b"from the cloud"
            assert bus.broker is not None
            sessions = bus.broker.core.clients.sessions
            while [each.message.packet.payload for each in sessions["\0upload"].in_flight.values()] != [b"for the cloud"]:
                await trio.sleep(0.01)


async def test_a_message_that_an_external_broker_does_not_survive_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async with trio.open_nursery() as nursery:
        outer: Broker = await nursery.start(serve, Config([Listener(port=0)], Limits(packet=1000)))
        store: Broker = await nursery.start(serve, Config([]))
        async with Inside(store).open("external", keep=True) as inbox:
            inbox.put("small", b"fits")
            inbox.put("large", bytes(2000))
            outgoing = Outgoing(inbox)

            address, asked = ("127.0.0.1", outer.ports[0]), Connect(client_id="edge")
            with trio.fail_after(20):
                for _ in range(7):
                    try:
                        async with connect(address, asked) as client, trio.open_nursery() as use:
                            use.start_soon(client.ended)
                            await outgoing.use(client)
                    except* ConnectionLost:
                        pass
        nursery.cancel_scope.cancel()
    assert outgoing.sent == 1
    assert caplog.text.count("without taking a message to 'large' with 2000 bytes") == 1
