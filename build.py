#!/usr/bin/env python3
"""The project's five words: demo, test, check, binary, bench. Runs on a bare Python 3.11+, needs nothing installed.

    python3 build.py demo [--once]     a cloud, an edge and a pod on this machine
    python3 build.py test [--fast]     every test
    python3 build.py check             formatting, lint, types, import rules
    python3 build.py bench             how long pods take, and what the programs cost in memory
    python3 build.py bench api         the embedded API beside kube-apiserver and etcd
    python3 build.py bench mqtt        the MQTT broker beside mosquitto
    python3 build.py binary            not built yet

A virtual environment of its own is made in .venv the first time, and again when setup.cfg changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "built-from.json"
LAYERS = ("unit", "integration", "e2e", "faults", "conformance")
PLAIN = ("edge", "cloud")
DEVELOPER = ("edge", "cloud", "dev")
PROGRAMS = ROOT / "tests" / "kubernetes" / "programs.py"
BENCHES = {
    "pods": ("pods.py", ("runtime",)),
    "api": ("api.py", ("rounds",)),
    "mqtt": ("mqtt_broker.py", ("rounds", "seconds", "parts", "like", "steady", "markdown")),
}
"""The program of each benchmark and the options that it takes."""
NOT_HERE = 3
"""Exit code of PROGRAMS on a machine without Go, etcd or containerd."""
NEWEST_LOG = ROOT / ".cache" / "build.log"


class BuildError(Exception):
    """The text says what failed, why, and what to do next."""


def main(arguments: list[str]) -> int:
    words = _parser().parse_args(arguments)
    try:
        return int(words.run(words))
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbuild.py: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build.py", description="Everything that this project does with itself.")
    words = parser.add_subparsers(required=True, metavar="WORD")
    demo = words.add_parser("demo", help="a cloud, an edge and a pod on this machine, step by step")
    demo.add_argument("--once", action="store_true", help="go through the whole story (also: the cloud gone), clean up, exit")
    demo.add_argument("--runtime", choices=("auto", "docker", "process"), default="auto", help="what runs the pod's container")
    demo.add_argument("--keep", action="store_true", help="leave .demo/ with its logs behind")
    demo.set_defaults(run=run_demo)
    test = words.add_parser("test", help="every test: " + ", ".join(LAYERS))
    test.add_argument("--fast", action="store_true", help="without the tests that need docker, Kubernetes or minutes")
    test.add_argument("-k", metavar="EXPRESSION", help="only tests whose name matches, as pytest's -k")
    test.add_argument("paths", nargs="*", help="only these files or folders")
    test.set_defaults(run=run_test)
    words.add_parser("check", help="formatting, lint, types and import rules").set_defaults(run=run_check)
    bench = words.add_parser("bench", help="how long pods take, how fast the embedded API or the broker is, and what that costs")
    bench.add_argument("what", choices=tuple(BENCHES), nargs="?", default="pods", help="default: pods")
    bench.add_argument("--runtime", choices=("docker", "process"), help="of the pods; default: docker if it answers")
    bench.add_argument("--rounds", type=int, help="of the api and mqtt: more of them are less a matter of luck")
    bench.add_argument("--seconds", type=float, help="of mqtt: how long one round of one kind of traffic takes")
    bench.add_argument("--parts", help="of mqtt: only these, with commas; an unknown one tells which there are")
    bench.add_argument("--like", help="of mqtt: only traffic whose description holds this, such as 'one outstanding'")
    bench.add_argument("--steady", action="store_true", help="of mqtt: on one processor at real-time priority, for busy machines")
    bench.add_argument("--markdown", action="store_true", help="of mqtt: the table once more, for a document")
    bench.set_defaults(run=run_bench)
    binary = words.add_parser("binary", help="not built yet")
    binary.set_defaults(run=run_later, word="binary")
    return parser


def run_demo(words: argparse.Namespace) -> int:
    python = environment(PLAIN)
    command = [str(python), str(ROOT / "examples" / "demo"), "--runtime", words.runtime]
    command += [flag for flag, wanted in (("--once", words.once), ("--keep", words.keep)) if wanted]
    return _replace(command)


def run_test(words: argparse.Namespace) -> int:
    python = environment(DEVELOPER)
    paths = words.paths or [f"tests/{layer}" for layer in LAYERS if any((ROOT / "tests" / layer).rglob("test_*.py"))]
    command = [str(python), "-m", "pytest", "-o", "faulthandler_timeout=300", *paths]
    if words.fast:
        print("--fast: left out are tests that need docker or minutes, and the Kubernetes half of tests/e2e", flush=True)
        command += ["-m", "not docker and not slow and not kubernetes"]
    elif not words.paths and not words.k:
        build_kubernetes(python)
    if words.k:
        command += ["-k", words.k]
    if not words.paths and not words.k:
        command += ["-n", str(_workers()), "--dist", "loadgroup"]
    return _replace(command)


def _workers() -> int:
    """One more than there are processors: the long tests wait for other programs most of the time."""
    return (os.cpu_count() or 1) + 1


def build_kubernetes(python: Path) -> None:
    """Minutes the first time, so it comes before the tests and shows what it does (tests that are chosen by name build it when
    they come to need it). A machine that cannot is told so."""
    code = subprocess.run([str(python), str(PROGRAMS)], stdout=subprocess.DEVNULL, check=False).returncode
    in_ci = os.environ.get("CI") == "true"
    if code == NOT_HERE and not in_ci:
        print("THE TESTS THAT NEED WHAT IS MISSING ABOVE ARE LEFT OUT; CI never leaves them out", flush=True)
    elif code:
        raise BuildError("there is no Kubernetes to test with, see above; `test --fast` goes without it")


def run_bench(words: argparse.Namespace) -> int:
    program, flags = BENCHES[words.what]
    command = [str(environment(DEVELOPER)), str(ROOT / "bench" / program)]
    for flag in flags:
        value = getattr(words, flag)
        if value:
            command += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    return _replace(command)


def run_check(_: argparse.Namespace) -> int:
    python = environment(DEVELOPER)
    tools = python.parent
    failed = []
    for name, command in (
        ("format", [str(tools / "ruff"), "format", "--check", "."]),
        ("lint", [str(tools / "ruff"), "check", "."]),
        ("types", [str(tools / "mypy")]),
        ("types of build.py", [str(tools / "mypy"), "build.py"]),
        ("types of the demo", [str(tools / "mypy"), "examples/demo"]),
        ("types of the image recipe", [str(tools / "mypy"), "packaging/image"]),
        ("types of the chart's recipe", [str(tools / "mypy"), "packaging/chart"]),
        ("imports", [str(tools / "lint-imports")]),
    ):
        print(f"== {name}: {' '.join([Path(command[0]).name, *command[1:]])}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print("check: " + (f"failed: {', '.join(failed)}" if failed else "all good"))
    return 1 if failed else 0


def run_later(words: argparse.Namespace) -> int:
    raise BuildError(f"`{words.word}` is not built yet; the words that work now are demo, test, check and bench")


def _replace(command: list[str]) -> int:
    """Becomes ``command``, so that signals and the exit code are its own."""
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(command[0], command)  # noqa: S606 - no shell


# ---------------------------------------------------------------------------------------------- the virtual environment


def environment(extras: tuple[str, ...]) -> Path:
    """The Python of .venv with the project and ``extras`` installed; makes or renews it when it must."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is the one that runs before anything was checked
        raise BuildError(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]} ({sys.executable})")
    python = VENV / "bin" / "python"
    wanted = _fingerprint()
    fingerprint, installed = _stamp()
    if python.exists() and fingerprint == wanted and set(extras) <= installed:
        return python
    started = time.monotonic()
    if fingerprint != wanted or not python.exists():  # from nothing: what is not wanted any more goes, too
        print(f"setting up .venv with Python {sys.version.split()[0]} ...", flush=True)
        _create()
    _install(python, sorted(set(extras) | installed), wanted)
    print(f"... the environment is ready ({time.monotonic() - started:.0f} s; next time it is only checked)", flush=True)
    return python


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{ROOT}\0{sys.version}".encode())
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _stamp() -> tuple[str, set[str]]:
    """From what .venv was made, and its extras; nothing when there is none, or none that can be read."""
    try:
        found = json.loads(STAMP.read_text(encoding="utf-8"))
        return str(found["fingerprint"]), set(map(str, found["extras"]))
    except (OSError, ValueError, KeyError, TypeError):
        return "", set()


def _create() -> None:
    program = Path(sys.executable).resolve()  # of .venv, where that is active: its target stays when .venv goes
    try:
        shutil.rmtree(VENV, ignore_errors=False)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise BuildError(f"{VENV} cannot be renewed: {error}. Remove it (it may belong to another user)") from error
    remedy = "On Debian and Ubuntu: apt install python3-venv"
    _logged([str(program), "-m", "venv", str(VENV)], "making the virtual environment", remedy)


def _install(python: Path, extras: list[str], fingerprint: str) -> None:
    print(f"installing the project and what it needs ({', '.join(extras)}) ...", flush=True)
    STAMP.unlink(missing_ok=True)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--editable", f".[{','.join(extras)}]"]
    remedy = "A package index must be reachable (proxy, mirror: see pip's PIP_INDEX_URL)"
    _logged(command, "installing with pip", remedy)
    stamp = {"fingerprint": fingerprint, "extras": extras}
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


def _logged(command: list[str], what: str, remedy: str) -> None:
    """Runs ``command`` with its output in a log file; shows the end of it when it fails."""
    NEWEST_LOG.parent.mkdir(exist_ok=True)
    with NEWEST_LOG.open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode
    if code != 0:
        tail = NEWEST_LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        print("\n".join(f"    {line}" for line in tail), file=sys.stderr)
        raise BuildError(f"{what} failed (exit code {code}). {remedy}. Whole output: {NEWEST_LOG}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
