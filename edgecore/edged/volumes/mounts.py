"""What is mounted below a pod's directory: by another kubelet that had this node before, or by hand.

Such directories must never be emptied: what is in them may be somebody's NFS share. They are unmounted, as a kubelet would.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mounts")
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_NOFOLLOW: Final = 8
"""UMOUNT_NOFOLLOW, umount2(2)."""


def below(folder: Path, table: bytes) -> list[Path]:
    """The mount points at or below ``folder``, innermost first. table: /proc/self/mounts."""
    places = [_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), line.split()[1]) for line in table.splitlines() if line]
    found = {path for path in (Path(os.fsdecode(place)) for place in places) if path.is_relative_to(folder)}
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def release(folder: Path) -> None:
    """Unmounts all of them. Raises OSError, also when it cannot be known whether there are any."""
    for path in below(folder.resolve(), MOUNTS.read_bytes()):
        _unmount(path)


def _unmount(path: Path) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(path), _NOFOLLOW) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot unmount, so it is not removed: {os.strerror(number)}", str(path))
