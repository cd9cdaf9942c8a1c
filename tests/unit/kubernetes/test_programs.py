"""What decides where the Kubernetes programs of the tests lie, and what is said where they cannot be had."""

from __future__ import annotations

import re
from pathlib import Path

import programs
import pytest


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
        programs.ensure(print)


def test_no_go_is_named(machine: Path) -> None:
    program(machine, "etcd", "")
    with pytest.raises(programs.Unavailable, match="Go is missing"):
        programs.ensure(print)


def test_an_old_go_is_named(machine: Path) -> None:
    program(machine, "etcd", "")
    program(machine, "go", "echo go version go1.19.8 linux/amd64")
    with pytest.raises(programs.Unavailable, match=r"Go is too old: go1\.19\.8 .* 1\.24 or newer"):
        programs.ensure(print)


GOOD_GO = """
if [ "$1" = version ]; then echo go version go1.26.0 linux/amd64; exit; fi
while [ "$1" != -o ]; do shift; done; echo built > "$2"
"""


def test_they_are_built_once(machine: Path) -> None:
    program(machine, "etcd", "")
    program(machine, "go", GOOD_GO)
    said: list[str] = []
    folder = programs.ensure(said.append)
    assert sorted(path.name for path in folder.iterdir()) == sorted(programs.NAMES)
    assert folder.is_relative_to(machine / "cache" / "edgecore" / "kubernetes")
    assert len(said) == 2 + len(programs.NAMES)
    assert programs.ensure(said.append) == folder
    assert len(said) == 2 + len(programs.NAMES)
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".building")] == []


def test_a_build_that_fails_leaves_nothing_and_says_why(machine: Path) -> None:
    program(machine, "etcd", "")
    program(
        machine, "go", 'case $1 in version) echo go version go1.26.0 linux/amd64;; *) echo "no such module" >&2; exit 1;; esac'
    )
    with pytest.raises(programs.BuildFailed, match="no such module"):
        programs.ensure(lambda _: None)
    assert not any((machine / "cache" / "edgecore" / "kubernetes").glob("v*-????????????"))


def test_another_go_builds_anew() -> None:
    assert programs.folder_with("go1.25 linux/amd64") != programs.folder_with("go1.26 linux/amd64")


def test_everything_is_of_one_version() -> None:
    staging = re.findall(r"=> k8s\.io/\S+ v0\.(\S+)", (programs.HERE / "go.mod").read_text())
    assert len(staging) > 20
    assert {f"v1.{version}" for version in staging} == {programs.version()}
