"""The real kubectl at both servers; what it prints is compared as what a person reads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

from differential.conversation import Api

WITHIN = 90.0
"""Seconds that one command may take on a machine that has much else to do."""
_AGE = re.compile(r"(?<![\w.:/-])\d+[smhd](\d+[smhd])?(?![\w.:/-])")
_VERSION = re.compile(r'(resourceVersion: )"\d+"')
_CLOCK = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")


def kubectl(
    api: Api, *words: str, stdin: str = "", editor: str = "", differs: str | Mapping[str, str] = "", keep: bool = True
) -> str:
    """Runs it in the scenario's namespace: one step with exit code, out and err. Returns what came out.

    editor: a sed expression that ``kubectl edit`` lets do its work.
    """
    program = shutil.which("kubectl")
    assert program, "kubectl is missing: apt-get install kubernetes-client"
    home = api.server.kubeconfig.parent
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(api.server.kubeconfig), "TZ": "UTC"}
    if editor:
        environment["KUBE_EDITOR"] = f"sed -i -e '{editor}'"
    done = subprocess.run(
        [program, f"--namespace={api.namespace}", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        env=environment,
        check=False,
    )
    if keep:
        said = {"exit": done.returncode, "out": _read(done.stdout), "err": _read(done.stderr)}
        api.note(f"kubectl {' '.join(words)}", said, differs)
    return done.stdout


def _read(text: str) -> list[str]:
    """Lines without the width of columns, which follows from ages and names, and without ages themselves."""
    lines = [_AGE.sub("<age>", _CLOCK.sub("<clock>", _VERSION.sub(r"\1<version>", line))) for line in text.splitlines()]
    return [re.sub(r"(?<=\S)\s{2,}", "  ", line).rstrip() for line in lines]
