"""The Kubernetes programs for the tests: built once from the modules that go.mod names, then kept outside the tree.

    python3 tests/kubernetes/programs.py      builds them if they are not there, prints their folder

Runs on a bare Python. The folder's name carries a hash of everything that decides about the result, so a raised version, another
Go or another flag builds anew and the old folder can be removed at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
FLAGS = "-trimpath -buildvcs=false"
ETCD = "etcd"

Say = Callable[[str], None]


class Unavailable(Exception):
    """This machine cannot run a Kubernetes for tests. The text says what it lacks and how to get it."""


class BuildFailed(Exception):
    """The programs could not be built although Go is there."""


def version() -> str:
    """Of Kubernetes, as go.mod names it: v1.34.4."""
    found = re.search(r"^\s*(?:require\s+)?k8s\.io/kubernetes (v[\w.+-]+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod names no version of k8s.io/kubernetes"
    return found[1]


def requirements() -> None:
    """Raises Unavailable when this machine has no etcd, or neither the built programs nor a Go that could build them."""
    if shutil.which(ETCD) is None:
        raise Unavailable("etcd is missing (apt-get install etcd-server)")
    if not _complete(folder_with(go())):
        _must_be_new_enough(go())


def go() -> str:
    """What `go version` says: "go1.24.4 linux/amd64". Raises Unavailable."""
    program = shutil.which("go")
    if program is None:
        raise Unavailable(f"Go is missing ({'.'.join(map(str, _needed()))} or newer, to build kube-apiserver)")
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=False, cwd=HERE, env=_environment())
    if done.returncode:
        raise Unavailable(f"{program} does not work: {done.stderr.strip()}")
    return done.stdout.strip().removeprefix("go version ")


def _must_be_new_enough(have: str) -> None:
    found = re.match(r"go(\d+)\.(\d+)", have)
    if found and (int(found[1]), int(found[2])) < _needed():
        needed = ".".join(map(str, _needed()))
        raise Unavailable(f"Go is too old: {have}; {needed} or newer is needed to build kube-apiserver {version()}")


def _needed() -> tuple[int, int]:
    found = re.search(r"^go (\d+)\.(\d+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod names no version of Go"
    return int(found[1]), int(found[2])


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgecore" / "kubernetes"


def folder_with(go_version: str) -> Path:
    """Where programs built by this Go belong."""
    digest = hashlib.sha256("\0".join([go_version, FLAGS, _link_flags(), *NAMES]).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((HERE / name).read_bytes())
    return cache() / f"{version()}-{digest.hexdigest()[:12]}"


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in NAMES)


def ensure(say: Say) -> Path:
    """The folder with the programs; builds them the first time. Raises Unavailable, BuildFailed."""
    requirements()
    folder = folder_with(go())
    if _complete(folder):
        return folder
    with _alone(folder):
        if not _complete(folder):
            _build(folder, say)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two builds at once would cost twice the time; the second waits and finds the result of the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, say: Say) -> None:
    """Into a folder beside the final one, which is then renamed: what is there is complete."""
    say(f"building Kubernetes {version()} for the tests into {folder} (the first time: minutes) ...")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as made:
        target = Path(made) / "programs"
        target.mkdir()
        for number, name in enumerate(NAMES, 1):
            start = time.monotonic()
            _run(["go", "build", "-ldflags", _link_flags(), "-o", str(target / name), f"k8s.io/kubernetes/cmd/{name}"], name)
            say(f"... {number}/{len(NAMES)} {name} ({time.monotonic() - start:.0f} s)")
        if folder.exists():
            shutil.rmtree(folder)
        target.rename(folder)
    say(f"... Kubernetes is built ({time.monotonic() - began:.0f} s; next time it is only looked up)")


def _run(argv: list[str], name: str) -> None:
    done = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise BuildFailed(f"{name} {version()} cannot be built (`{' '.join(argv)}` in {HERE}):\n{tail}")


def _link_flags() -> str:
    """Without a version in it, the API server calls itself v0.0.0-master and refuses to emulate any version."""
    return f"-s -w -X k8s.io/component-base/version.gitVersion={version()}"


def _environment() -> dict[str, str]:
    """GOTOOLCHAIN=local: a Go that is too old is said to be so, and does not fetch another one."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": FLAGS, "GOTOOLCHAIN": "local", "GOWORK": "off"}


def main() -> int:
    """0: they are there. 3: this machine cannot have them. 1: the build failed."""
    try:
        print(ensure(lambda text: print(text, file=sys.stderr, flush=True)))
    except (Unavailable, BuildFailed) as error:
        print(error, file=sys.stderr)
        return 3 if isinstance(error, Unavailable) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
