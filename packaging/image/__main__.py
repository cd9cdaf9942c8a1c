"""Makes the container image of cloudcore: no image registry, no docker, no root.

    python3 packaging/image --output cloudcore.tar [--tag NAME:TAG]

Inside are Python 3.11 and a few libraries of Debian 12, the project and what it depends on; no shell, no package manager; the
user is 65532. Needed: Debian 12 with apt, Python 3.11 with pip; network the first time. Load it with `docker load -i`,
`podman load -i` or `ctr -n k8s.io images import`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import archive
import bytecode
import debs
import elf
import system
import wheels
from problem import Problem
from tree import Tree

STDLIB, PACKAGES = "usr/lib/python3.11", "usr/local/lib/python3.11/dist-packages"
PROGRAM = """\
#!/usr/bin/python3.11 -I
import sys
from {module}.__main__ import main
sys.exit(main())
"""


def main() -> int:
    words = _parser().parse_args()
    began = time.monotonic()
    try:
        size = build(words.output, words.tag, words.cache)
    except Problem as error:
        print(f"packaging/image: {error}", file=sys.stderr)
        return 1
    print(f"{words.output}: {words.tag}, {size / 1e6:.1f} MB, made in {time.monotonic() - began:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgecore" / "image"
    parser = argparse.ArgumentParser(prog="python3 packaging/image", description="Makes the container image of cloudcore.")
    parser.add_argument("--output", type=Path, default=Path("cloudcore.tar"), help="where it goes [cloudcore.tar]")
    tag = f"docker.io/edgecore/cloudcore:{wheels.project_version()}"
    parser.add_argument("--tag", default=tag, help=f"its name, with registry and tag [{tag}]")
    parser.add_argument("--cache", type=Path, default=default, help=f"where downloads are kept [{default}]")
    return parser


def build(output: Path, tag: str, cache: Path) -> int:
    """Writes the image; returns its size in bytes. Raises Problem."""
    if sys.version_info[:2] != (3, 11):
        raise Problem(f"its bytecode is made by Python 3.11; this is {sys.version.split()[0]}: run `python3.11 packaging/image`")
    base = Tree()
    packages = debs.unpack(debs.fetch(cache / "debs"), base)
    system.configure(base)
    bytecode.compile_all(base, STDLIB)
    with tempfile.TemporaryDirectory(prefix="image-") as work:
        needs, own = wheels.install(cache, Path(work), PACKAGES)
    for tree in (needs, own):
        bytecode.compile_all(tree, PACKAGES)
    for program in ("cloudcore", "keadm"):
        own.file(f"usr/local/bin/{program}", PROGRAM.format(module=program), 0o755)
    elf.check(base, needs, own)
    for package in packages:
        print(f"  {package}")
    made = archive.Image([tree.layer() for tree in (base, needs, own)], configuration(), tag, _created())
    return archive.save(made, output, cache / "layers")


def configuration() -> dict[str, object]:
    """How the image runs."""
    title = "org.opencontainers.image."
    return {
        "User": f"{system.USER}:{system.USER}",
        "WorkingDir": "/",
        "Env": ["PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        "Entrypoint": ["/usr/local/bin/cloudcore"],
        "ExposedPorts": {"10000/tcp": {}, "10002/tcp": {}, "9091/tcp": {}},
        "StopSignal": "SIGTERM",
        "Labels": {
            title + "title": "cloudcore",
            title + "description": "The cloud half of an edge runtime for Kubernetes",
            title + "version": wheels.project_version(),
            title + "licenses": "Apache-2.0",
            title + "base.name": f"debian:{debs.RELEASE}",
            **({title + "revision": found} if (found := _git("rev-parse", "HEAD")) else {}),
        },
    }


def _created() -> int:
    """SOURCE_DATE_EPOCH, else when the newest commit was made, else 1970."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct")
    return int(text) if text.isdecimal() else 0


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(wheels.ROOT), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
