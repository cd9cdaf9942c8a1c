from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecore.edged import memory
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.volumes import mounter
from edgecore.edged.volumes.payload import Material, TokenWish
from kube.objects import Object

TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
VOLUMES = [
    {"name": "token", **TOKEN},
    {"name": "scratch", "emptyDir": {"medium": "Memory"}},
    {"name": "kept", "emptyDir": {}},
    {"name": "fields", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
]
POD: Object = {"metadata": {"name": "web", "namespace": "ns", "uid": "u1"}, "spec": {"volumes": VOLUMES}}


@pytest.mark.parametrize(
    ("mounts", "user", "expected"),
    [
        ("tmpfs /run tmpfs rw,nosuid 0 0\n", 0, "/run/edgecore/node"),
        ("tmpfs /run tmpfs rw,nosuid 0 0\n", 1000, None),
        ("/dev/sda1 / ext4 rw 0 0\ntmpfs /run/lock tmpfs rw 0 0\n", 0, None),
        ("tmpfs /run tmpfs rw 0 0\n/dev/sda1 /run ext4 rw 0 0\n", 0, None),
        ("\n", 0, None),
    ],
)
def test_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, user: int, expected: str | None) -> None:
    (tmp_path / "mounts").write_text(mounts)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    found = memory.memory_root(Path("/var/lib/kubelet"), mounts=tmp_path / "mounts")
    assert found == (Path(expected) if expected else None)


def test_two_nodes_on_one_machine_have_places_of_their_own() -> None:
    assert memory.memory_folder(Path("/a")) != memory.memory_folder(Path("/b"))


def test_what_stands_in_memory_comes_back_after_a_reboot_and_goes_with_the_pod(tmp_path: Path) -> None:
    settings = EdgedSettings("edge-1", "0", root=tmp_path / "disk", pod_logs=tmp_path / "logs", memory_root=tmp_path / "memory")
    material = Material(tokens={TokenWish(): "jwt"})
    assert mounter.set_up(POD, material, settings) == []
    where = {name: path.relative_to(tmp_path).parts[0] for name, path in mounter.paths(POD, settings).items()}
    assert where == {"token": "memory", "scratch": "memory", "kept": "disk", "fields": "disk"}
    for path in sorted((tmp_path / "memory").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    (tmp_path / "memory").rmdir()
    assert mounter.set_up(POD, material, settings) == []
    assert (mounter.paths(POD, settings)["token"] / "token").read_text() == "jwt"
    assert mounter.paths(POD, settings)["scratch"].is_dir()
    mounter.tear_down(POD, settings)
    assert mounter.known_uids(settings) == []


def test_directories_of_a_pod_that_nobody_knows(tmp_path: Path) -> None:
    settings = EdgedSettings("edge-1", "0", root=tmp_path / "disk", pod_logs=tmp_path / "logs", memory_root=tmp_path / "memory")
    for folder in ("memory/pods/u1/volumes", "disk/pods/u1", "disk/pods/u2", "logs/ns_web_u1/main", "logs/ns_web_u2"):
        (tmp_path / folder).mkdir(parents=True)
    assert sorted(mounter.known_uids(settings)) == ["u1", "u1", "u2"]
    mounter.remove_unknown("u1", settings)
    assert mounter.known_uids(settings) == ["u2"]
    assert [entry.name for entry in (tmp_path / "logs").iterdir()] == ["ns_web_u2"]
