from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from edgecore.edged.environment import ConfigError, Facts, Sources
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.volumes import atomic, mounter
from edgecore.edged.volumes.payload import File, Material, TokenWish, payload
from kube.objects import Object

POD: Object = {
    "metadata": {"name": "web", "namespace": "ns", "uid": "u1", "labels": {"app": 'x"y', "b": "c"}},
    "spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "250m"}}}]},
}
MATERIAL = Material(
    Sources(
        config_maps={"c": {"data": {"a": "1", "b": "2"}, "binaryData": {"z": "AAE="}}},
        secrets={"s": {"data": {"k": base64.b64encode(b"hidden").decode()}}},
        missing={("configmap", "gone"): 'configmap "gone" not found'},
        absent=frozenset({("configmap", "gone")}),
    ),
    Facts(pod_ip="10.0.0.2"),
    {TokenWish("", 3600): "jwt"},
)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"configMap": {"name": "c"}}, {"a": (b"1", 0o644), "b": (b"2", 0o644), "z": (b"\0\1", 0o644)}),
        ({"configMap": {"name": "c", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/y"}]}}, {"x/y": (b"1", 0o400)}),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "x", "mode": 0o600}]}}, {"x": (b"1", 0o600)}),
        ({"configMap": {"name": "gone", "optional": True}}, {}),
        ({"configMap": {"name": "c", "optional": True, "items": [{"key": "no", "path": "x"}]}}, {}),
        ({"secret": {"secretName": "s"}}, {"k": (b"hidden", 0o644)}),
        (
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"labels": (b'app="x\\"y"\nb="c"', 0o644)},
        ),
        (
            {
                "downwardAPI": {
                    "items": [{"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}}]
                }
            },
            {"cpu": (b"1", 0o644)},
        ),
        (
            {
                "projected": {
                    "sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c", "items": [{"key": "a", "path": "a"}]}}]
                }
            },
            {"k": (b"hidden", 0o644), "a": (b"1", 0o644)},
        ),
        ({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}, {"token": (b"jwt", 0o600)}),
        ({"projected": {"sources": None}}, {}),
    ],
)
def test_payloads(volume: Object, expected: dict[str, tuple[bytes, int]]) -> None:
    found = payload(POD, {"name": "v"} | volume, MATERIAL)
    assert {path: (file.data, file.mode) for path, file in found.items()} == expected


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "gone"}}, 'configmap "gone" not found'),
        (
            {"configMap": {"name": "c", "items": [{"key": "no", "path": "x"}]}},
            'configmap "c" references non-existent config key: no',
        ),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "../../etc/passwd"}]}}, "must be relative"),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "/etc/passwd"}]}}, "must be relative"),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "..data"}]}}, "must be relative"),
        ({"projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 7}}]}}, "no token for service account"),
        ({"projected": {"sources": [{"clusterTrustBundle": {}}]}}, "clusterTrustBundle is not supported"),
        ({"nfs": {"server": "x"}}, "volumes of kind nfs are not supported on this node"),
        ({"hostPath": {"path": "/nonexistent", "type": "Directory"}}, "/nonexistent is not a directory"),
    ],
)
def test_volumes_that_cannot_be_had(volume: Object, text: str, tmp_path: Path) -> None:
    settings = EdgedSettings("edge-1", "0", root=tmp_path)
    with pytest.raises(mounter.VolumeError) as caught:
        mounter.set_up(POD | {"spec": {"volumes": [{"name": "v"} | volume]}}, MATERIAL, settings)
    assert str(caught.value).startswith('MountVolume.SetUp failed for volume "v" : ')
    assert text in str(caught.value)


def files(**found: str) -> dict[str, File]:
    return {name: File(text.encode()) for name, text in found.items()}


def test_the_layout_is_swapped_by_one_rename(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, files(a="1", b="2"))
    assert not atomic.write(tmp_path, files(a="1", b="2"))
    first = (tmp_path / "..data").readlink()
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert atomic.write(tmp_path, files(a="3", c="4"))
    assert (tmp_path / "..data").readlink() != first
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["a", "c"]
    assert (tmp_path / "a").read_text() == "3"
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..2")]) == 1


def test_a_failure_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic.write(tmp_path, files(a="1"))

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "replace", full)
        atomic.write(tmp_path, files(a="2"))
    assert (tmp_path / "a").read_text() == "1"
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..2")]) == 1
    atomic.write(tmp_path, files(a="2"))
    assert (tmp_path / "a").read_text() == "2"


def test_half_written_sets_of_a_killed_process_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "..2020_01_01_00_00_00.abc").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..2020_01_01_00_00_00.abc")
    atomic.write(tmp_path, files(a="1"))
    assert (tmp_path / "a").read_text() == "1"
    assert not (tmp_path / "..2020_01_01_00_00_00.abc").exists()


def test_directories_of_a_pod(tmp_path: Path) -> None:
    settings = EdgedSettings("edge-1", "0", root=tmp_path / "disk", memory_root=tmp_path / "memory", pod_logs=tmp_path / "logs")
    volumes = [
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "h", "hostPath": {"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"}},
    ]
    pod = POD | {"spec": {"volumes": volumes}}
    assert mounter.set_up(pod, MATERIAL, settings) == []
    found = mounter.paths(pod, settings)
    assert found["e"] == tmp_path / "disk/pods/u1/volumes/kubernetes.io~empty-dir/e"
    assert found["m"] == tmp_path / "memory/pods/u1/volumes/kubernetes.io~empty-dir/m"
    assert (found["s"] / "k").read_bytes() == b"hidden"
    assert found["h"].is_dir() and found["e"].stat().st_mode & 0o777 == 0o777
    assert {(tmp_path / place / "pods/u1").stat().st_mode & 0o777 for place in ("disk", "memory")} == {0o750}
    mounter.tear_down(pod, settings)
    assert not (tmp_path / "disk/pods/u1").exists() and not (tmp_path / "memory/pods/u1").exists()
    assert found["h"].is_dir()  # the host's own stays


def test_with_a_group_nothing_is_written_twice(tmp_path: Path) -> None:
    files = {"key": File(b"x", 0o600)}
    assert atomic.write(tmp_path, files, group=os.getgid())
    assert not atomic.write(tmp_path, files, group=os.getgid())
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o640


def test_a_sub_path_through_a_planted_link_makes_nothing_outside(tmp_path: Path) -> None:
    settings = EdgedSettings("edge-1", "0", root=tmp_path / "root", pod_logs=tmp_path / "logs")
    pod = POD | {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    mounter.set_up(pod, MATERIAL, settings)
    (tmp_path / "outside").mkdir()
    (mounter.paths(pod, settings)["v"] / "link").symlink_to(tmp_path / "outside")
    container = {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "link/made"}]}
    with pytest.raises(ConfigError, match="leads outside the volume"):
        mounter.prepare_mounts(pod, container, settings, {})
    assert list((tmp_path / "outside").iterdir()) == []
