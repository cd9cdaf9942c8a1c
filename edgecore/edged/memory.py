"""Where Secrets, tokens and ``medium: Memory`` stand: on a file system in memory, so that they are gone with the power."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edgecore.edged.runtime.select import instance_of

RUN: Final = Path("/run")


def memory_root(root: Path, *, run: Path = RUN, mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """For edged with the root directory ``root``. None when there is no such place for us (not root, or /run is no tmpfs): then
    they stand on disk, below ``root``."""
    try:
        kinds = [line.split()[2] for line in mounts.read_text().splitlines() if line.split()[1:2] == [str(run)]]
    except (OSError, UnicodeDecodeError, IndexError):
        return None
    if os.geteuid() != 0 or kinds[-1:] != ["tmpfs"]:
        return None
    return memory_folder(root, run=run)


def memory_folder(root: Path, *, run: Path = RUN) -> Path:
    """Where ``memory_root`` would be, for who cleans up."""
    return run / "edgecore" / (instance_of(root) or "node")
