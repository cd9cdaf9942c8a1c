"""Files that the configuration names, warnings about what is allowed, and users that are added."""

from __future__ import annotations

import io
import logging
import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from edgecore import brokercommand
from edgecore.brokerfile import parse
from edgecore.brokersetup import Setup
from edgecore.brokerusers import add_user
from mqtt import passwords
from mqtt.accessfile import AccessFileError
from mqtt.broker import Broker, Config
from mqtt.journal import Memory, Saved
from mqtt.listeners import Listener


def setup(text: str) -> Setup:
    return Setup(parse(text.splitlines(), "broker.conf"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("password_file /nowhere/p", "broker.conf: `password_file`: /nowhere/p: cannot be read: No such file or directory"),
        ("acl_file /nowhere/a", "broker.conf: `acl_file`: /nowhere/a: cannot be read: No such file or directory"),
        ("acl_file /", "/: cannot be read: Is a directory"),
        ("listener 1\ncertfile /nowhere/c\nkeyfile /nowhere/k", "broker.conf: line 1: listener :1: cannot read /nowhere/c"),
    ],
)
def test_what_the_file_names_must_be_there(text: str, problem: str) -> None:
    with pytest.raises(AccessFileError) as refused:
        setup(text)
    assert problem in str(refused.value)


def test_what_is_perhaps_not_meant_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "p").touch(0o604)
    with caplog.at_level(logging.WARNING):
        setup(f"allow_anonymous true\npassword_file {tmp_path}/p\nlistener 1883\nlistener 1884 127.0.0.1\nlistener 0 /s")
    assert [record.getMessage() for record in caplog.records] == [
        "listener :1883: clients without a name are let in from this machine only",
        "listener :1883: passwords are readable on their way; with certfile and keyfile they are not",
        f"{tmp_path}/p is open to all users of this machine: chmod o= it",
    ]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("listener 1884 127.0.0.1", "127.0.0.1:1884"),
        ("password_file {0}/p\nlistener 0 /s", "/s"),
        ("allow_anonymous false", ":1883"),
    ],
)
def test_a_listener_for_nobody_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, who: str) -> None:
    (tmp_path / "p").touch(0o600)
    with caplog.at_level(logging.WARNING):
        setup(text.format(tmp_path))
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"{who} lets nobody in: " in said


class Slow(Memory):
    """A journal that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = trio.Event(), trio.Event()

    async def open(self, now: float) -> Saved:
        self.asked.set()
        await self.go.wait()
        return await super().open(now)


async def test_a_sighup_while_the_broker_starts_is_not_forgotten() -> None:
    journal = Slow()
    reloaded = trio.Event()

    async def reload(broker: Broker) -> None:
        reloaded.set()

    async with trio.open_nursery() as nursery:
        config = Config([Listener(port=0)], journal=journal)
        nursery.start_soon(brokercommand._run, config, reload, brokercommand._arguments([]))
        with trio.fail_after(10):
            await journal.asked.wait()
            os.kill(os.getpid(), signal.SIGHUP)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not reloaded.is_set()
            journal.go.set()
            await reloaded.wait()
        nursery.cancel_scope.cancel()


def test_a_user_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "passwords"

    def add(name: str, password: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(password.encode())))
        add_user(file, name)

    add("ann", "secret\n")
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    add("eve", "pässword\r\n")
    add("ann", "other")
    users = passwords.load(file)
    assert list(users) == ["eve", "ann"]
    assert users["eve"].verify("pässword".encode())
    assert users["ann"].verify(b"other")
    assert file.stat().st_mode & 0o777 == 0o640
    before = file.read_bytes()
    for name, password in (("eve", ""), ("eve", "\0"), ("e:ve", "x"), ("", "x"), ("e\nve", "x"), ("#eve", "x"), (" ", "x")):
        with pytest.raises(AccessFileError):
            add(name, password)
    assert file.read_bytes() == before
    file.write_text("readable:password\n")
    with pytest.raises(AccessFileError, match="line 1: user `readable`"):
        add("eve", "x")
    assert file.read_text() == "readable:password\n"
