"""A cgroup of one name in every hierarchy of this machine, which may be many (version 1) or one (version 2)."""

from __future__ import annotations

from pathlib import Path

from e2e.harness import eventually

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "hugetlb", "memory", "pids")
"""What kubelet wants in its cgroup, as far as the kernel has it: kubelet 1.34, pkg/kubelet/cm/cgroup_v2_manager_linux.go."""


def create(name: str) -> None:
    offered = ROOT / "cgroup.controllers"
    if offered.exists():
        wanted = [f"+{controller}" for controller in CONTROLLERS if controller in offered.read_text().split()]
        (ROOT / "cgroup.subtree_control").write_text(" ".join(wanted))
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


def _hierarchies() -> list[Path]:
    return [ROOT] if (ROOT / "cgroup.controllers").exists() else [path for path in ROOT.iterdir() if path.is_mount()]
