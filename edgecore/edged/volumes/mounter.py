"""The directories behind the volumes of a pod. Blocking: call it in a thread.

What a container sees at ``mountPath`` is such a directory, bound by the engine. Nothing is mounted here, so it works without
privileges; secrets, projected volumes (tokens) and ``medium: Memory`` stand on tmpfs if the settings name a directory on one.
What a reboot took from there is made anew before anything starts.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgecore.edged import pods
from edgecore.edged.environment import ConfigError
from edgecore.edged.settings import EdgedSettings
from edgecore.edged.volumes import atomic, mounts
from edgecore.edged.volumes.payload import PROJECTED, Material, kind_of, payload
from kube import objects
from kube.objects import Object

_PLUGINS: Final = {
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
    "emptyDir": "kubernetes.io~empty-dir",
}


class VolumeError(Exception):
    """A volume cannot be had now. The text begins as kubelet's: ``MountVolume.SetUp failed for volume "x" : ...``."""


def volume_path(pod: Object, volume: Object, settings: EdgedSettings) -> Path:
    """Where the volume stands on this node."""
    kind = kind_of(volume) or "emptyDir"
    source = pods.mapping(volume.get(kind))
    if kind == "hostPath":
        return Path(str(source.get("path") or ""))
    in_memory = kind in ("secret", "projected") or (kind == "emptyDir" and source.get("medium") == "Memory")
    root = settings.memory_root if in_memory and settings.memory_root else settings.root
    return root / "pods" / objects.uid(pod) / "volumes" / _PLUGINS.get(kind, "unsupported") / str(volume["name"])


def paths(pod: Object, settings: EdgedSettings) -> dict[str, Path]:
    """The directory behind each volume."""
    return {str(v["name"]): volume_path(pod, v, settings) for v in pods.volumes(pod)}


def set_up(pod: Object, material: Material, settings: EdgedSettings) -> list[str]:
    """Makes every volume, and brings those made of objects to their newest content.

    Returns complaints about volumes that could not be brought up to date but are there; raises VolumeError for the first one
    that is not there.
    """
    complaints: list[str] = []
    _make_private(objects.uid(pod), settings)
    for volume in pods.volumes(pod):
        target = volume_path(pod, volume, settings)
        try:
            _set_up_one(pod, volume, target, material)
        except (ConfigError, OSError, ValueError) as error:  # ValueError: a path with NUL in it
            text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
            if not atomic.is_written(target):
                raise VolumeError(text) from error
            complaints.append(text)
    return complaints


def _make_private(uid: str, settings: EdgedSettings) -> None:
    """The pod's own directories, closed to other users of this machine: files of Secrets below them are often 0644."""
    for root in _roots(settings):
        folder = root / "pods" / uid
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o750)


def _set_up_one(pod: Object, volume: Object, target: Path, material: Material) -> None:
    kind = kind_of(volume) or "emptyDir"
    if kind in PROJECTED:
        atomic.write(target, payload(pod, volume, material), group=_group(pod))
    elif kind == "emptyDir":
        _empty_dir(pod, target)
    elif kind == "hostPath":
        if not target.is_absolute() or ".." in target.parts:
            raise ConfigError(f"hostPath {str(target)!r} must be absolute and must not contain '..'")
        _host_path(target, str(pods.mapping(volume.get("hostPath")).get("type") or ""))
    else:
        raise ConfigError(f"volumes of kind {kind} are not supported on this node")


def _group(pod: Object) -> int | None:
    """fsGroup, which only root can apply."""
    found = pods.number(pods.mapping(objects.spec(pod).get("securityContext")).get("fsGroup"))
    return int(found) if found is not None and os.geteuid() == 0 else None


def _empty_dir(pod: Object, target: Path) -> None:
    if target.is_dir():
        return
    target.mkdir(parents=True)
    target.chmod(0o777)
    if (group := _group(pod)) is not None:
        os.chown(target, -1, group)
        target.chmod(0o2777)


_CHECKS: Final = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a UNIX socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def _host_path(target: Path, kind: str) -> None:
    if kind == "DirectoryOrCreate":
        if not target.exists():
            target.mkdir(parents=True, mode=0o755)
        kind = "Directory"
    elif kind == "FileOrCreate":
        if not target.exists():
            target.touch(mode=0o644)
        kind = "File"
    if kind in _CHECKS:
        check, name = _CHECKS[kind]
        if not target.exists() or not check(target.stat().st_mode):
            raise ConfigError(f"hostPath type check failed: {target} is not {name}")


def prepare_mounts(pod: Object, container: Object, settings: EdgedSettings, env: Mapping[str, str]) -> None:
    """Makes the directories that subPath mounts name; what stands there must lie inside its volume.

    Raises ConfigError, OSError.
    """
    from edgecore.edged.environment import expand

    places = paths(pod, settings)
    for mount in pods.items(container.get("volumeMounts")):
        below = str(mount.get("subPath") or "") or expand(str(mount.get("subPathExpr") or ""), env)
        base = places.get(str(mount.get("name") or ""))
        if base is None or not below:
            continue
        target = base / below
        if not target.resolve().is_relative_to(base.resolve()):  # before anything is made: a container may have put links there
            raise ConfigError(f'subPath {below!r} of volume "{mount.get("name")}" leads outside the volume')
        if not target.exists():
            target.mkdir(parents=True, exist_ok=True)


def tear_down(pod: Object, settings: EdgedSettings) -> None:
    """Removes all directories of the pod, its logs included. Raises OSError."""
    folders = [root / "pods" / objects.uid(pod) for root in _roots(settings)]
    for folder in [*folders, settings.log_directory(pod)]:
        _remove(folder)


def remove_unknown(uid: str, settings: EdgedSettings) -> None:
    """Removes the directories of a pod of which nothing but the uid is known, its logs included. Raises OSError."""
    for root in _roots(settings):
        _remove(root / "pods" / uid)
    if settings.pod_logs.is_dir():
        for folder in settings.pod_logs.iterdir():
            if folder.name.endswith(f"_{uid}"):
                _remove(folder)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        mounts.release(folder)
        shutil.rmtree(folder)


def known_uids(settings: EdgedSettings) -> list[str]:
    """The pods that have a directory here. Raises OSError."""
    folders = [root / "pods" for root in _roots(settings)]
    return [entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir() if entry.is_dir()]


def _roots(settings: EdgedSettings) -> list[Path]:
    return [root for root in (settings.root, settings.memory_root) if root is not None]
