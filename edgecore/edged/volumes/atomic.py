"""Writes a set of files so that a reader sees all of the old ones or all of the new ones.

The layout is kubelet's (Kubernetes 1.32: pkg/volume/util/atomic_writer.go): the files stand in a directory with a time in its
name, ``..data`` links to that directory, and each visible name links through ``..data``. One rename swaps everything.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edgecore.edged.volumes.payload import File

DATA: Final = "..data"
_NEW: Final = "..data_tmp"


def is_written(target: Path) -> bool:
    """Whether a set of files was written there once."""
    return (target / DATA).is_symlink()


def write(target: Path, files: Mapping[str, File], *, group: int | None = None) -> bool:
    """Brings ``target`` to ``files``; False when it was so already. group: fsGroup, applied to the files.

    Raises OSError; the old set is then unharmed.
    """
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o755)
    if is_written(target) and _current(target) == {path: (file.data, _mode(file, group)) for path, file in files.items()}:
        _link_names(target, files)
        return False
    old = (target / DATA).readlink() if is_written(target) else None
    stamp = datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=target))
    try:
        _fill(fresh, files, group)
        link = target / _NEW
        link.unlink(missing_ok=True)
        link.symlink_to(fresh.name)
        link.replace(target / DATA)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    _link_names(target, files)
    _drop_old(target, keep=fresh.name, old=old)
    return True


def _mode(file: File, group: int | None) -> int:
    """fsGroup may read everything."""
    return file.mode | (0o040 if group is not None else 0)


def _fill(folder: Path, files: Mapping[str, File], group: int | None) -> None:
    folder.chmod(0o755)
    for path, file in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as out:
            os.fchmod(out.fileno(), _mode(file, group))
            if group is not None:
                os.fchown(out.fileno(), -1, group)
            out.write(file.data)


def _current(target: Path) -> dict[str, tuple[bytes, int]]:
    """What stands there now, with its modes."""
    base = target / DATA
    found: dict[str, tuple[bytes, int]] = {}
    for folder, _, names in os.walk(base):
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(base))] = (path.read_bytes(), path.stat().st_mode & 0o777)
    return found


def _link_names(target: Path, files: Mapping[str, File]) -> None:
    """One link for each first path component; names that are no more lose theirs."""
    wanted = {Path(path).parts[0] for path in files}
    for name in wanted:
        if not (target / name).is_symlink():
            (target / name).symlink_to(Path(DATA, name))
    for entry in target.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted and entry.is_symlink():
            entry.unlink()


def _drop_old(target: Path, *, keep: str, old: Path | None) -> None:
    for entry in target.iterdir():
        if entry.name.startswith("..") and entry.name not in (DATA, keep) and entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
