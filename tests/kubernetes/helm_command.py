"""Helm, run as a user would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Helm:
    """``helm("install", "edge", chart, "--wait")`` returns what it printed; its settings and caches lie in ``home``."""

    def __init__(self, program: Path, kubeconfig: Path, home: Path) -> None:
        self.program = program
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    def __call__(self, *arguments: str | Path, within: float = 180) -> str:
        """AssertionError with what it said when it fails. within: seconds."""
        done = self.run(*arguments, within=within)
        assert done.returncode == 0, f"helm {' '.join(map(str, arguments))}: {done.stderr.strip() or done.stdout.strip()}"
        return done.stdout

    def run(self, *arguments: str | Path, within: float = 180) -> subprocess.CompletedProcess[str]:
        """As a call, for what may fail."""
        return subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, timeout=within, env=self._environment, check=False
        )
