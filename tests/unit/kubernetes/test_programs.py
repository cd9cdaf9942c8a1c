"""What decides where the Kubernetes programs of the tests lie, and what is said where they cannot be had."""

from __future__ import annotations

import re
from pathlib import Path

import programs
import pytest
import toolchain


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH; the cache is empty."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_no_etcd_is_named(machine: Path) -> None:
    with pytest.raises(programs.Unavailable, match=r"etcd is missing \(apt-get install etcd-server\)"):
        programs.ensure(print, programs.CONTROL_PLANE)


def test_each_suite_asks_only_for_what_it_needs(machine: Path) -> None:
    with pytest.raises(programs.Unavailable, match=r"containerd is missing \(apt-get install containerd\)"):
        programs.ensure(print, programs.NODE)
    with pytest.raises(programs.Unavailable, match=r"Go is missing \(1\.24 or newer, to build helm\)"):
        programs.ensure(print, programs.HELM)


def test_no_go_is_named(machine: Path) -> None:
    program(machine, "etcd", "")
    with pytest.raises(programs.Unavailable, match="Go is missing"):
        programs.ensure(print, programs.CONTROL_PLANE)


OLD_GO = """
case "$1 $2" in
  "version ") echo go version go1.19.8 linux/amd64;;
  "env GOOS") echo linux; echo amd64;;
  "mod download") %s;;
  *) echo "$0 $* is not for an old one" >&2; exit 1;;
esac
"""


def test_an_old_go_is_named_when_it_cannot_fetch_a_newer_one(machine: Path) -> None:
    program(machine, "etcd", "")
    program(machine, "go", OLD_GO % 'echo "no network" >&2; exit 1')
    with pytest.raises(programs.Unavailable, match=r"Go is too old: go1\.19\.8 .* 1\.24 or newer .*: no network"):
        programs.ensure(print, programs.CONTROL_PLANE)


def test_an_old_go_fetches_a_newer_one(machine: Path) -> None:
    """As it comes out of the module cache: nothing can be run, and modules have another name."""
    fetched = machine / "fetched"
    for folder in ("bin", "pkg/tool/linux_amd64", "src/cmd"):
        (fetched / folder).mkdir(parents=True)
    program(fetched / "bin", "go", GOOD_GO)
    program(fetched / "pkg/tool/linux_amd64", "compile", "")
    for file in ("src/_go.mod", "src/cmd/_go.mod"):
        (fetched / file).write_text("module std\n")
    for path in (path for path in fetched.rglob("*") if path.is_file()):
        path.chmod(0o444)
    answer = f'[ "$4" = golang.org/toolchain@v0.0.1-go{toolchain.VERSION}.linux-amd64 ] && echo \'{{"Dir": "{fetched}"}}\''
    program(machine, "go", OLD_GO % answer)
    folder = programs.ensure(lambda _: None, programs.HELM)
    assert (folder / "helm").is_file()
    assert (fetched / "src/go.mod").read_text() == (fetched / "src/cmd/go.mod").read_text() == "module std\n"
    assert (fetched / "pkg/tool/linux_amd64/compile").stat().st_mode & 0o111
    assert programs.ensure(print, programs.HELM) == folder


def test_what_is_fetched_is_new_enough() -> None:
    assert all(programs.Go("go", f"go{toolchain.VERSION} linux/amd64").reaches(suite.needed_go) for suite in programs.SUITES)


GOOD_GO = """
if [ "$1" = version ]; then echo go version go1.26.0 linux/amd64; exit; fi
while [ "$1" != -o ]; do shift; done
target=$2; shift 2
for package; do echo built > "$target${package##*/}"; done
"""


EVERY = (*programs.SUITES, programs.KUBECTL)


@pytest.mark.parametrize("suite", EVERY, ids=lambda suite: suite.title)
def test_they_are_built_once(machine: Path, suite: programs.Suite) -> None:
    for name, _ in suite.needs:
        program(machine, name, "")
    program(machine, "go", GOOD_GO)
    said: list[str] = []
    folder = programs.ensure(said.append, suite)
    assert sorted(path.name for path in folder.iterdir()) == sorted(suite.names)
    assert folder.is_relative_to(machine / "cache" / "edgecore" / "kubernetes")
    assert len(said) == 2
    assert programs.ensure(said.append, suite) == folder
    assert len(said) == 2
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".building")] == []


def test_a_build_that_fails_leaves_nothing_and_says_why(machine: Path) -> None:
    program(
        machine, "go", 'case $1 in version) echo go version go1.26.0 linux/amd64;; *) echo "no such module" >&2; exit 1;; esac'
    )
    with pytest.raises(programs.BuildFailed, match="no such module"):
        programs.ensure(lambda _: None, programs.HELM)
    assert not any((machine / "cache" / "edgecore" / "kubernetes").glob("*-v*-????????????"))


def test_another_go_builds_anew_and_no_two_suites_share_a_folder() -> None:
    folders = {suite.folder(go) for suite in EVERY for go in ("go1.25 linux/amd64", "go1.26 linux/amd64")}
    assert len(folders) == 2 * len(EVERY)


def test_everything_is_of_one_version() -> None:
    staging = re.findall(r"=> k8s\.io/\S+ v0\.(\S+)", (programs.HERE / "go.mod").read_text())
    assert len(staging) > 20
    assert {f"v1.{version}" for version in staging} == {programs.CONTROL_PLANE.version} == {programs.NODE.version}


@pytest.mark.parametrize("suite", EVERY, ids=lambda suite: suite.title)
def test_go_mod_names_each_program_as_a_tool(suite: programs.Suite) -> None:
    """So that `go mod tidy` keeps what they need."""
    tools = (suite.home / "go.mod").read_text()
    assert [name for name in suite.names if not re.search(rf"^(\t|tool ){suite.module}/cmd/{name}$", tools, re.MULTILINE)] == []


def test_what_cannot_be_had_does_not_keep_the_rest_from_being_built(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(machine, "etcd", "")
    program(machine, "go", GOOD_GO)
    assert programs.main() == 3
    said = capsys.readouterr()
    assert "no kubelet, kube-proxy: containerd is missing (apt-get install containerd)" in said.err
    assert [Path(line).name.partition("-v")[0] for line in said.out.splitlines()] == ["control-plane", "helm"]


def test_what_is_asked_for_is_built_alone(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(machine, "go", GOOD_GO)
    assert programs.main(["kubectl"]) == 0
    assert (Path(capsys.readouterr().out.strip()) / "kubectl").is_file()
