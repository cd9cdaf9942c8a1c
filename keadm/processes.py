"""Which of our programs run on this machine, from the process table: a pid file would be wrong after a crash or a reboot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import trio

from keadm.steps import KeadmError


def find(program: str, config: Path, *, default: Path) -> list[int]:
    """The process ids of ``program`` running with the configuration file ``config``; without ``--config`` it is ``default``."""
    return [pid for pid, words in _processes() if runs(words, program) and config_of(words, default) == str(config)]


def runs(words: Sequence[str], program: str) -> bool:
    """Whether a command line is ``program``, ``python .../program`` or ``python -m program``."""
    if Path(words[0]).name == program:
        return True
    first = next((word for word in words[1:] if not word.startswith("-")), "")
    return Path(words[0]).name.startswith("python") and Path(first).name == program


def config_of(words: Sequence[str], default: Path) -> str:
    for index, word in enumerate(words):
        if word == "--config" and index + 1 < len(words):
            return words[index + 1]
        if word.startswith("--config="):
            return word.partition("=")[2]
    return str(default)


def _processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            raw = (entry / "cmdline").read_bytes()
            if raw and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                yield int(entry.name), raw.decode(errors="replace").rstrip("\0").split("\0")


async def end(program: str, config: Path, *, default: Path, grace: float) -> bool:
    """TERM, and KILL after ``grace`` seconds; True when something was running. Raises KeadmError when it is not ours to end."""
    found = find(program, config, default=default)
    for number, limit in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        left = find(program, config, default=default)
        _signal(program, left, number)
        with trio.move_on_after(limit):
            while find(program, config, default=default):  # noqa: ASYNC110 - it is not our child
                await trio.sleep(0.05)
    return bool(found)


def _signal(program: str, pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise KeadmError(f"{program} (process {pid}) belongs to another user; run this as that user or as root") from error
