"""The demo, ``python3 build.py demo``: a cloud and an edge on this machine, a pod applied in the cloud, running on the edge.

Everything that it writes is under .demo/ in the repository. With --once it also takes the cloud away.
"""

from __future__ import annotations

# ruff: noqa: E402 - the modules take a moment to load, and Ctrl-C must be quiet already
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import logging
import os
import sys
from pathlib import Path

import trio
from acts import ROOT, Demo, shown
from story import Expected, tail

from keadm.steps import KeadmError


async def run(demo: Demo, once: bool) -> int:
    """The whole story. Ctrl-C and SIGTERM end it cleanly; the exit code is 0 only when all that was asked for was shown."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_until_signal, nursery.cancel_scope)
        try:
            await _acts(demo, once)
        except (Expected, KeadmError) as error:
            report(demo, error)
        finally:
            await _clear_away(demo)
        nursery.cancel_scope.cancel()
    if once and demo.finished and not demo.failed:
        demo.story.plain(f"\nAll of it worked, in {demo.story.seconds:.0f} s.")
    return 0 if demo.finished and not demo.failed else 1 if demo.failed else 130


async def _acts(demo: Demo, once: bool) -> None:
    await demo.clear_away(first=True)
    demo.folder.mkdir(mode=0o755)
    cluster = await demo.build_up()
    if once:
        await demo.take_the_cloud_away()
    demo.finished = True
    if not once:
        await demo.stay(cluster)


async def _clear_away(demo: Demo) -> None:
    try:
        await demo.clear_away()
    except (Expected, KeadmError) as error:
        report(demo, error)


async def _until_signal(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def report(demo: Demo, error: Exception) -> None:
    demo.failed = True
    text = f"Expected {error}" if isinstance(error, Expected) else str(error)
    demo.story.plain(f"\n{demo.story.seconds:6.1f} s  FAILED. {text}")
    log = getattr(error, "log", None)
    if log is not None:
        demo.story.plain(f"\nThe end of {log}:")
        demo.story.detail(tail(log))
    demo.story.plain(f"\nThe logs stay in {demo.folder}: {demo.cloud.log.name}, {demo.edge.log.name}\n")


def main() -> int:
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # the story is told by the demo itself
    parser = argparse.ArgumentParser(prog="build.py demo")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--runtime", choices=("auto", "docker", "process"), default="auto")
    words = parser.parse_args()
    folder = words.folder.absolute()
    if folder.exists() and folder.stat().st_uid != os.getuid():
        print(f"{folder} belongs to another user; remove it first", file=sys.stderr)  # noqa: T201
        return 1
    demo = Demo(folder, words.runtime, keep=words.keep)
    demo.story.plain(f"A cloud and an edge on this machine, talking over mutual TLS. Everything is under {shown(folder)}\n")
    return trio.run(run, demo, words.once)


if __name__ == "__main__":
    sys.exit(main())
