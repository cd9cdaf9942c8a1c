"""keadm join on a machine whose clock is behind, seen from the other side: the cloud's certificates begin tomorrow."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from clouds.scripted import ScriptedCloud

from viaduct import certificates


async def test_a_clock_before_the_start_of_the_certificate(
    monkeypatch: pytest.MonkeyPatch, keadm: Callable[..., Any], tmp_path: Path
) -> None:
    tomorrow = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=1)
    monkeypatch.setattr(certificates, "_now", lambda: tomorrow)
    cloud, prefix = ScriptedCloud(tmp_path), tmp_path / "node"
    async with cloud.certificate_server() as url:
        port = url.rpartition(":")[2].rstrip("/")
        words = (
            "join",
            "-e",
            "127.0.0.1:10000",
            "-s",
            port,
            "-t",
            cloud.token(86400 * 3),
            "-i",
            "early",
            "--prefix",
            str(prefix),
        )
        said = await trio.to_thread.run_sync(lambda: keadm(*words))
    assert said.code == 1
    assert "clock" in said.error
    assert tomorrow.strftime("%Y-%m-%d") in said.error
    assert datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d") in said.error
    assert "Traceback" not in said.err
    assert not prefix.exists() or not any(prefix.rglob("*"))
