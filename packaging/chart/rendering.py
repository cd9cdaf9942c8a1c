"""What follows from other files: the chart's schema and definitions, and the plain manifests that the chart renders."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from schema import values_schema

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "packaging" / "chart" / "cloudcore"
RBAC = ROOT / "packaging" / "kubernetes" / "rbac.yaml"
MANIFEST = ROOT / "keadm" / "manifests" / "cloudcore.yaml"
SETTINGS = ("--namespace=kubeedge", "--kube-version=1.34.0", "--set=namespace.create=true,crds.enabled=false")
HELMS_OWN = re.compile(
    r"^# Source: .*\n"  # which template
    r"|^ *annotations:\n +helm\.sh/resource-policy: .*\n"
    r"|^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n",
    re.MULTILINE,
)
HEAD = """\
# Rendered from packaging/chart/cloudcore (python3 packaging/chart): change it there.
# {how}
"""


class Problem(Exception):
    """The text says what failed and what to do."""


def from_tree() -> dict[Path, str]:
    """Path and content of what follows from this tree alone."""
    files = {CHART / "values.schema.json": json.dumps(values_schema(), indent=1) + "\n"}
    for definition in sorted((ROOT / "cloudcore" / "crds").glob("*.yaml")):
        files[CHART / "files" / "crds" / definition.name] = definition.read_text()
    return files


def from_chart(helm: str) -> dict[Path, str]:
    """Path and content of what helm renders. Raises Problem."""
    whole = "kubectl apply -f cloudcore/crds -f packaging/kubernetes/cloudcore.yaml"
    rights = "The namespace and the rights alone: kubectl apply -f cloudcore/crds -f packaging/kubernetes/rbac.yaml"
    templates = ["--show-only=templates/namespace.yaml", "--show-only=templates/rbac.yaml"]
    return {
        MANIFEST: HEAD.format(how=whole) + render(helm),
        RBAC: HEAD.format(how=rights) + render(helm, *templates),
    }


def render(helm: str, *more: str) -> str:
    """The manifests without what only helm can use. Raises Problem."""
    argv = [helm, "template", "cloudcore", str(CHART), *SETTINGS, *more]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Problem(f"{helm} is missing: name it with --helm") from None
    if done.returncode:
        raise Problem(done.stderr.strip())
    return HELMS_OWN.sub("", done.stdout)


def stale(files: dict[Path, str]) -> list[Path]:
    """Those that say something else on the disk."""
    return [path for path, content in files.items() if not path.is_file() or path.read_text() != content]


def write(files: dict[Path, str]) -> None:
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
