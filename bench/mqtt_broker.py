"""Our MQTT broker beside mosquitto, in the same run and in turns. One command: ``python3 build.py bench mqtt``.

Each figure is the median of some rounds; in each round one broker works while the other rests. Messages are counted per second of
the broker's processor time, which the load generator and other programs on the machine disturb least; the delay at the median is
from the generator's write to its read, and holds its own time as well. Only ratios say something about other machines.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from mqtt_cases import CASES, PARTS, Case
from mqtt_load import Way
from mqtt_targets import Certificate, Mosquitto, Ours, Target, allow_descriptors

WARM = 0.15
"""Seconds of traffic before the measurement, at most."""
CONNECTIONS = 500
FULL = 10_000
DESCRIPTORS_BESIDE = 100
MISSING = float("nan")

Figures = dict[str, float]


class Table:
    """Figures of all targets, side by side; the ratio is of the first two."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self._rows: list[list[str]] = []

    def head(self) -> None:
        print(f"{'':<68}" + "".join(f"{name:>12}" for name in self.names) + f" {'':<10} ratio  ranges", flush=True)

    def add(
        self, what: str, unit: str, found: dict[str, list[float]], *, less_is_better: bool = False, keep: bool = True
    ) -> None:
        """Prints a line. keep: it is also a row of the document, or the end of one where it is indented."""
        medians = [statistics.median(found[name]) for name in self.names]
        ratio = ""
        if len(medians) > 1 and all(math.isfinite(each) and each for each in medians[:2]):
            ratio = f"{medians[1] / medians[0] if less_is_better else medians[0] / medians[1]:.2f}x"
        spread = " ".join(f"[{_text(min(found[name]))}-{_text(max(found[name]))}]" for name in self.names)
        print(f"{what:<68}" + "".join(f"{_text(each):>12}" for each in medians) + f" {unit:<10} {ratio:>5}  {spread}", flush=True)
        if keep and what.startswith(" "):
            self._rows[-1].append(" / ".join(map(_text, medians)) + f" {unit}")
        elif keep:
            self._rows.append([what, *map(_text, medians), ratio.removesuffix("x")])

    def markdown(self) -> str:
        heads = ["", *self.names, "times as good", ""]
        filled = [row + [""] * (len(heads) - len(row)) for row in self._rows]
        return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in filled)])


def _text(value: float) -> str:
    """To three digits."""
    if math.isnan(value) or not value:
        return "-"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


class Bench:
    def __init__(self, targets: list[Target], certificate: Certificate, rounds: int, seconds: float) -> None:
        self.targets, self.rounds, self.seconds = targets, rounds, seconds
        self._trusted = certificate.client()
        self.table = Table([target.name for target in targets])

    def way(self, target: Target, *, tls: bool = False) -> Way:
        return Way(target.secure, self._trusted) if tls else Way(target.port)

    def in_turns(self, work: Callable[[Target], Figures]) -> dict[str, dict[str, list[float]]]:
        """What ``work`` gives, by figure and target."""
        found: dict[str, dict[str, list[float]]] = {}
        for number in range(self.rounds):
            for target in self.targets[:: 1 if number % 2 else -1]:
                for key, value in work(target).items():
                    found.setdefault(key, {name: [] for name in self.table.names})[target.name].append(value)
        return found

    def traffic(self, case: Case) -> None:
        with ExitStack() as crowds:
            if case.idle:
                for target in self.targets:
                    for sock in self.way(target, tls=case.tls).crowd("idle", case.idle):
                        crowds.enter_context(sock)
            found = self.in_turns(partial(self._traffic, case))
        self.table.add(case.name, "per CPU s", found["rate"])
        self.table.add("    delay at the median", "us", found["delay"], less_is_better=True)
        self.table.add("    messages per second of the clock", "per s", found["wall"], keep=False)
        busy = statistics.median(itertools.chain.from_iterable(found["busy"].values()))
        if busy > 95:
            print(f"    the generator was busy for {busy:.0f} % of the time: delays and rates by the clock are its own")

    def _traffic(self, case: Case, target: Target) -> Figures:
        way = self.way(target, tls=case.tls)
        load = case.open(way)
        try:
            load.run(min(WARM, self.seconds / 2))
            for channel in load.channels:
                channel.delays.clear()
            cpu, mine, count, start = target.cpu(), time.thread_time(), load.received, time.perf_counter()
            load.run(self.seconds)
            took, count, mine, cpu = (
                time.perf_counter() - start,
                load.received - count,
                time.thread_time() - mine,
                target.cpu() - cpu,
            )
            delays = [delay for channel in load.channels for delay in channel.delays]
            load.settle()
        finally:
            load.close()
        case.leave(way)
        median = statistics.median(delays) * 1e6 if delays else MISSING
        return {"rate": count / cpu, "wall": count / took, "delay": median, "busy": mine / took * 100}

    def connections(self) -> None:
        for tls in (False, True):
            found = self.in_turns(partial(self._connect, tls))
            what = f"connections with a subscription{', TLS' if tls else ''}"
            self.table.add(what, "per CPU s", found["rate"])
            self.table.add("    by the clock, from one thread", "per s", found["wall"], keep=False)

    def _connect(self, tls: bool, target: Target) -> Figures:
        count = CONNECTIONS // (5 if tls else 1)
        cpu, start = target.cpu(), time.perf_counter()
        sockets = list(self.way(target, tls=tls).crowd("come", count))
        took, cpu = time.perf_counter() - start, target.cpu() - cpu
        for sock in sockets:
            sock.close()
        return {"rate": count / cpu, "wall": count / took}

    def memory(self, fresh: list[Target], descriptors: int) -> None:
        """Of brokers that have done nothing before."""
        full = min(FULL, descriptors - DESCRIPTORS_BESIDE)
        found: dict[int, dict[str, list[float]]] = {count: {} for count in (0, 1000, full)}
        secure: dict[str, list[float]] = {}
        for target in fresh:
            target.start()
            try:
                sockets: list[socket.socket] = []
                for count, resident in found.items():
                    sockets += self.way(target).crowd(f"at-{count}", count - len(sockets))
                    resident[target.name] = [_settled(target)]
                for sock in sockets:
                    sock.close()
            finally:
                target.close()
            target.start()
            try:
                before = _settled(target)
                sockets = list(self.way(target, tls=True).crowd("at", 500))
                secure[target.name] = [(_settled(target) - before) / 500]
                for sock in sockets:
                    sock.close()
            finally:
                target.close()
        for count, figures in found.items():
            megabytes = {name: [value / 1024 for value in values] for name, values in figures.items()}
            self.table.add(f"resident memory with {count:,} connections", "MiB", megabytes, less_is_better=True)
        each = {name: [(values[0] - found[0][name][0]) / full] for name, values in found[full].items()}
        self.table.add("    of each connection with a subscription", "KiB", each, less_is_better=True)
        self.table.add("    of each with TLS", "KiB", secure, less_is_better=True)

    def added(self, nothing: Target, ours: Target) -> None:
        """What a broker without clients adds to a program on trio."""
        resident = []
        for target in (nothing, ours):
            target.start()
            try:
                resident.append(_settled(target) / 1024)
            finally:
                target.close()
        print(f"a program on trio takes {resident[0]:.1f} MiB, the broker adds {resident[1] - resident[0]:.1f} MiB", flush=True)


def _settled(target: Target) -> float:
    """The memory of a broker once it has come to rest."""
    before = -1.0
    while target.cpu() - before > 0.01:
        before = target.cpu()
        time.sleep(0.3)
    return target.memory()


class Run:
    """One table of all that was asked for."""

    def __init__(self, words: argparse.Namespace, folder: Path) -> None:
        self._words = words
        self._folder = folder
        self._certificate = Certificate.make(folder)

    def _brokers(self, *options: str) -> list[Target]:
        found: list[Target] = [Ours(self._certificate, options=options)]
        if not self._words.alone:
            found.append(Mosquitto(self._certificate, self._folder))
        if self._words.beside is not None:
            found.append(Ours(self._certificate, "beside", self._words.beside.resolve(), options))
        return found

    def go(self, parts: list[str]) -> None:
        words, descriptors = self._words, allow_descriptors()
        start, load = time.monotonic(), os.getloadavg()[0]
        bench = Bench(self._brokers(), self._certificate, words.rounds, words.seconds)
        bench.table.head()
        cases = [case for case in CASES if case.part in parts and words.like in case.name]
        self._measure(bench, [case for case in cases if case.part != "durable"], connections="connections" in parts)
        bench.targets = self._brokers("--journal", str(self._folder))
        self._measure(bench, [case for case in cases if case.part == "durable"])
        if "memory" in parts:
            bench.memory(self._brokers(), descriptors)
            bench.added(Ours(self._certificate, options=("--nothing",)), Ours(self._certificate))
        if words.markdown:
            print(f"\n{bench.table.markdown()}\n")
        took, after = time.monotonic() - start, os.getloadavg()[0]
        print(f"{took:.0f} s; load {load:.1f} at the beginning, {after:.1f} at the end, {os.cpu_count()} processors", flush=True)

    def _measure(self, bench: Bench, cases: list[Case], *, connections: bool = False) -> None:
        with ExitStack() as running:
            for target in bench.targets if cases or connections else []:
                target.start()
                running.callback(target.close)
            for case in cases:
                bench.traffic(case)
            if connections:
                bench.connections()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each round of one kind of traffic")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}; default: all")
    parser.add_argument("--like", default="", help="only traffic whose description holds this, such as 'one outstanding'")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="another checkout, whose broker is measured, too")
    parser.add_argument("--alone", action="store_true", help="without mosquitto")
    parser.add_argument(
        "--steady",
        action="store_true",
        help="all on one processor, which nobody else gets meanwhile (real-time priority): steadier on a busy machine",
    )
    parser.add_argument("--markdown", action="store_true", help="the table once more, for a document")
    words = parser.parse_args()
    parts = words.parts.split(",")
    if wrong := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {', '.join(wrong)}; there are {', '.join(PARTS)}")
    if words.steady:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        except PermissionError:
            parser.error("--steady needs the right to set a real-time priority, as root has")
    with tempfile.TemporaryDirectory() as folder:
        Run(words, Path(folder)).go(parts)


if __name__ == "__main__":
    main()
