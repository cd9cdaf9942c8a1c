from __future__ import annotations

import os
from pathlib import Path

import pytest

from beehive.settings import SettingsError, dump, parse
from beehive.supervise import Fatal
from edgecore import config, guard, jointoken
from edgecore.config import EdgeCore
from edgecore.kubelet_config import seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("10s", 10), ("1h30m", 5400), ("500ms", 0.5), ("0s", 0), ("0", 0), ("1.5m", 90), ("2us", 2e-6)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "10x", "-1s", "1h and 2m"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


def test_defaults_survive_a_round_trip() -> None:
    default = EdgeCore()
    assert parse(dump(default), EdgeCore, origin="x") == default
    config.check(parse(config.minimal_text(), EdgeCore, origin="x"), "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modules: {edgeHub: {websocket: {server: nowhere}}}", "<host>:<port>"),
        ("modules: {edgeHub: {httpServer: 'http://a'}}", "https://"),
        ("modules: {edgeHub: {messageQPS: -1}}", "messageQPS"),
        ("modules: {edgeHub: {quic: {enable: true}}}", "cannot be true and false at the same time"),
        ("modules: {edgeHub: {websocket: {writeDeadline: 0}}}", "writeDeadline"),
        ("modules: {eventBus: {mqttMode: 3}}", "mqttMode"),
        ("modules: {metaManager: {remoteQueryTimeout: 0}}", "remoteQueryTimeout"),
        ("modules: {edged: {tailoredKubeletConfig: {cgroupDriver: x}}}", "cgroupDriver"),
        ("modules: {edged: {tailoredKubeletConfig: {syncFrequency: soon}}}", "syncFrequency"),
    ],
)
def test_checks(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        config.check(parse("modules: {edged: {hostnameOverride: a}}", EdgeCore, origin="x"), "x")
        config.check(parse(text, EdgeCore, origin="x"), "x")


def test_what_is_not_built_is_named() -> None:
    assert config.not_built(EdgeCore()) == []
    text = "modules: {edgeStream: {enable: true}, metaManager: {metaServer: {enable: true}}}"
    assert config.not_built(parse(text, EdgeCore, origin="x")) == [
        "modules.metaManager.metaServer.enable",
        "modules.edgeStream.enable",
    ]


def test_what_was_changed_without_effect_is_named() -> None:
    kubelet = "{readOnlyPort: 10355, address: 0.0.0.0, maxPods: 5, evictionHard: {}}"
    text = f"modules: {{edged: {{reportEvent: true, nodeIP: 10.0.0.1, tailoredKubeletConfig: {kubelet}}}}}"
    assert config.not_built(parse(text, EdgeCore, origin="x")) == [
        "modules.edged.reportEvent",
        "modules.edged.tailoredKubeletConfig.address",
        "modules.edged.tailoredKubeletConfig.readOnlyPort",
        "modules.edged.tailoredKubeletConfig.evictionHard",
    ]
    assert config.not_built(
        parse("{featureGates: {a: true}, modules: {metaManager: {enable: false}}}", EdgeCore, origin="x")
    ) == [
        "modules.metaManager.enable",
        "featureGates.a",
    ]


def test_static_pods_are_named(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text("")
    (tmp_path / "README").write_text("")
    text = f"modules: {{edged: {{tailoredKubeletConfig: {{staticPodPath: {tmp_path}}}}}}}"
    assert config.static_pods(parse(text, EdgeCore, origin="x")) == [tmp_path / "web.yaml"]
    assert config.static_pods(parse(text.replace(str(tmp_path), "/no/such"), EdgeCore, origin="x")) == []


def test_a_process_with_an_odd_name_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "comm").write_bytes(b"\xff\xfe\n")
    guard.no_kubelet({}, tmp_path)


def test_null_blocks_count_as_absent() -> None:
    assert parse("modules: {edgeHub: null, edged: {nodeLabels: null}}", EdgeCore, origin="x").modules.edgeHub.heartbeat == 15


def test_only_one(tmp_path: Path) -> None:
    database = tmp_path / "deep" / "edgecore.db"
    with guard.only_one(database), pytest.raises(Fatal, match=f"process {os.getpid()}"), guard.only_one(database):
        pass
    with guard.only_one(database):
        pass


def test_no_place_for_the_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="cannot create"), guard.only_one(tmp_path / "file" / "edgecore.db"):
        pass


def test_kubelet(tmp_path: Path) -> None:
    for pid, name in ((1, "init"), (20, "kubelet-like"), (30, "kubelet")):
        guard.no_kubelet({}, tmp_path)
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    with pytest.raises(Fatal, match="process 30"):
        guard.no_kubelet({}, tmp_path)
    guard.no_kubelet({"CHECK_EDGECORE_ENVIRONMENT": "false"}, tmp_path)


TEXT = """\
# my node
modules:
  edgeHub:
    heartbeat: 15   # seconds
    token: {token}  # used once
  edged: {{hostnameOverride: a}}
"""


@pytest.mark.parametrize("token", ["a.b.c.d", "'a.b.c.d'", '"a.b.c.d"'])
def test_the_token_is_taken_out_and_nothing_else(tmp_path: Path, token: str) -> None:
    path = tmp_path / "config" / "edgecore.yaml"
    path.parent.mkdir()
    path.write_text(TEXT.format(token=token))
    path.chmod(0o640)
    bootstrap = jointoken.bootstrap_beside(path)
    source = jointoken.JoinTokenSource(path, bootstrap)
    assert source.read() == "a.b.c.d"
    bootstrap.write_text("from.the.other.file\n")
    assert source.read() == "from.the.other.file"
    bootstrap.unlink()
    source.erase()
    assert path.read_text() == TEXT.format(token='""')
    assert path.stat().st_mode & 0o777 == 0o640
    assert source.read() == ""
    source.erase()


@pytest.mark.parametrize("text", ["", "modules:", "modules: {edgeHub: [1]}", "modules: {edgeHub: {token: null}}", "a: [", "- 1"])
def test_no_token(tmp_path: Path, text: str) -> None:
    path = tmp_path / "edgecore.yaml"
    path.write_text(text)
    source = jointoken.JoinTokenSource(path, tmp_path / "none")
    assert source.read() == ""
    source.erase()
    assert path.read_text() == text
