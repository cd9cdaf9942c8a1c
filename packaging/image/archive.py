"""An image as one file that docker, podman and containerd load: an OCI image layout that is a docker archive as well."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tree import MTIME

KEEP = 30 * 24 * 3600
"""Seconds for which a layer that nobody uses any more is kept."""
_OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Image:
    """config: the part of the configuration that says how to run it. tag: such as docker.io/me/cloudcore:1.2. created: seconds
    since 1970."""

    layers: Sequence[bytes]
    config: dict[str, Any]
    tag: str
    created: int


def architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def save(image: Image, path: Path, cache: Path) -> int:
    """Writes the file beside its name and renames it; returns its size in bytes. cache: where compressed layers are kept."""
    blobs: dict[str, bytes] = {}

    def keep(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layers = [keep(_compressed(layer, cache), "layer.v1.tar+gzip") for layer in image.layers]
    config = keep(_json(_configuration(image)), "config.v1+json")
    manifest = keep(
        _json({"schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json", "config": config, "layers": layers}),
        "manifest.v1+json",
    )
    name = {"io.containerd.image.name": image.tag, "org.opencontainers.image.ref.name": image.tag.rpartition(":")[2]}
    manifest |= {"annotations": name, "platform": {"architecture": architecture(), "os": "linux"}}
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [manifest]}
    docker = [{"Config": _blob(config["digest"]), "RepoTags": [image.tag], "Layers": [_blob(one["digest"]) for one in layers]}]
    files = {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    files |= {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index), "manifest.json": _json(docker)}
    _write(path, _tar(files))
    return path.stat().st_size


def _compressed(layer: bytes, cache: Path) -> bytes:
    """Most layers are those of last time, and this is what takes longest."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{hashlib.sha256(layer).hexdigest()}.tar.gz"
    if not path.is_file():
        _write(path, gzip.compress(layer, 6, mtime=0))
    path.touch()
    for old in cache.glob("*.tar.gz"):
        if time.time() - old.stat().st_mtime > KEEP:
            old.unlink(missing_ok=True)
    return path.read_bytes()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.rename(path)


def _configuration(image: Image) -> dict[str, Any]:
    diffs = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in image.layers]
    created = datetime.fromtimestamp(image.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created,
        "architecture": architecture(),
        "os": "linux",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": [{"created": created, "created_by": "packaging/image"} for _ in diffs],
    }


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, MTIME
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
