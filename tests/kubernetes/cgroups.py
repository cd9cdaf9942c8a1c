"""A cgroup of one name in every hierarchy of this machine, which may be many (version 1) or one (version 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from e2e.harness import eventually

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")


def create(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()


def remove(name: str) -> None:
    """With all that is below it. Processes that were killed just now may still be in it for a moment."""
    for hierarchy in _hierarchies():
        if (hierarchy / name).exists():
            eventually(f"cgroup {hierarchy / name} is empty", lambda top=hierarchy / name: _removed(top), within=20, every=0.05)


def _removed(top: Path) -> bool:
    for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()
    top.rmdir()
    return True


def _hierarchies() -> Iterator[Path]:
    if (ROOT / "cgroup.controllers").exists():
        offered = (ROOT / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in CONTROLLERS if name in offered)
        (ROOT / "cgroup.subtree_control").write_text(wanted)
        yield ROOT
    else:
        yield from (path for path in ROOT.iterdir() if path.is_mount())
