"""The image of the docker tests, made from what the machine has."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from e2e.manifests import IMAGE

BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "echo", "httpd", "true", "false", "env", "wget", "test", "touch", "ls", "kill", "id")


def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=20).returncode == 0


def static_busybox() -> Path | None:
    return next((Path(path) for path in BUSYBOX if Path(path).exists()), None)


def import_image() -> None:
    """A busybox image made from this machine's static busybox, unless it is there: no registry is needed."""
    busybox = static_busybox()
    assert busybox is not None
    label = f"busybox={hashlib.sha256(busybox.read_bytes()).hexdigest()}"
    known = subprocess.run(["docker", "images", "-q", "--filter", f"label={label}", IMAGE], capture_output=True, check=False)
    if known.stdout.strip():
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        tar.add(busybox.resolve(), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    done = subprocess.run(
        ["docker", "import", "--change", "ENV PATH=/bin", "--change", f"LABEL {label}", "-", IMAGE],
        input=buffer.getvalue(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
