"""The parts of the process engine that need no process."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.runtime import processstate, shim
from edgecore.edged.runtime.crilog import tail
from edgecore.edged.runtime.engine import ContainerSpec, EngineError, Mount, PodIdentity, State
from edgecore.edged.runtime.process import make_root, nice_of, user_of
from edgecore.edged.runtime.select import instance_of, open_engine

POD = PodIdentity("default", "web", "u1")


def spec(*mounts: Mount) -> ContainerSpec:
    return ContainerSpec(POD, "main", "image", 0, "h", ["/bin/true"], mounts=mounts)


def test_shares_become_nice_values() -> None:
    assert [nice_of(shares) for shares in (0, 2, 102, 512, 1023, 1024, 4096)] == [0, 19, 10, 3, 0, 0, 0]


def test_users() -> None:
    assert user_of("", "c") == (-1, -1)
    assert user_of("54321:7", "c") == (54321, 7)
    assert user_of("54321", "c") == (54321, 54321)
    assert user_of("root", "c") == (0, 0)
    with pytest.raises(EngineError, match="there is no user 'nobody-of-this-name'"):
        user_of("nobody-of-this-name", "c")


def test_mounts_become_links(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.html").write_text("hi")
    root = tmp_path / "root"
    make_root(root, spec(Mount(source, "/srv/www/"), Mount(source, "/etc/x")))
    assert (root / "srv/www/index.html").read_text() == "hi"
    assert (root / "etc/x").is_symlink()


@pytest.mark.parametrize("second", ["/srv/inner", "/srv", "/../outside", "/a/../../b"])
def test_mounts_never_leave_the_root_and_never_write_into_another_mount(tmp_path: Path, second: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(EngineError, match="cannot mount"):
        make_root(tmp_path / "root", spec(Mount(source, "/srv"), Mount(source, second)))
    assert list(source.iterdir()) == []


def test_a_process_is_known_by_pid_and_start_time() -> None:
    me = os.getpid()
    started = shim.start_time(me)
    assert started > 0
    assert processstate.alive((me, started))
    assert not processstate.alive((me, started + 1))
    assert not processstate.alive((me, 0))
    assert shim.start_time(2**22 + 5) == 0


def _record(**more: object) -> processstate.ContainerRecord:
    record = {
        "pod": {"namespace": "d", "name": "p", "uid": "u"}, "sandbox": "s", "name": "c", "attempt": 0, "hash": "h", "image": "i",
        "created_at": 1.0, "argv": ["x"], "env": {}, "cwd": "/", "uid": -1, "gid": -1, "limits": {}, "no_new_privileges": False,
        "log": "/l", "log_size": 1, "log_files": 1, **more,
    }  # fmt: skip
    return msgspec.convert(record, processstate.ContainerRecord)


def test_a_container_whose_shim_has_gone_without_a_word_has_ended(tmp_path: Path) -> None:
    state = processstate.StateFolder(tmp_path)
    state.write_container("ab", _record())
    start = state.container_directory("ab") / "start.json"
    start.write_text('{"shim": [4194305, 7], "child": [4194306, 7], "started_at": 2.0}')
    info = state.container_info("ab", _record())
    assert (info.state, info.exit_code, info.started_at) == (State.EXITED, 255, 2.0)
    assert "shim was killed" in info.message
    assert state.ended("ab") is not None  # it stays so


@pytest.mark.parametrize("pid", [0, 1, -1, -5])
def test_no_record_makes_us_signal_ourselves_or_everybody(tmp_path: Path, pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("signalled")

    monkeypatch.setattr(os, "killpg", never)
    processstate.signal_group((pid, 5), signal.SIGKILL)
    state = processstate.StateFolder(tmp_path)
    state.write_container("ab", _record())
    start = state.container_directory("ab") / "start.json"
    start.write_text(json.dumps({"shim": [pid, 5], "child": [pid, 5], "started_at": 2.0, "boot": state.boot}))
    found = state.started("ab")
    assert found is not None
    assert found.child == found.shim == processstate.NOBODY


def test_processes_of_an_earlier_boot_are_nobody(tmp_path: Path) -> None:
    state = processstate.StateFolder(tmp_path)
    state.write_container("ab", _record())
    me = [os.getpid(), shim.start_time(os.getpid())]
    start = state.container_directory("ab") / "start.json"
    start.write_text(json.dumps({"shim": me, "child": me, "started_at": 2.0, "boot": state.boot}))
    assert state.container_info("ab", _record()).state is State.RUNNING
    start.write_text(json.dumps({"shim": me, "child": me, "started_at": 2.0, "boot": "an earlier one"}))
    assert state.container_info("ab", _record()).state is State.EXITED


@given(st.sampled_from(["container.json", "start.json", "exit.json"]), st.binary(max_size=60) | st.sampled_from(
    [b"null", b"{}", b"[]", b'{"shim": null, "child": [1], "started_at": "x"}', b'{"exit_code": "3"}']))  # fmt: skip
def test_garbage_in_one_file_never_raises(tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes) -> None:
    state = processstate.StateFolder(tmp_path_factory.mktemp("state"))
    state.write_container("ab", _record())
    state.write_container("cd", _record())
    (state.container_directory("ab") / name).write_bytes(data)
    found = dict(state.containers())
    assert "cd" in found
    for key, record in found.items():
        state.container_info(key, record)


def test_ids_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    state = processstate.StateFolder(tmp_path)
    for key in ("../../etc", "process://..", "", "a/b", "a\0b"):
        assert state.container_directory(key).parent == tmp_path / "containers"
        assert len(state.container_directory(key).name) == 64


def test_log_lines_are_cut_and_joined_again(tmp_path: Path) -> None:
    log = shim.Log(str(tmp_path / "logs/0.log"), 1 << 20, 2)
    long = b"x" * 40_000
    log.add("stdout", b"first\nsec")
    log.add("stderr", b"problem\n")
    log.add("stdout", b"ond\n" + long + b"\nrest")
    log.add("stdout", b"")
    log.close()
    lines = (tmp_path / "logs/0.log").read_bytes().splitlines()
    assert [line.split(b" ")[1:3] for line in lines[:3]] == [[b"stdout", b"F"], [b"stderr", b"F"], [b"stdout", b"F"]]
    assert sum(line.split(b" ")[2] == b"P" for line in lines) == 2
    assert tail(tmp_path / "logs/0.log", lines=3, limit=60_000) == f"second\n{long.decode()}\nrest\n"
    assert tail(tmp_path / "logs/0.log", lines=1, limit=3) == "st\n"


def test_logs_are_bounded(tmp_path: Path) -> None:
    log = shim.Log(str(tmp_path / "0.log"), 1000, 3)
    for number in range(200):
        log.add("stdout", b"line %d\n" % number)
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["0.log", "0.log.1", "0.log.2"]
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())
    newest = b"".join((tmp_path / name).read_bytes() for name in ("0.log.2", "0.log.1", "0.log"))
    assert newest.splitlines()[-1].endswith(b"line 199")


def test_tail_of_no_log(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", lines=5, limit=5) == ""


def test_the_usual_root_sees_all_of_docker_and_others_only_their_own() -> None:
    assert instance_of(Path("/var/lib/kubelet")) == ""
    first, second = instance_of(Path("/srv/a")), instance_of(Path("/srv/b"))
    assert first != second
    assert len(first) == len(second) == 12


async def test_choice_of_engine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = "unix:///nowhere/docker.sock"
    automatic = await open_engine("auto", docker_endpoint=nowhere, root=tmp_path)
    assert (await automatic.info()).name == "process"
    assert "NOTHING ISOLATES" in caplog.text
    docker = await open_engine("docker", docker_endpoint=nowhere, root=tmp_path)
    assert type(docker).__name__ == "DockerEngine"
    with pytest.raises(ValueError, match="auto, docker or process"):
        await open_engine("podman", root=tmp_path)
    for engine in (automatic, docker):
        await engine.aclose()  # type: ignore[attr-defined]
