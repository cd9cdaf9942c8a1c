"""A real broker under attack: its process, its memory, and an honest pair of clients that must not notice."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from e2e.harness import Program

HARD = int(os.environ.get("SIEGE", "1"))
"""How many times as hard as in an ordinary run."""
MIB = 1024 * 1024
_HONEST = Path(__file__).with_name("honest.py")


class Siege:
    """notes: what a test wants to say beside the figures that every siege has."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port
        self.before = self.memory()
        self.notes: list[str] = []

    def memory(self, field: str = "Pss") -> float:
        """Of the broker, in MiB."""
        for line in Path(f"/proc/{self.program.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"no {field}")

    def cpu(self) -> float:
        """Seconds of processor time of the broker so far."""
        words = Path(f"/proc/{self.program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.program.pid}/fd").iterdir())

    @property
    def peak(self) -> float:
        """How much more memory than at the beginning it has had at most, in MiB; a little too high: of the resident pages."""
        return self.program.memory("VmHWM") / MIB - self._resident

    def begin(self) -> None:
        """Measures from here."""
        Path(f"/proc/{self.program.pid}/clear_refs").write_text("5")
        self.before = self.memory()
        self._resident = self.memory("Rss")
        self._cpu = self.cpu()

    def report(self, name: str, honest: dict[str, float]) -> str:
        median, longest = honest["median"] * 1000, honest["longest"] * 1000
        parts = [
            f"{name}: PSS {self.before:.1f} MiB before, +{self.peak:.1f} at most, +{self.memory() - self.before:.1f} after",
            f"{self.cpu() - self._cpu:.1f} s of CPU",
            f"honest: {honest['messages']} messages, median {median:.1f} ms, longest {longest:.0f} ms",
            *self.notes,
        ]
        return "; ".join(parts)


@asynccontextmanager
async def besieged(
    folder: Path, name: str, *, growth: float, descriptors: int = 0, words: Sequence[str] = ()
) -> AsyncIterator[Siege]:
    """A broker with the honest pair beside what the block does. Afterwards all that the pair has published must have come, in
    order, over the connections it had; the broker must have said nothing of errors, and have grown by ``growth`` MiB at most.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
    program = Program("broker", [*limited, sys.executable, "-m", "edgecore", "broker", *(words or ["-p", "0"])], folder)
    program.start()
    try:
        siege = Siege(program, await _port(program))
        with trio.fail_after(60):
            async with _honest(siege) as result:
                siege.begin()
                yield siege
        program.must_run()
        line = siege.report(name, result)
        print(line)
        if "SIEGE_FIGURES" in os.environ:
            with Path(os.environ["SIEGE_FIGURES"]).open("a") as file:
                file.write(line + "\n")
        assert "Traceback" not in program.output(), program.output()[-3000:]
        assert siege.peak <= growth, line
    finally:
        program.kill()


async def _port(program: Program) -> int:
    with trio.fail_after(30):
        while not (found := re.search(r"port (\d+)", program.output())):
            program.must_run()
            await trio.sleep(0.02)
    return int(found[1])


@asynccontextmanager
async def _honest(siege: Siege) -> AsyncIterator[dict[str, float]]:
    """The pair; its figures are in the dictionary when the block has ended."""
    pair = await trio.lowlevel.open_process(
        [sys.executable, str(_HONEST), str(siege.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert pair.stdin is not None and pair.stdout is not None and pair.stderr is not None
    result: dict[str, float] = {}
    try:
        said = b""
        while not said.endswith(b"\n"):
            more = await pair.stdout.receive_some()
            assert more, await _all(pair.stderr)
            said += more
        yield result
        await pair.stdin.aclose()
        figures = await _all(pair.stdout)
        assert await pair.wait() == 0, (await _all(pair.stderr)) + siege.program.output()[-1000:]
        result |= json.loads(figures)
    finally:
        if pair.returncode is None:
            pair.kill()
        with trio.CancelScope(shield=True):
            await pair.wait()
            for stream in (pair.stdin, pair.stdout, pair.stderr):
                await stream.aclose()


async def _all(stream: trio.abc.ReceiveStream) -> str:
    data = b""
    async for chunk in stream:
        data += chunk
    return data.decode()
