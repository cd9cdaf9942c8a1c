"""build.py, as a bare Python runs it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, working on a copy of the files that decide about the environment; its programs are only recorded."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("setup.cfg", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "built-from.json")
    ran: list[str] = []
    commands: list[list[str]] = []

    def logged(command: list[str], what: str, remedy: str) -> None:
        ran.append(what)
        commands.append(command)
        python = tmp_path / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(module, "_logged", logged)
    module.ran = ran  # type: ignore[attr-defined]
    module.commands = commands  # type: ignore[attr-defined]
    return module


def test_the_environment_is_made_once(build: ModuleType) -> None:
    build.environment(build.PLAIN)
    assert build.ran == ["making the virtual environment", "installing with pip"]
    build.environment(build.PLAIN)
    assert len(build.ran) == 2


def test_more_extras_are_added_and_then_stay(build: ModuleType) -> None:
    build.environment(build.PLAIN)
    build.environment(build.DEVELOPER)
    assert build.ran[2:] == ["installing with pip"]
    build.environment(build.PLAIN)
    assert len(build.ran) == 3


def test_a_changed_setup_makes_it_anew(build: ModuleType) -> None:
    """So that what is not wanted any more goes, too."""
    build.environment(build.PLAIN)
    with (build.ROOT / "setup.cfg").open("a") as file:
        file.write("\n# changed\n")
    build.environment(build.PLAIN)
    assert build.ran[2:] == ["making the virtual environment", "installing with pip"]


def test_an_interrupted_set_up_starts_anew(build: ModuleType) -> None:
    build.environment(build.PLAIN)
    build.STAMP.write_text("{")
    build.environment(build.PLAIN)
    assert build.ran[2:] == ["making the virtual environment", "installing with pip"]


def test_it_is_made_anew_by_the_python_within_it(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has activated .venv runs build.py with what is about to be removed."""
    inside = tmp_path / ".venv" / "bin" / "python3"
    inside.parent.mkdir(parents=True)
    inside.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(sys, "executable", str(inside))
    build.environment(build.PLAIN)
    assert not Path(build.commands[0][0]).is_relative_to(tmp_path)


def test_a_word_of_later_says_so() -> None:
    done = subprocess.run([sys.executable, "-I", ROOT / "build.py", "binary"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("build.py: `binary` is not built yet; ")


def test_it_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", ROOT / "build.py", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "demo" in done.stdout


def programs(build: ModuleType, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What builds Kubernetes ends with this exit code."""
    script = build.ROOT / "programs.py"
    script.write_text(f"raise SystemExit({code})")
    monkeypatch.setattr(build, "PROGRAMS", script)


def test_a_machine_without_kubernetes_is_told_what_is_left_out(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    programs(build, build.NOT_HERE, monkeypatch)
    build.build_kubernetes(Path(sys.executable))
    assert "LEFT OUT" in capfd.readouterr().out


@pytest.mark.parametrize(("code", "ci"), [(1, ""), (1, "true"), (3, "true")])
def test_ci_never_goes_without_kubernetes_nor_anybody_over_a_failed_build(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, code: int, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    programs(build, code, monkeypatch)
    with pytest.raises(build.BuildError, match="no Kubernetes to test with"):
        build.build_kubernetes(Path(sys.executable))


def test_the_benchmark_starts_by_itself() -> None:
    """It borrows from the tests, but runs without pytest and what that arranges."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "pods.py"), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--runtime" in done.stdout


def test_the_benchmark_of_the_broker_measures() -> None:
    """One kind of traffic, for an instant and without mosquitto: what the figure is does not matter here."""
    command = [sys.executable, str(ROOT / "bench" / "mqtt_broker.py"), "--alone", "--rounds=1", "--seconds=0.05", "--markdown"]
    done = subprocess.run(
        [*command, "--parts=pairs,connections", "--like=10 pairs, pipelined"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for qos in (0, 1, 2):
        assert f"| 10 pairs, pipelined, QoS {qos} | " in done.stdout
    assert "| connections with a subscription, TLS | " in done.stdout
