"""The client against mosquitto, and against our own broker."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from mqtt.access import Anybody, Identity, Peer
from mqtt.broker import Config, serve
from mqtt.client import Client, ConnectFailed, ConnectionLost, Session, connect
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.packets import Connect, Publish, Subscription, Version, Will
from mqtt.reasons import Reason

V31, V311, V5 = Version
VERSIONS = pytest.mark.parametrize("version", list(Version), ids=lambda version: version.text)


@pytest.fixture(autouse=True)
async def deadline() -> Any:
    with trio.fail_after(60):
        yield


@dataclass
class Ours:
    """As Mosquitto in conftest.py."""

    plain: tuple[str, int]
    secure: tuple[str, int]
    guarded: tuple[str, int]
    socket: str
    authority: trustme.CA


class Guard:
    """User ``me`` with password ``secret``, at one of the listeners."""

    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        if peer.listener == "guarded" and (connect.username, connect.password) != ("me", b"secret"):
            return Reason.NOT_AUTHORIZED
        return await Anybody().authenticate(connect, peer)


@pytest.fixture(params=["mosquitto", "ours"])
def mosquitto_or_none(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("mosquitto") if request.param == "mosquitto" else None


@pytest.fixture
async def server(mosquitto_or_none: Any, tmp_path: Path) -> AsyncIterator[Any]:
    if mosquitto_or_none is not None:
        yield mosquitto_or_none
        return
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    listeners = [
        Listener(port=0),
        Listener(port=0, tls=context),
        Listener(port=0, name="guarded"),
        Listener(path=tmp_path / "socket"),
    ]
    limits = Limits(receive_maximum=20, topic_aliases=10)
    async with trio.open_nursery() as nursery:
        broker = await nursery.start(serve, Config(listeners, limits, Guard()))
        plain, secure, guarded = (("127.0.0.1", port) for port in broker.ports)
        yield Ours(plain, secure, guarded, str(tmp_path / "socket"), authority)
        nursery.cancel_scope.cancel()


async def taken(client: Client, count: int) -> list[tuple[str, bytes, int]]:
    found = []
    for _ in range(count):
        message = await client.receive()
        found.append((message.topic, message.payload, message.qos))
    return found


@VERSIONS
async def test_every_qos_both_ways(server: Any, version: Version) -> None:
    topic = f"qos/{version}"
    async with connect(server.plain, Connect(version, f"qos-{version}")) as client:
        assert await client.subscribe(f"{topic}/+", qos=2) == [Reason.GRANTED_QOS_2]
        for qos in (0, 1, 2):
            reason = await client.publish(f"{topic}/{qos}", b"x" * qos, qos)
            assert reason is Reason.SUCCESS
        assert await taken(client, 3) == [(f"{topic}/{qos}", b"x" * qos, qos) for qos in (0, 1, 2)]
        assert await client.unsubscribe(f"{topic}/+") == ([Reason.SUCCESS] if version == V5 else [])


@VERSIONS
async def test_thousands_in_order(server: Any, version: Version) -> None:
    """More than both windows, the inbox and one read hold."""
    async with (
        connect(server.plain, Connect(version, "consumer")) as consumer,
        connect(server.plain, Connect(version, "producer")) as producer,
        trio.open_nursery() as nursery,
    ):
        await consumer.subscribe("burst/#", qos=1)

        async def produce() -> None:
            for number in range(2000):
                await producer.publish(f"burst/{number % 7}", str(number).encode(), number % 2)

        nursery.start_soon(produce)
        numbers = [int((await consumer.receive()).payload) for _ in range(2000)]
        assert numbers == list(range(2000))
        assert consumer.dropped == 0


async def test_many_publishers_on_one_connection_keep_within_the_window_of_the_server(server: Any) -> None:
    async with connect(server.plain, Connect(V5, "many")) as client, trio.open_nursery() as nursery:
        assert (client.answer.properties or {}).get("receive_maximum") == 20
        for number in range(500):
            nursery.start_soon(client.publish, "many", str(number).encode(), 1 + number % 2)


async def test_tls_and_unix_socket(server: Any) -> None:
    context = ssl.create_default_context()
    server.authority.configure_trust(context)
    async with connect(server.secure, Connect(V5, "tls"), tls=context, server_hostname="localhost") as secured:
        await secured.subscribe("way")
        async with connect(server.socket, Connect(V311, "unix")) as client:
            await client.publish("way", b"hello")
        assert (await secured.receive()).payload == b"hello"


async def test_tls_with_a_certificate_that_is_not_trusted(server: Any) -> None:
    with pytest.raises(ConnectFailed, match=r"no TLS with 127.0.0.1:\d+: .*certificate verify failed"):
        async with connect(server.secure, Connect(V5), tls=ssl.create_default_context(), server_hostname="localhost"):
            pass


@VERSIONS
async def test_a_wrong_password(server: Any, version: Version) -> None:
    with pytest.raises(ConnectFailed, match=r"127.0.0.1:\d+: the server refuses: (not authorized|bad user name)") as caught:
        async with connect(server.guarded, Connect(version, "bad", username="me", password=b"wrong")):
            pass
    assert caught.value.reason in (Reason.NOT_AUTHORIZED, Reason.BAD_USER_NAME_OR_PASSWORD)
    async with connect(server.guarded, Connect(version, "good", username="me", password=b"secret")) as client:
        await client.publish("t", b"", 1)


async def test_nobody_listens() -> None:
    with pytest.raises(ConnectFailed, match=r"cannot connect to 127.0.0.1:1: .*refused"):
        async with connect(("127.0.0.1", 1), Connect()):
            pass
    with pytest.raises(ConnectFailed, match=r"cannot connect to /nowhere/socket: .*No such file"):
        async with connect("/nowhere/socket", Connect()):
            pass


async def test_an_identifier_is_assigned(server: Any) -> None:
    async with connect(server.plain, Connect(V5, "")) as client:
        assert client.client_id.startswith("auto-")


async def test_taken_over(server: Any) -> None:
    async with connect(server.plain, Connect(V5, "twice")) as first, connect(server.plain, Connect(V5, "twice")):
        await first.lost.wait()
        with pytest.raises(ConnectionLost, match=r"the server closed the connection|session taken over"):
            await first.publish("t", b"", 1)
        with pytest.raises(ConnectionLost):
            await first.receive()


@pytest.mark.parametrize("version", [V311, V5], ids=lambda version: version.text)
async def test_the_will_is_published_when_the_block_fails_and_only_then(server: Any, version: Version) -> None:
    will = Will(f"will/{version}", b"gone", 1)
    async with connect(server.plain, Connect(version, "watch")) as watcher:
        await watcher.subscribe(will.topic, qos=1)
        async with connect(server.plain, Connect(version, "mortal", will=will)):
            pass
        with trio.move_on_after(0.1):
            async with connect(server.plain, Connect(version, "mortal", will=will)):
                await trio.sleep_forever()
        await watcher.publish(will.topic, b"so far none", 1)
        assert (await watcher.receive()).payload == b"so far none"
        with pytest.raises(ZeroDivisionError):
            async with connect(server.plain, Connect(version, "mortal", will=will)):
                raise ZeroDivisionError
        assert (await watcher.receive()).payload == b"gone"


@pytest.mark.parametrize("version", [V311, V5], ids=lambda version: version.text)
async def test_a_session_goes_on_where_it_ended(server: Any, version: Version) -> None:
    """What came while nobody was there, and what had not been acknowledged, comes; nothing twice."""
    asked = Connect(version, f"resume-{version}", False, properties={"session_expiry": 60} if version == V5 else None)
    session = Session()
    topic = f"resume/{version}"
    async with connect(server.plain, Connect(version, "other")) as other:
        async with connect(server.plain, asked, session=session, manual_acknowledgement=True) as client:
            assert not client.answer.session_present
            await client.subscribe(topic, qos=2)
            await other.publish(topic, b"one", 1)
            await other.publish(topic, b"two", 2)
            await other.publish(topic, b"three", 1)
            first = await client.receive()
            client.acknowledge(first)
            await client.publish("elsewhere", b"", 1)  # so that the acknowledgement has been read
        await other.publish(topic, b"four", 2)
        async with connect(server.plain, asked, session=session) as client:
            assert client.answer.session_present
            assert client.forgotten == []
            assert {payload for _, payload, _ in await taken(client, 3)} == {b"two", b"three", b"four"}
            await other.publish(topic, b"five", 1)
            assert await taken(client, 1) == [(topic, b"five", 1)]


async def test_retained_messages_and_options_of_subscriptions(server: Any) -> None:
    async with connect(server.plain, Connect(V5, "retain")) as client:
        await client.publish("kept", b"old", 1, retain=True, properties={"user_properties": [("a", "b")], "content_type": "x"})
        await client.subscribe(
            Subscription("kept", 1, no_local=True, retain_as_published=True), properties={"subscription_identifiers": [9]}
        )
        message = await client.receive()
        assert (message.payload, message.retain) == (b"old", True)
        assert message.properties == {"user_properties": [("a", "b")], "content_type": "x", "subscription_identifiers": [9]}
        await client.publish("kept", b"", 1, retain=True)  # local, so it does not come
        await client.subscribe("end")
        await client.publish("end", b"")
        assert (await client.receive()).topic == "end"


async def test_topic_aliases_to_the_server(server: Any) -> None:
    async with connect(server.plain, Connect(V5, "alias")) as client:
        await client.subscribe("aliased")
        await client.publish("aliased", b"1", properties={"topic_alias": 3})
        await client.publish("", b"2", properties={"topic_alias": 3})
        assert await taken(client, 2) == [("aliased", b"1", 0), ("aliased", b"2", 0)]


async def test_a_request_and_its_answer_while_messages_pour_in(server: Any) -> None:
    """A client that publishes for each message it takes does not wait for itself, however full its inbox is."""
    async with (
        connect(server.plain, Connect(V311, "echo")) as client,
        connect(server.plain, Connect(V311, "flood")) as flood,
    ):
        await client.subscribe("in", qos=0)
        for number in range(900):
            await flood.publish("in", str(number).encode())
        for number in range(900):
            message: Publish = await client.receive()
            assert message.payload == str(number).encode()
            await client.publish("out", message.payload, 1)
