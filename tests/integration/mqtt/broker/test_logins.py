"""Wrong passwords while others work: hashing happens beside the loop, and who is connected does not notice."""

from __future__ import annotations

import socket
import threading

import trio
from brokers.sockets import RawClient

from mqtt.access import Identity, Peer
from mqtt.admission import Admission, Terms
from mqtt.limits import Limits
from mqtt.packets import ConnAck, Connect, PingReq, PingResp, Publish, Version
from mqtt.passwordcheck import PasswordCheck
from mqtt.passwords import Hashed, hashed, parse
from mqtt.reasons import Reason

from .conftest import Start


class Stuck(Hashed):
    """A hash that takes until ``go``."""

    go = threading.Event()
    asked = threading.Semaphore(0)

    def verify(self, password: bytes) -> bool:
        self.asked.release()
        assert self.go.wait(30)
        return super().verify(password)


async def test_four_who_guess_and_one_who_works(start: Start) -> None:
    users = parse([f"ann:{hashed(b'secret', 2)}"], "people")
    check = PasswordCheck(users, trio.CapacityLimiter(1))
    broker = await start(authenticator=Admission({"": Terms(passwords=check)}))
    port = broker.ports[0]
    worker = await RawClient.connected(port, "worker", username="ann", password=b"secret")
    await worker.subscribe("t")
    # From now on whatever is hashed takes as long as this test wants.
    check.users = {name: Stuck(each.salt, each.digest, each.iterations) for name, each in users.items()}
    check._decoys = list(check.users.values())
    guessing = [await RawClient.open(port) for _ in range(4)]
    for number, client in enumerate(guessing):
        await client.send(Connect(client.version, f"g{number}", username="ann" if number % 2 else "eve", password=b"guess"))
    assert await trio.to_thread.run_sync(Stuck.asked.acquire, True, 10)
    for number in range(50):
        await worker.send(Publish("t", b"%d" % number))
        assert (await worker.message()).payload == b"%d" % number
    # Who was let in before comes back at once.
    again = await RawClient.connected(port, "again", username="ann", password=b"secret")
    await again.send(PingReq())
    assert isinstance(await again.next(), PingResp)
    # None of those who guess has an answer, or a session.
    assert {each.identity for each in broker.core.clients.sessions.values()} == {
        Identity("worker", "ann"),
        Identity("again", "ann"),
    }
    Stuck.go.set()
    for client in guessing:
        answer = await client.next()
        assert isinstance(answer, ConnAck)
        assert answer.reason is Reason.BAD_USER_NAME_OR_PASSWORD


async def test_who_goes_while_his_password_is_verified_leaves_nothing(start: Start) -> None:
    users = {name: Stuck(each.salt, each.digest, 2) for name, each in parse([f"ann:{hashed(b'secret', 2)}"], "people").items()}
    Stuck.go.clear()
    broker = await start(authenticator=Admission({"": Terms(passwords=PasswordCheck(users, trio.CapacityLimiter(1)))}))
    client = await RawClient.open(broker.ports[0])
    await client.send(Connect(client.version, "c", clean_start=False, username="ann", password=b"secret"))
    assert await trio.to_thread.run_sync(Stuck.asked.acquire, True, 10)
    await client.reset()
    with trio.fail_after(10):
        while broker.core.links:
            await trio.sleep(0.01)
    Stuck.go.set()
    other = await RawClient.connected(broker.ports[0], "d", username="ann", password=b"secret")
    await other.subscribe("t")
    assert list(broker.core.clients.sessions) == ["d"]


class Pondering:
    """Answers all but those whose identifier begins with "?". given_up: who was no longer asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.given_up: list[str] = []

    async def authenticate(self, connect: Connect, peer: Peer) -> Identity:
        self.asked.append(connect.client_id)
        try:
            if connect.client_id.startswith("?"):
                await trio.sleep_forever()
        except trio.Cancelled:
            self.given_up.append(connect.client_id)
            raise
        return Identity(connect.client_id)


async def test_who_has_gone_is_no_longer_asked_about(start: Start) -> None:
    # Otherwise strangers who hang up would leave their CONNECTs in memory, bounded by nothing that bounds connections.
    pondering = Pondering()
    broker = await start(authenticator=pondering)
    client = await RawClient.open(broker.ports[0])
    await client.send(Connect(client.version, "?", username="ann", password=bytes(60_000)))
    with trio.fail_after(10):
        while not pondering.asked:
            await trio.sleep(0.01)
        await client.reset()
        while not pondering.given_up:
            await trio.sleep(0.01)


async def test_a_host_that_guesses_does_not_take_all_connections(start: Start) -> None:
    pondering = Pondering()
    broker = await start(Limits(connections=4), authenticator=pondering)
    for number in range(4):
        client = await RawClient.open(broker.ports[0])
        await client.send(Connect(client.version, f"?{number}"))
    with trio.fail_after(10):
        while len(pondering.asked) < 4:
            await trio.sleep(0.01)
    await RawClient.connected(broker.ports[0], "honest")
    assert pondering.given_up == ["?0"]
    assert broker.core.counters.closed["too many strangers"] == 1


async def test_who_has_just_come_is_not_given_up_for_a_host_that_guesses(start: Start) -> None:
    pondering = Pondering()
    broker = await start(Limits(connections=4), authenticator=pondering)

    async def guess(number: int) -> None:
        client = await RawClient.open(broker.ports[0])
        await client.send(Connect(client.version, f"?{number}"))
        with trio.fail_after(10):
            while f"?{number}" not in pondering.asked:
                await trio.sleep(0.01)

    for number in range(4):
        await guess(number)
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        sock.connect(("127.0.0.1", broker.ports[0]))
        sock.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for number in range(4, 8):
            await guess(number)
        honest = RawClient(stream, Version.V311)
        assert (await honest.connect("honest")).reason is Reason.SUCCESS
    assert broker.core.counters.closed["too many strangers"] == 5
