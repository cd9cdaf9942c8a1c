"""Images for tests, made from this machine's static busybox: there is no registry to rely on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
IMAGE = "edgecore.test/busybox:1"
APPLETS = (
    "sh",
    "cat",
    "sleep",
    "echo",
    "httpd",
    "wget",
    "id",
    "env",
    "hostname",
    "nslookup",
    "ps",
    "kill",
    "true",
    "false",
    "tail",
    "seq",
)


def busybox_tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        data = BUSYBOX.read_bytes()
        program.size, program.mode = len(data), 0o755
        tar.addfile(program, io.BytesIO(data))
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
    return target.getvalue()


def ensure_busybox(endpoint: str) -> str:
    """Makes the image unless docker has it; blocks. Raises what the SDK raises."""
    import docker
    import docker.errors

    client = docker.APIClient(base_url=endpoint, version="auto", timeout=60)
    try:
        client.inspect_image(IMAGE)
    except docker.errors.ImageNotFound:
        repository, _, tag = IMAGE.partition(":")
        client.import_image_from_data(busybox_tar(), repository=repository, tag=tag, changes=['CMD ["/bin/sh"]'])
    finally:
        client.close()
    return IMAGE
