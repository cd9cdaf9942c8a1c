"""Other people's clients on the embedded API: each has a conversation of its own in a program of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

if TYPE_CHECKING:
    from conftest import Server

CLIENTS = Path(__file__).parent / "clients"


@pytest.mark.parametrize("client", ["kubernetes", "kr8s", "lightkube"])
async def test_a_conversation(server: Server, client: str) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed; install the extra [dev]")
    argv = [sys.executable, "-W", "ignore", str(CLIENTS / f"with_{client}.py"), str(server.kubeconfig)]
    environment = server.environment | {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    with trio.fail_after(120):
        done = await trio.run_process(argv, capture_stdout=True, capture_stderr=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, b"done\n"), done.stderr.decode()
