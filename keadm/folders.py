"""What of a node's folders is the node's: a cloudcore on the same machine keeps its files in them, too."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from edgecore.edged.volumes import mounts


def removable(folder: Path, kept: Collection[Path]) -> Iterator[Path]:
    """The topmost paths at or below ``folder`` that hold nothing of ``kept``. Raises OSError."""
    if folder in kept or not folder.exists():
        return
    if not any(path.is_relative_to(folder) and path.exists() for path in kept):
        yield folder
        return
    for entry in folder.iterdir():
        yield from removable(entry, kept)


def remove(folder: Path, kept: Collection[Path]) -> list[str]:
    """Removes what is removable; what could not be, with its reason."""
    failed = []
    try:
        for path in list(removable(folder, kept)):
            if path.is_dir() and not path.is_symlink():
                mounts.release(path)  # what is mounted there is not ours to empty
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        failed.append(f"{error.filename or folder}: {error.strerror}")
    return failed
