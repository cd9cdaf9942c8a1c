"""What the room costs those who only need a part of it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["kube.client", "kube.reflector", "kube.kubeconfig", "kube.patch", "kube.scheduling"])
def test_importing_brings_neither_the_http_client_nor_yaml(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('httpx2', 'httpcore2', 'yaml') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
