"""A Go that is new enough, had through one that is not (Debian 12 has 1.19): each Go is a module as well (go.dev/doc/toolchain).

A Go from 1.21 on could do this by itself; older ones only download the module, and what they leave undone is done here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

VERSION = "1.24.6"
"""At least as new as every go.mod here asks for."""
SPARE = "_go.mod"
"""Inside of a module there cannot be another one, so those of the library and the commands are packed under this name."""


class NotFetched(Exception):
    """The text is what Go said."""


def fetch(old: str, environment: Mapping[str, str]) -> str:
    """The path of the new program; the second time nothing is downloaded. Raises NotFetched."""
    target = "-".join(_run([old, "env", "GOOS", "GOARCH"], environment).split())
    told = _run([old, "mod", "download", "-json", f"golang.org/toolchain@v0.0.1-go{VERSION}.{target}"], environment)
    try:
        root = Path(json.loads(told)["Dir"])
    except (ValueError, KeyError, TypeError):
        raise NotFetched(told.strip()) from None
    complete(root)
    return str(root / "bin" / "go")


def complete(root: Path) -> None:
    """What was unpacked becomes a toolchain: programs can be run, modules are named as such. May be done again."""
    for program in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
        program.chmod(0o555)
    for folder in (root / "src", root / "src" / "cmd"):
        if (folder / SPARE).exists() and not (folder / "go.mod").exists():
            folder.chmod(0o755)
            shutil.copy(folder / SPARE, folder / "go.mod")


def _run(argv: list[str], environment: Mapping[str, str]) -> str:
    """Outside of every module: an old Go does not understand the go.mod of a newer one."""
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(argv, cwd=nowhere, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotFetched((done.stderr or done.stdout).strip()[-500:])
    return done.stdout
