"""Chooses the engine of this node."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Literal

from edgecore.edged.runtime.docker import DockerEngine
from edgecore.edged.runtime.engine import EngineUnavailable
from edgecore.edged.runtime.process import ProcessEngine

log = logging.getLogger(__name__)

Kind = Literal["auto", "docker", "process"]
DEFAULT_ROOTS = (Path("/var/lib/kubelet"), Path("/var/lib/edged"))
"""The root directories of an edgecore that owns its machine: it sees every pod that docker has."""


async def open_engine(
    kind: Kind | str = "auto",
    *,
    docker_endpoint: str = "unix:///var/run/docker.sock",
    root: Path,
    sandbox_image: str = "",
) -> DockerEngine | ProcessEngine:
    """The engine for ``modules.edged.runtime``: docker, process, or auto (docker if it answers, else processes).

    root: edged's root directory; the process engine keeps its records in ``root/process``, and on docker another root than
    the usual makes an edgecore see only its own pods. With ``docker`` an engine that does not answer now is no error: it is
    returned all the same and asked again. Raises ValueError for another word.
    """
    if kind not in ("auto", "docker", "process"):
        raise ValueError(f"unknown container runtime {kind!r}: modules.edged.runtime is auto, docker or process")
    if kind != "process":
        docker = DockerEngine(docker_endpoint, sandbox_image=sandbox_image, instance=instance_of(root))
        try:
            info = await docker.info()
        except EngineUnavailable as error:
            if kind == "docker":
                log.error("%s; pods start as soon as it answers", error)
                return docker
            await docker.aclose()
            log.warning("%s", error)
        else:
            log.info("containers run on docker %s at %s", info.version, docker_endpoint)
            return docker
    log.warning(
        "containers run as plain processes of this machine: NOTHING ISOLATES them from it or from each other; "
        "images are ignored, a pod's command names a program of this machine (modules.edged.runtime: docker changes that)"
    )
    return ProcessEngine(root / "process")


def instance_of(root: Path) -> str:
    """What tells this edgecore's containers from those of another one on the same docker; empty for the machine's own."""
    absolute = root.absolute()
    return "" if absolute in DEFAULT_ROOTS else hashlib.sha256(str(absolute).encode()).hexdigest()[:12]
