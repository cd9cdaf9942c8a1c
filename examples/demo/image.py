"""A container image made from this machine's own Python, so that the demo needs no registry.

It holds the interpreter, the modules that the example's server loads, and the shared libraries of both; no shell, nothing
else. About 15 MB.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

REPOSITORY = "edgecore-demo/python"
SERVER_IMPORTS = "import http.server, html, os, signal, sys, pathlib, datetime, encodings.idna, json"
LIST_MODULES = f"{SERVER_IMPORTS}; [print(m.__file__) for m in list(sys.modules.values()) if getattr(m, '__file__', None)]"

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


class NoImage(Exception):
    """It could not be made; the text says why."""


def ensure_image(endpoint: str | None = None) -> tuple[str, bool, int]:
    """The image's name, whether it was made just now, and its size in bytes. Blocking: tens of milliseconds when it exists.

    Raises NoImage.
    """
    try:
        client = docker.DockerClient(base_url=endpoint or "unix:///var/run/docker.sock", timeout=60)
        try:
            return _ensure(client)
        finally:
            client.close()
    except (DockerException, OSError, subprocess.SubprocessError) as error:
        raise NoImage(f"making an image from {sys.executable} failed: {error}") from error


def _ensure(client: docker.DockerClient) -> tuple[str, bool, int]:
    name = f"{REPOSITORY}:{_version()}"
    try:
        return name, False, int(client.images.get(name).attrs["Size"])
    except ImageNotFound:
        changes = [f"ENV PATH={Path(_python()).parent}:/usr/bin", f"ENV PYTHONHOME={sys.base_prefix}"]
        client.api.import_image_from_data(_archive(), repository=REPOSITORY, tag=_version(), changes=changes)
        return name, True, int(client.images.get(name).attrs["Size"])


def _version() -> str:
    """Another interpreter, or another way of making the image, is another tag."""
    digest = hashlib.sha256(f"3\0{sys.base_prefix}\0{sys.version}".encode()).hexdigest()[:8]
    return f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}-{digest}"


def _python() -> str:
    return str(Path(sys.base_prefix) / "bin" / "python3")


def _archive() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        interpreter = Path(sys.executable).resolve()
        for source, name in _contents(interpreter):
            tar.add(source.resolve(), arcname=name.lstrip("/"), recursive=False)
        for folder in ("tmp", "etc", "srv"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return target.getvalue()


def _contents(interpreter: Path) -> Iterator[tuple[Path, str]]:
    yield interpreter, _python()
    modules = _modules(interpreter)
    packages = {module.parent for module in modules if module.name == "__init__.py"}
    # of a package everything: it loads parts of itself when it needs them
    files = {*modules, *(file for package in packages for file in package.rglob("*.py"))}
    for file in sorted(files):
        yield file, str(file)
    binaries = [interpreter, *(module for module in modules if module.suffix == ".so")]
    for shared in sorted({found for binary in binaries for found in _libraries(binary)}):
        yield Path(shared), shared


def _modules(interpreter: Path) -> list[Path]:
    """The files of the standard library that Python itself and the server load. Raises subprocess.SubprocessError."""
    listing = subprocess.run(
        [str(interpreter), "-I", "-S", "-c", LIST_MODULES], capture_output=True, text=True, timeout=60, check=True
    )
    return sorted({Path(line) for line in listing.stdout.splitlines() if line.startswith("/")})


def _libraries(binary: Path) -> list[str]:
    """What the dynamic loader would load for it; nothing for a static program."""
    done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, timeout=20, check=False)  # noqa: S607
    return _LIBRARY.findall(done.stdout)
