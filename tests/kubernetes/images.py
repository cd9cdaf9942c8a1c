"""Images for the node of a test, made here: there is no registry to rely on."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence

from edgecore.edged.runtime.pause import architecture


def archive(name: str, root: bytes, *, command: Sequence[str]) -> bytes:
    """What `docker save` writes, for an image of one layer. root: a tar of its file system. name: with registry and tag,
    docker.io/test/pause:1."""
    layer = hashlib.sha256(root).hexdigest()
    configuration = json.dumps(
        {
            "architecture": architecture(platform.machine()),
            "os": "linux",
            "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        }
    ).encode()
    described = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = json.dumps([{"Config": described, "RepoTags": [name], "Layers": [f"{layer}/layer.tar"]}]).encode()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for path, content in ((described, configuration), (f"{layer}/layer.tar", root), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return target.getvalue()
