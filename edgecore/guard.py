"""What must be true before edgecore starts: nobody else has its database, and no kubelet runs here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from beehive.files import Held, locked
from beehive.supervise import Fatal


@contextmanager
def only_one(database: Path) -> Iterator[None]:
    """Holds the lock of a database; the kernel drops it when the process dies.

    Raises Fatal when another process holds it, or the file cannot be made.
    """
    path = database.with_name(database.name + ".lock")
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path))
        except OSError as error:
            raise Fatal(
                f"cannot create {path}: {error.strerror}; set database.dataSource to a place that can be written"
            ) from error
        except Held as error:
            by = f" (process {error.holder})" if error.holder else ""
            raise Fatal(
                f"the database {database} is in use by another edgecore{by}; "
                "stop that one, or give this one its own database.dataSource"
            ) from error
        yield


def no_kubelet(environ: Mapping[str, str], proc: Path = Path("/proc")) -> None:
    """KubeEdge 1.23: edge/cmd/edgecore/app/server.go environmentCheck.

    Raises Fatal when a process named exactly ``kubelet`` runs here.
    """
    if environ.get("CHECK_EDGECORE_ENVIRONMENT") == "false":
        return
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = (entry / "comm").read_text(errors="replace").strip()
        except OSError:
            continue  # it has just ended
        if name == "kubelet":
            raise Fatal(
                f"kubelet runs on this machine (process {entry.name}) and would fight with edgecore over containers: stop it, "
                "or set CHECK_EDGECORE_ENVIRONMENT=false if you know better"
            )
