from __future__ import annotations

from pathlib import Path

import pytest

from edgecore.edged.settings import EdgedSettings
from edgecore.edged.volumes import mounter, mounts

TABLE = b"""/dev/sda1 / ext4 rw 0 0
nfs:/x /pods/u1/volumes/nfs nfs rw 0 0
tmpfs /pods/u1/volumes/nfs/in\\040side tmpfs rw 0 0
tmpfs /pods/u10 tmpfs rw 0 0

"""


def test_what_is_mounted_below() -> None:
    found = [Path("/pods/u1/volumes/nfs/in side"), Path("/pods/u1/volumes/nfs")]
    assert mounts.below(Path("/pods/u1"), TABLE) == found
    assert mounts.below(Path("/none"), TABLE) == []


def test_what_cannot_be_unmounted_is_not_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EdgedSettings("edge-1", "0", root=tmp_path / "root", pod_logs=tmp_path / "logs")
    share = settings.pod_directory("u1") / "volumes" / "share"
    share.mkdir(parents=True)
    (share / "precious").write_text("")
    table = tmp_path / "mounts"
    table.write_text(f"nfs:/x {share} nfs rw 0 0\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    pod = {"metadata": {"name": "web", "namespace": "ns", "uid": "u1"}}
    for remove in (lambda: mounter.tear_down(pod, settings), lambda: mounter.remove_unknown("u1", settings)):
        with pytest.raises(OSError, match="cannot unmount, so it is not removed"):
            remove()
    assert (share / "precious").exists()
    table.write_text("")
    mounter.tear_down(pod, settings)
    assert not share.exists()
