"""Passwords beside the event loop: who waits for whom, who is recognised, and what a wrong one costs."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from mqtt.access import Identity, Peer
from mqtt.admission import Admission, Terms
from mqtt.packets import Connect, Version
from mqtt.passwordcheck import Overloaded, PasswordCheck
from mqtt.passwords import Hashed, hashed, parse
from mqtt.reasons import Reason

USERS = parse([f"ann:{hashed(b'secret', 2)}", f"bob:{hashed(b'hunter2', 3)}"], "people")


class Counted(Hashed):
    """Counts how often it was asked, and may be stopped."""

    asked: list[tuple[bytes, str]] = []  # noqa: RUF012
    go = threading.Event()

    def verify(self, password: bytes) -> bool:
        self.asked.append((password, threading.current_thread().name))
        assert self.go.wait(10)
        return super().verify(password)


@pytest.fixture
def check() -> PasswordCheck:
    Counted.asked.clear()
    Counted.go.set()
    users = {name: Counted(each.salt, each.digest, each.iterations) for name, each in USERS.items()}
    return PasswordCheck(users, trio.CapacityLimiter(2))


async def test_the_right_password_and_no_other(check: PasswordCheck) -> None:
    assert await check.verify("ann", b"secret", "h:1")
    assert not await check.verify("ann", b"hunter2", "h:1")
    assert not await check.verify("bob", b"secret", "h:1")
    assert await check.verify("bob", b"hunter2", "h:1")
    assert not await check.verify("eve", b"secret", "h:1")
    main = threading.current_thread().name
    assert main not in [thread for _, thread in Counted.asked]


async def test_a_name_that_does_not_exist_costs_as_much_as_one_that_does(check: PasswordCheck) -> None:
    for number in range(20):
        # Also with the password of the user behind whom it hides.
        assert not await check.verify(f"eve{number}", b"secret", "h:1")
        assert not await check.verify(f"eve{number}", b"hunter2", "h:1")
    assert len(Counted.asked) == 40
    assert check._decoy("eve") is check._decoy("eve")


async def test_who_was_let_in_is_recognised_and_only_with_his_password(check: PasswordCheck) -> None:
    for _ in range(5):
        assert await check.verify("ann", b"secret", "h:1")
    assert len(Counted.asked) == 1
    for _ in range(3):
        assert not await check.verify("ann", b"Secret", "h:1")
    assert len(Counted.asked) == 4
    assert await check.verify("ann", b"secret", "h:1")
    assert len(Counted.asked) == 4


async def test_many_clients_of_one_user_cost_one_hash(check: PasswordCheck) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(check.verify, "ann", b"secret", f"h:{number}")
    assert len(Counted.asked) == 1


async def test_a_host_that_guesses_delays_only_itself(check: PasswordCheck) -> None:
    Counted.go.clear()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(check.verify, "ann", b"guess%d" % number, "10.0.0.1:5000")
        nursery.start_soon(check.verify, "bob", b"hunter2", "10.0.0.2:5000")
        # One of the five, and the other host's.
        with trio.fail_after(10):
            while len(Counted.asked) < 2:
                await trio.sleep(0.01)
        assert b"hunter2" in [password for password, _ in Counted.asked]
        Counted.go.set()
    assert len(Counted.asked) == 6
    assert not check._turns
    assert not check._waiting


async def test_who_would_wait_too_long_is_sent_away(check: PasswordCheck, autojump_clock: trio.testing.MockClock) -> None:
    limiter = trio.CapacityLimiter(1)
    check = PasswordCheck(check.users, limiter)
    await limiter.acquire()
    refused: list[object] = []

    async def guess() -> None:
        try:
            await check.verify("ann", b"x", "h:1")
        except Overloaded as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(guess)
        await trio.sleep(9)
        assert len(refused) == 3
    assert not Counted.asked
    assert not check._turns


async def test_the_number_who_wait_is_bounded(check: PasswordCheck) -> None:
    limiter = trio.CapacityLimiter(1)
    check = PasswordCheck(check.users, limiter)
    await limiter.acquire()
    async with trio.open_nursery() as nursery:
        for _ in range(1024):
            nursery.start_soon(check.verify, "ann", b"x", "h:1")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await check.verify("ann", b"x", "h:1")
        answer = await Admission({"": Terms(passwords=check)}).authenticate(
            Connect(Version.V5, "c", username="ann", password=b"x"), Peer("h:1")
        )
        assert answer is Reason.SERVER_BUSY
        nursery.cancel_scope.cancel()


LOCAL, REMOTE = Peer("127.0.0.1:1", local=True), Peer("10.0.0.1:1")
SHOWN = Peer("10.0.0.1:1", certificate_name="pump", certificate_subject="CN=pump,O=Works")


@pytest.mark.parametrize(
    ("terms", "connect", "peer", "answer"),
    [
        (Terms(anonymous=True), Connect(Version.V5, "c"), LOCAL, Identity("c")),
        (Terms(anonymous=True), Connect(Version.V5, "c"), REMOTE, Reason.NOT_AUTHORIZED),
        (Terms(), Connect(Version.V5, "c"), LOCAL, Reason.NOT_AUTHORIZED),
        # Nobody can say whether it is ann.
        (Terms(anonymous=True), Connect(Version.V5, "c", username="ann"), LOCAL, Identity("c")),
        (Terms(name_from="certificate name"), Connect(Version.V5, "c", username="ann"), SHOWN, Identity("c", "pump")),
        (Terms(name_from="certificate subject"), Connect(Version.V5, "c"), SHOWN, Identity("c", "CN=pump,O=Works")),
        (Terms(name_from="certificate name"), Connect(Version.V5, "c"), REMOTE, Reason.BAD_USER_NAME_OR_PASSWORD),
        (Terms(name_from="certificate name", own_id=True), Connect(Version.V5, "c"), SHOWN, Identity("pump", "pump")),
        (Terms(anonymous=True, realm="r"), Connect(Version.V5, "c"), LOCAL, Identity("c", None, "r")),
        # He could end the session of the user whose name he takes as an identifier.
        (Terms(anonymous=True, own_id=True), Connect(Version.V5, "pump"), LOCAL, Reason.NOT_AUTHORIZED),
    ],
)
async def test_terms(terms: Terms, connect: Connect, peer: Peer, answer: object) -> None:
    assert await Admission({"": terms}).authenticate(connect, peer) == answer
    assert await Admission({"other": terms}).authenticate(connect, peer) is Reason.NOT_AUTHORIZED


async def test_terms_that_change_while_a_password_is_verified_are_the_new_ones(check: PasswordCheck) -> None:
    admission = Admission({"": Terms(passwords=check)})
    Counted.go.clear()
    answers: list[Identity | Reason] = []

    async def ask() -> None:
        connect = Connect(Version.V5, "c", username="ann", password=b"secret")
        answers.append(await admission.authenticate(connect, LOCAL))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        while not Counted.asked:
            await trio.sleep(0.01)
        admission.terms = {"": Terms(passwords=PasswordCheck({"bob": USERS["bob"]}))}
        Counted.go.set()
    assert answers == [Reason.BAD_USER_NAME_OR_PASSWORD]


@pytest.mark.parametrize(
    "owner", [Identity("c"), Identity("c", ""), Identity("c", "u"), Identity("c", None, "r"), Identity("c", "u", "r")]
)
def test_an_owner_is_one_text_and_known_again(owner: Identity) -> None:
    assert Identity.of_owner("c", owner.owner) == owner


@pytest.mark.parametrize(
    ("before", "now", "stays"),
    [
        (Terms(name_from="certificate name"), Terms(name_from="certificate name"), True),
        (Terms(name_from="certificate name", trust=b"1"), Terms(name_from="certificate name", trust=b"1"), True),
        # Another list of revoked certificates: his may be on it.
        (Terms(name_from="certificate name", trust=b"1"), Terms(name_from="certificate name", trust=b"2"), False),
        (Terms(name_from="certificate name"), Terms(name_from="certificate name", own_id=True), False),
        (Terms(name_from="certificate name"), Terms(name_from="certificate subject"), False),
    ],
)
def test_who_stays_when_terms_change(before: Terms, now: Terms, stays: bool) -> None:
    assert Admission({"": now}).still_admits(Identity("c", "pump"), SHOWN, {"": before}) is stays
