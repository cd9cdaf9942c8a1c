"""The project with its ``cloud`` extra, and what it depends on, as pip would install them."""

from __future__ import annotations

import configparser
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from problem import Problem
from tree import Tree

ROOT = Path(__file__).resolve().parents[2]
EXTRA = "cloud"
LEFT_OUT = re.compile(r"^[^/]+\.data/|^[^/]+/_?tests/|\.dist-info/RECORD$")
TOOLS = ("setuptools>=68", "wheel")
PARTS = (
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "beehive",
    "kube",
    "viaduct",
    "edgecore",
    "cloudcore",
    "keadm",
    "mqtt",
)


def requirements() -> list[str]:
    """As setup.cfg names them."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser["options"]["install_requires"] + parser["options.extras_require"][EXTRA]
    return sorted({line.strip() for line in lines.splitlines() if line.strip()})


def project_version() -> str:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser["metadata"]["version"]


def install(cache: Path, work: Path, where: str) -> tuple[Tree, Tree]:
    """The dependencies and the project, below folder ``where`` of a tree each. Downloads go into ``cache`` and are used again.
    Raises Problem."""
    downloads = _downloads(cache)
    needs, own = Tree(), Tree()
    for wheel in sorted((downloads / "needs").glob("*.whl")):
        unpack(wheel, needs, where)
    unpack(_project(downloads / "tools", work), own, where)
    return needs, own


def unpack(wheel: Path, tree: Tree, where: str) -> None:
    """As pip installs it, without commands, tests, and the list of files."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            inside = re.sub(r"^[^/]+\.data/(?:purelib|platlib)/", "", name)
            if not name.endswith("/") and not LEFT_OUT.search(inside):
                tree.file(f"{where}/{inside}", archive.read(name), 0o755 if inside.endswith(".so") else 0o644)


def _downloads(cache: Path) -> Path:
    """One folder per set of requirements; a folder that is there is complete. needs: wheels. tools: what builds the project."""
    wanted = "\0".join([*requirements(), *TOOLS, platform.machine(), *map(str, sys.version_info[:2])])
    folder = cache / f"python-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        part = folder.with_suffix(f".{os.getpid()}")
        _pip("wheel", "--wheel-dir", str(part / "needs"), *requirements(), what="downloading the dependencies")
        _pip("install", "--target", str(part / "tools"), *TOOLS, what="downloading setuptools")
        try:
            part.rename(folder)
        except OSError:  # somebody else was faster
            shutil.rmtree(part)
    return folder


def _project(tools: Path, work: Path) -> Path:
    """The project's own wheel. Raises Problem."""
    source, target = _copy(work / "source"), work / "wheel"
    target.mkdir()
    build = f"import setuptools.build_meta as backend; backend.build_wheel({str(target)!r})"
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    done = subprocess.run([sys.executable, "-c", build], cwd=source, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"building the project failed:\n{done.stderr.strip()[-2000:]}")
    (wheel,) = target.glob("*.whl")
    return wheel


def _copy(target: Path) -> Path:
    """setuptools writes beside what it builds: not into this tree."""
    target.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, target / part)
    return target


def _pip(*arguments: str, what: str) -> None:
    argv = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise Problem(f"{what} failed:\n{tail}\npip and a package index (see pip's PIP_INDEX_URL) are needed the first time")
