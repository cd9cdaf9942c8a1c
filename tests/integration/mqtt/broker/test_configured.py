"""``edgecore broker -c FILE``: passwords, rights and reloading, with mosquitto's own clients and files."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from brokers.configured import MOSQUITTO, publish, read_one, running
from ports import free_port

from mqtt.passwords import hashed

pytestmark = pytest.mark.usefixtures("mosquitto_clients")

BOB = "bob:$6$f2D7Yt1JZRAMnqit$Co7/L3cVJko5jjZDGpM1NjYb9uAXzhgnWriXZtRVFIDs2VsVtBDHk4TkugyeK88aAKunOyrEGVnsX8Hu/gWW4g=="
SHARED = """\
max_topic_alias 10
max_connections 100
log_type notice
log_type information
log_dest stderr
persistence false
persistence_location /nowhere
sys_interval 5
set_tcp_nodelay true
queue_qos0_messages false
max_packet_size 100000
max_inflight_messages 10
max_queued_messages 500
max_queued_bytes 1000000
max_keepalive 600
persistent_client_expiration 14d
"""
ACL = """\
topic read open/#
user ann
topic readwrite home/#
topic read open/#
pattern write of/%u/%c
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With users ann (secret) and bob (hunter2, as mosquitto_passwd has written it), and an ACL."""
    (tmp_path / "passwords").write_text(f"ann:{hashed(b'secret', 101)}\n{BOB}\n")
    (tmp_path / "acl").write_text(ACL)
    return tmp_path


def write_config(folder: Path, port: int, more: str = "") -> Path:
    config = folder / "broker.conf"
    config.write_text(
        f"# both brokers read this\nlistener {port} 127.0.0.1\nlistener 0 {folder}/socket\nallow_anonymous true\n"
        f"password_file {folder}/passwords\nacl_file {folder}/acl\n{more}"
    )
    return config


@pytest.mark.parametrize("mosquitto", [False, True], ids=["ours", "mosquitto"])
async def test_users_and_their_rights(folder: Path, mosquitto: bool) -> None:
    if mosquitto:
        if MOSQUITTO is None and os.environ.get("CI") != "true":
            pytest.skip("mosquitto is not installed")
        # It leaves root for a user who could not read the files.
        folder.chmod(0o755)
    port = free_port()
    config = write_config(folder, port, f"user {getpass.getuser()}\n{SHARED}")
    p = ["-p", str(port)]
    ann, bob = ["-u", "ann", "-P", "secret"], ["-u", "bob", "-P", "hunter2"]
    async with running(config, mosquitto=mosquitto):
        assert (await publish(*p, *ann, "-r", "-t", "home/door", "-m", "shut"))[0] == 0
        assert (await publish(*p, *ann, "-i", "c7", "-V", "5", "-t", "of/ann/c7", "-m", "x"))[1] == ""
        assert "Not authorized" in (await publish(*p, *ann, "-i", "c8", "-V", "5", "-t", "of/ann/c7", "-m", "x"))[1]
        assert "Not authorized" in (await publish(*p, *bob, "-V", "5", "-t", "home/door", "-m", "open"))[1]
        assert (await publish(*p, "-u", "ann", "-P", "Secret", "-t", "home/door", "-m", "open"))[0] in (4, 5)
        assert (await publish(*p, "-u", "eve", "-P", "secret", "-t", "home/door", "-m", "open"))[0] in (4, 5)
        assert (await publish(*p, "-u", "ann", "-t", "home/door", "-m", "open"))[0] in (4, 5)
        assert await read_one(*p, *ann, "-t", "#") == "shut"
        assert await read_one("--unix", f"{folder}/socket", *ann, "-t", "home/door") == "shut"


async def test_who_gives_no_name_and_what_may_never_be_read(folder: Path) -> None:
    port = free_port()
    p, ann = ["-p", str(port)], ["-u", "ann", "-P", "secret"]
    async with running(write_config(folder, port)):
        assert "Not authorized" in (await publish(*p, "-V", "5", "-t", "open/x", "-m", "x"))[1]
        refused = await trio.run_process(["mosquitto_sub", *p, "-t", "home/#"], check=False, capture_stderr=True)
        assert b"All subscription requests were denied" in refused.stderr
        assert (await publish(*p, *ann, "-r", "-t", "home/door", "-m", "shut"))[0] == 0
        assert await read_one(*p, "-u", "bob", "-P", "hunter2", "-t", "#") == ""


async def test_sighup_takes_over_passwords_and_rights_or_nothing(folder: Path) -> None:
    port = free_port()
    p, ann = ["-p", str(port)], ["-u", "ann", "-P", "secret"]
    config = write_config(folder, port)
    async with running(config) as broker, trio.open_nursery() as nursery:
        listening = ["mosquitto_sub", *p, *ann, "-v", "-V", "5", "-t", "home/#", "-t", "open/#", "-W", "60"]
        subscriber = await nursery.start(trio.run_process, listening)
        assert (await publish(*p, *ann, "-r", "-t", "home/door", "-m", "shut"))[0] == 0

        (folder / "acl").write_text(ACL + "user bob\ntopic readwrite home/#\n")
        written = (folder / "passwords").read_text()
        (folder / "passwords").write_text(written + "eve:readable\n")
        await broker.reload()
        assert "SIGHUP: nothing has changed" in broker.said
        assert f"{folder}/passwords: line 3: user `eve`: the password stands there readable" in broker.said
        assert await read_one(*p, "-u", "bob", "-P", "hunter2", "-t", "home/door") == ""

        (folder / "passwords").write_text(written.splitlines()[1])
        await broker.reload()
        assert await read_one(*p, "-u", "bob", "-P", "hunter2", "-t", "home/door") == "shut"
        assert (await publish(*p, *ann, "-t", "home/door", "-m", "open"))[0] == 4
        # Whose password is gone is gone, too.
        with trio.fail_after(10):
            await subscriber.wait()
        nursery.cancel_scope.cancel()


def test_a_file_that_is_wrong_is_one_line_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "broker.conf").write_text("listener 1883\nallow_anonymus true")
    command = [sys.executable, "-m", "edgecore", "broker", "-c", tmp_path / "broker.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "broker.conf: line 2: `allow_anonymus` is not a key of this broker; the nearest is `allow_anonymous`" in done.stderr
    assert done.stderr.count("\n") == 1


async def test_each_listener_with_users_of_its_own_also_after_a_kill(folder: Path) -> None:
    port = free_port()
    config = folder / "broker.conf"
    config.write_text(
        f"per_listener_settings true\npersistence true\npersistence_location {folder}/data\n"
        f"listener {port} 127.0.0.1\npassword_file {folder}/passwords\nacl_file {folder}/acl\n"
        f"listener 0 {folder}/socket\nallow_anonymous true\n"
    )
    p, inside = ["-p", str(port)], ["--unix", f"{folder}/socket"]
    ann = ["-u", "ann", "-P", "secret"]
    waiting = ["-c", "-i", "reader", "-q", "1", "-t", "#"]
    async with running(config) as broker:
        # No name is for the socket only, and there it may do everything.
        assert (await publish(*p, "-t", "x", "-m", "x"))[0] == 5
        done = await trio.run_process(["mosquitto_sub", *p, *ann, *waiting, "-E"], check=False)
        assert done.returncode == 0
        broker.process.kill()
        await broker.process.wait()
        broker.killed = True
    async with running(config):
        for topic in ("secret", "home/door", "secret/too"):
            assert (await publish(*inside, "-V", "5", "-t", topic, "-m", topic))[1] == ""
        # Another user of the same name of client is another one.
        got = await trio.run_process(["mosquitto_sub", *p, *ann, *waiting, "-W", "1"], check=False, capture_stdout=True)
        assert got.stdout == b"home/door\n"
