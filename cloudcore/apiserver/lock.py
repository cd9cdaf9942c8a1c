"""One process per data folder: two would give the same revision to different objects."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beehive.supervise import Fatal


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds ``folder`` for as long as the block runs; the kernel lets go of it when the process dies.

    Raises Fatal when another process holds it, OSError when it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise Fatal(
                f"the data of the embedded Kubernetes API in {folder} are in use by another process (pid {holder}): "
                "stop that one, or give this one another dataDir"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
