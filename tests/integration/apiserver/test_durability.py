"""What was acknowledged is there after SIGKILL, and its revision is never given to anything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import trio

from cloudcore.apiserver.store import Store

WRITER = """
import sys
from pathlib import Path
import trio
from cloudcore.apiserver.store import Store

async def main():
    store = Store(Path(sys.argv[1]))
    store.open()

    async def write(worker):
        for number in range(1_000_000):
            name = f"w{worker}-{store.revision}"
            result = await store.mutate("pods", "d", name, lambda _present: {"metadata": {"name": name}})
            print(name, result.after.revision, flush=True)

    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        for worker in range(8):
            nursery.start_soon(write, worker)

trio.run(main)
"""


async def test_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    newest = 0
    for round_ in range(3):
        acknowledged = await _write_until_killed(path, lines=150 + 70 * round_)
        store = Store(path)
        store.open()
        for name, revision in acknowledged.items():
            entry = store.get("pods", "d", name)
            assert entry is not None, f"{name} was acknowledged and is lost"
            assert entry.revision >= revision
        assert min(acknowledged.values()) > newest, "a revision was given twice"
        assert store.revision >= max(acknowledged.values())
        newest = store.revision
        store.database.peewee.close()


async def _write_until_killed(path: Path, lines: int) -> dict[str, int]:
    """Runs the writer, kills it after so many acknowledgements, and returns all that it gave."""
    found = b""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def start(*, task_status: trio.TaskStatus[trio.Process]) -> None:
                argv = [sys.executable, "-c", WRITER, str(path)]
                await trio.run_process(argv, stdout=subprocess.PIPE, check=False, task_status=task_status, env=dict(os.environ))

            process: trio.Process = await nursery.start(start)
            assert process.stdout is not None
            async for part in process.stdout:
                found += part
                if found.count(b"\n") >= lines and process.returncode is None:
                    process.send_signal(signal.SIGKILL)
    complete = found[: found.rindex(b"\n")].decode().splitlines()
    return {name: int(revision) for name, revision in (line.split() for line in complete)}
