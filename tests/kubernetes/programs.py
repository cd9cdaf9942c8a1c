"""Programs for the tests that come from the Go module registry: built once from the modules that a go.mod names, then kept
outside the tree.

    python3 tests/kubernetes/programs.py [kubectl]      builds what is not there (kubectl only when asked for), prints the folders

Runs on a bare Python. A folder's name carries a hash of everything that decides about the result, so a raised version, another
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import toolchain

HERE = Path(__file__).resolve().parent
FLAGS = "-trimpath -buildvcs=false"

Say = Callable[[str], None]


class Unavailable(Exception):
    """This machine cannot run what a test wants. The text says what it lacks and how to get it."""


class BuildFailed(Exception):
    """The programs could not be built although Go is there."""


@dataclass(frozen=True)
class Suite:
    """Programs that are built together and lie in one folder."""

    title: str
    module: str
    home: Path
    """Where the go.mod is that names ``module`` and, as tools, its programs."""
    names: tuple[str, ...]
    version_variable: str
    """What the linker sets to the version. Without one the API server calls itself v0.0.0-master and refuses to emulate any."""
    needs: tuple[tuple[str, str], ...] = ()
    """What else must be in PATH for them to be of use: program, Debian's package."""

    @property
    def version(self) -> str:
        """As go.mod names it: v1.34.4."""
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(self.module)} (v[\w.+-]+)", self._go_mod(), re.MULTILINE)
        assert found, f"{self.home}/go.mod names no version of {self.module}"
        return found[1]

    @property
    def needed_go(self) -> tuple[int, int]:
        found = re.search(r"^go (\d+)\.(\d+)", self._go_mod(), re.MULTILINE)
        assert found, f"{self.home}/go.mod names no version of Go"
        return int(found[1]), int(found[2])

    def _go_mod(self) -> str:
        return (self.home / "go.mod").read_text()

    @property
    def link_flags(self) -> str:
        return f"-s -w -X {self.version_variable}={self.version}"

    def folder(self, go_version: str) -> Path:
        """Where they belong when this Go builds them."""
        digest = hashlib.sha256("\0".join([go_version, FLAGS, self.link_flags, *self.names]).encode())
        for name in ("go.mod", "go.sum"):
            digest.update((self.home / name).read_bytes())
        return cache() / f"{self.title}-{self.version}-{digest.hexdigest()[:12]}"

    def complete(self, folder: Path) -> bool:
        return all((folder / name).is_file() for name in self.names)


_COMPONENT_VERSION = "k8s.io/component-base/version.gitVersion"
CONTROL_PLANE = Suite(
    "control-plane",
    "k8s.io/kubernetes",
    HERE,
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    _COMPONENT_VERSION,
    (("etcd", "etcd-server"),),
)
NODE = Suite(
    "node",
    "k8s.io/kubernetes",
    HERE,
    ("kubelet", "kube-proxy"),
    _COMPONENT_VERSION,
    (("containerd", "containerd"), ("runc", "runc"), ("iptables", "iptables"), ("ip", "iproute2"), ("nsenter", "util-linux")),
)
HELM = Suite("helm", "helm.sh/helm/v3", HERE / "helm", ("helm",), "helm.sh/helm/v3/internal/version.version")
KUBECTL = Suite("kubectl", "k8s.io/kubernetes", HERE, ("kubectl",), _COMPONENT_VERSION)
"""For machines whose own is too old, as Debian 12's (1.20) is."""
SUITES = (CONTROL_PLANE, NODE, HELM)


def ensure(say: Say, suite: Suite = CONTROL_PLANE) -> Path:
    """The folder with the programs; builds them the first time. Raises Unavailable, BuildFailed."""
    for program, package in suite.needs:
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is missing (apt-get install {package})")
    go = _go(suite)
    folder = suite.folder(go.version)
    if suite.complete(folder):
        return folder
    with _alone(folder):
        if not suite.complete(folder):
            _build(suite, go, folder, say)
    return folder


@dataclass(frozen=True)
class Go:
    """version: what it says of itself, such as "go1.24.4 linux/amd64"."""

    program: str
    version: str

    def reaches(self, needed: tuple[int, int]) -> bool:
        found = re.match(r"go(\d+)\.(\d+)", self.version)
        return found is None or (int(found[1]), int(found[2])) >= needed


def _go(suite: Suite) -> Go:
    """The one of this machine, or a newer one that it fetches. Raises Unavailable."""
    program = shutil.which("go")
    if program is None:
        raise Unavailable(f"Go is missing ({_dotted(suite.needed_go)} or newer, to build {suite.names[0]})")
    here = _asked(program)
    if here.reaches(suite.needed_go):
        return here
    try:
        with _alone(cache() / "toolchain"):
            return _asked(toolchain.fetch(program, _environment()))
    except toolchain.NotFetched as error:
        raise Unavailable(
            f"Go is too old: {here.version}; {_dotted(suite.needed_go)} or newer is needed to build {suite.names[0]} "
            f"{suite.version}, and Go {toolchain.VERSION} cannot be fetched: {error}"
        ) from error


def _asked(program: str) -> Go:
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=False, cwd=HERE, env=_environment())
    if done.returncode:
        raise Unavailable(f"{program} does not work: {done.stderr.strip()}")
    return Go(program, done.stdout.strip().removeprefix("go version "))


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgecore" / "kubernetes"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two builds at once would cost twice the time; the second waits and finds the result of the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(suite: Suite, go: Go, folder: Path, say: Say) -> None:
    """Into a folder beside the final one, which is then renamed: what is there is complete. One command for all of a suite: it
    links one program while it compiles for the next."""
    say(f"building {', '.join(suite.names)} {suite.version} for the tests into {folder} (the first time: minutes) ...")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as made:
        target = Path(made) / "programs"
        target.mkdir()
        packages = [f"{suite.module}/cmd/{name}" for name in suite.names]
        _run(suite, [go.program, "build", "-ldflags", suite.link_flags, "-o", f"{target}/", *packages])
        if folder.exists():
            shutil.rmtree(folder)
        target.rename(folder)
    say(f"... built ({time.monotonic() - began:.0f} s; next time it is only looked up)")


def _run(suite: Suite, argv: list[str]) -> None:
    done = subprocess.run(argv, cwd=suite.home, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise BuildFailed(f"{suite.title} {suite.version} cannot be built (`{' '.join(argv)}` in {suite.home}):\n{tail}")


def _environment() -> dict[str, str]:
    """GOTOOLCHAIN=local: whether another Go is fetched, and which, is decided here and not by go.mod."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": FLAGS, "GOTOOLCHAIN": "local", "GOWORK": "off"}


def main(titles: Sequence[str] = ()) -> int:
    """0: they are there. 3: this machine cannot have some, and all others are there. 1: a build failed."""
    code = 0
    for suite in [suite for suite in (*SUITES, KUBECTL) if suite.title in titles] or SUITES:
        try:
            print(ensure(lambda text: print(text, file=sys.stderr, flush=True), suite))
        except Unavailable as error:
            print(f"no {', '.join(suite.names)}: {error}", file=sys.stderr)
            code = 3
        except BuildFailed as error:
            print(error, file=sys.stderr)
            return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
