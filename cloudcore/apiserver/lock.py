"""One process per data folder: two would give the same revision to different objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from beehive.files import Held, locked
from beehive.supervise import Fatal


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds ``folder`` for as long as the block runs; the kernel lets go of it when the process dies.

    Raises Fatal when another process holds it, OSError when it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / "lock"))
        except Held as error:
            raise Fatal(
                f"the data of the embedded Kubernetes API in {folder} are in use by another process (pid "
                f"{error.holder or 'unknown'}), and only one can serve them: stop that one, give this one another dataDir, or "
                "use a Kubernetes cluster, which any number of cloudcores can share"
            ) from error
        yield
