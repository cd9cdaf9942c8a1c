"""The project with its ``cloud`` extra, and what it depends on, installed by pip into two folders."""

from __future__ import annotations

import configparser
import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from problem import Problem

ROOT = Path(__file__).resolve().parents[2]
EXTRA = "cloud"
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


def install(cache: Path, work: Path) -> tuple[Path, Path]:
    """Folders with the dependencies and with the project. Downloads go into ``cache`` and are used again. Raises Problem."""
    wheels = _wheels(cache)
    local = ["--no-index", "--find-links", str(wheels)]
    source = _copy(work / "source")
    _pip("wheel", "--no-deps", *local, "--wheel-dir", str(work / "wheel"), str(source), what="building the project")
    (wheel,) = (work / "wheel").glob("*.whl")
    needs, own = work / "needs", work / "own"
    _pip("install", "--no-compile", *local, "--target", str(needs), *requirements(), what="installing the dependencies")
    _pip("install", "--no-compile", "--no-deps", "--target", str(own), str(wheel), what="installing the project")
    for folder in (needs, own):
        shutil.rmtree(folder / "bin", ignore_errors=True)
        for unused in [*folder.glob("*/tests"), *folder.glob("*/_tests")]:
            shutil.rmtree(unused)
        for changing in [*folder.glob("*.dist-info/direct_url.json"), *own.glob("*.dist-info/RECORD")]:
            changing.unlink()  # they tell of this build's temporary folder
    return needs, own


def _wheels(cache: Path) -> Path:
    """One folder per set of requirements; a folder that is there is complete."""
    wanted = "\0".join([*requirements(), *TOOLS, platform.machine(), *map(str, sys.version_info[:2])])
    folder = cache / f"wheels-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        _pip("wheel", "--wheel-dir", str(part), *requirements(), *TOOLS, what="downloading the dependencies")
        part.rename(folder)
    return folder


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
