from __future__ import annotations

from pathlib import Path

import pytest

from edgecore.edged.volumes import mounts
from keadm import folders, reset
from keadm.layout import Layout


async def test_what_stood_in_memory_goes_and_that_of_another_node_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "node")
    root = layout.at("/var/lib/kubelet")
    layout.config.parent.mkdir(parents=True)
    layout.config.write_text(f"modules: {{edged: {{hostnameOverride: a, runtime: process, rootDirectory: {root}}}}}")
    memory = {root: tmp_path / "run" / "a", Path("/other"): tmp_path / "run" / "b"}
    for folder in memory.values():
        (folder / "pods" / "uid" / "volumes").mkdir(parents=True)
    monkeypatch.setattr(reset, "memory_folder", memory.__getitem__)
    await reset.reset_edge(layout)
    assert [folder.exists() for folder in memory.values()] == [False, True]


def test_what_is_mounted_below_a_folder_is_not_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "node" / "share"
    share.mkdir(parents=True)
    (share / "precious").write_text("")
    (tmp_path / "mounts").write_text(f"nfs:/x {share} nfs rw 0 0\n")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    assert "cannot unmount" in folders.remove(tmp_path / "node", ())[0]
    assert (share / "precious").exists()
