"""Many simulated edges in one process of their own, and the handle by which a test holds them.

As a program it reads what to run from its first line of input; each further line asks for the state of all edges as one line of
JSON. It ends with its input.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


class Fleet:
    """``names`` edges, who join through one of ``doors`` (pairs of https and wss addresses) with ``token``."""

    def __init__(self, folder: Path, names: Sequence[str], doors: Sequence[tuple[str, str]], token: str, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.names = list(names)
        self.log = folder / "fleet.log"
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edges.fleet"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": path},
            )
        self._lock = threading.Lock()
        order = {"folder": str(folder), "names": self.names, "doors": list(doors), "token": token, "seed": seed}
        self._say(order)

    def _say(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def state(self) -> FleetState:
        """Of all edges at this moment."""
        with self._lock:
            assert self._process.poll() is None, f"the simulated edges have ended: {self.log.read_text()[-3000:]}"
            assert self._process.stdout is not None
            self._say("state")
            return FleetState(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class FleetState:
    """stored: node -> wire resource -> [uid, resource version, fingerprint]. told: uid of a pod -> last phase that was taken.
    cpu: seconds that the simulation has used."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.stored: dict[str, dict[str, list[str]]] = raw["stored"]
        self.told: dict[str, str] = raw["told"]
        self.connected: set[str] = set(raw["connected"])
        self.problems: list[str] = raw["problems"]
        self.counts: Counter[str] = Counter(raw["counts"])
        self.cpu: float = raw["cpu"]


async def main() -> None:
    import trio
    from edges.simulated import Door, SimulatedEdge

    lines = _Lines(trio.lowlevel.FdStream(os.dup(0)))
    order = json.loads(await lines.next())
    doors = [Door(*pair) for pair in order["doors"]]
    edges = [SimulatedEdge(name, Path(order["folder"]) / name, doors, order["seed"]) for name in order["names"]]
    async with trio.open_nursery() as nursery:
        for edge in edges:
            nursery.start_soon(edge.run, order["token"])
        while await lines.next():
            await _write(json.dumps(_state(edges)).encode() + b"\n")
        nursery.cancel_scope.cancel()


async def _write(data: bytes) -> None:
    import trio

    async with trio.lowlevel.FdStream(os.dup(1)) as out:
        await out.send_all(data)


class _Lines:
    def __init__(self, stream: Any) -> None:
        self._stream, self._buffer = stream, b""

    async def next(self) -> bytes:
        """Empty at the end."""
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some(65536)
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _state(edges: Sequence[Any]) -> dict[str, Any]:
    from edges.simulated import essence

    counts: Counter[str] = Counter()
    for edge in edges:
        counts.update(edge.counts)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "stored": {
            edge.name: {
                path: [obj["metadata"]["uid"], obj["metadata"]["resourceVersion"], essence(obj)]
                for path, obj in edge.stored.items()
            }
            for edge in edges
        },
        "told": {uid: phase for edge in edges for uid, phase in edge.told().items()},
        "connected": [edge.name for edge in edges if edge.connected],
        "problems": [problem for edge in edges for problem in edge.problems],
        "counts": counts,
        "cpu": used.ru_utime + used.ru_stime,
    }


if __name__ == "__main__":
    import trio

    trio.run(main)
