"""cloudcore --standalone is killed again and again while clients write: nothing acknowledged is lost, no revision is used twice.

By default a few kills. ``API_KILLS=300`` is the long run; ``API_KILLS_SEED`` chooses another history.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from e2e.harness import Cloud, eventually
from faults.apiwriters import BROKEN, PLURALS, SPACE, Door, Ledger, Watcher, Writer, ask, listed

KILLS = int(os.environ.get("API_KILLS", "8"))
SEED = int(os.environ.get("API_KILLS_SEED", "1"))
WRITERS = 3
"""Of each kind."""
LONGEST = 0.6
"""Seconds of writing before a kill, at most."""


class Lives:
    """The server's lives, one after the other, and everybody who knows what they have promised."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Cloud(folder / "cloud")
        self.folder = folder
        self.ledger = Ledger()
        numbers = range(WRITERS * len(PLURALS))
        self.writers = [Writer(number, PLURALS[number % len(PLURALS)], self.ledger, SEED * 1000 + number) for number in numbers]
        self.watchers = [Watcher(plural, self.ledger) for plural in PLURALS]
        self.starting: list[float] = []

    def begin(self) -> Door:
        """Starts it and waits until it answers."""
        start = time.monotonic()
        self.cloud.program.start()
        eventually("the kubeconfig is there", self.cloud.kubeconfig.exists, every=0.02)
        door = Door.of(self.cloud.kubeconfig)
        eventually("the API answers", lambda: self._answers(door), every=0.02)
        self.starting.append(time.monotonic() - start)
        return door

    def _answers(self, door: Door) -> bool:
        self.cloud.program.must_run()
        try:
            with door.connected() as connection:
                return ask(connection, "GET", "/version")[0] == 200
        except BROKEN:
            return False

    def check(self, door: Door) -> None:
        """While nobody writes: everything that was promised is kept."""
        seen_before = self.ledger.newest
        with door.connected() as connection:
            for plural, watcher in zip(PLURALS, self.watchers, strict=True):
                revision, found = listed(connection, plural)
                if revision < seen_before:
                    self.ledger.problems.append(f"the server is at revision {revision}; {seen_before} had been seen")
                for obj in found.values():
                    self.ledger.saw(plural, obj)
                for writer in self.writers:
                    if writer.plural == plural:
                        writer.judge(found)
                watcher.catch_up(door, *self._marked(connection, plural))
        self.complain()

    def _marked(self, connection: object, plural: str) -> tuple[int, dict[str, dict[str, object]]]:
        """Writes something that a watcher can wait for; its revision, and everything that is there then."""
        body = {"metadata": {"generateName": "marker-"}}
        code, made = ask(connection, "POST", f"{SPACE}/{plural}", body)  # type: ignore[arg-type]
        assert code == 201, made
        _, found = listed(connection, plural)  # type: ignore[arg-type]
        return self.ledger.saw(plural, made), found

    def work_and_die(self, door: Door, seconds: float) -> None:
        floor = self.ledger.newest
        threads = [threading.Thread(target=self._guarded, args=(writer.work, door, floor)) for writer in self.writers]
        threads += [threading.Thread(target=self._guarded, args=(watcher.work, door)) for watcher in self.watchers]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.cloud.program.kill()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        self.complain()

    def _guarded(self, work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except Exception as error:
            self.ledger.problems.append(f"{type(error).__name__}: {error}")

    def examine_file(self) -> None:
        """A copy of what the dead server left behind."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.cloud.folder / "data", copy)
        with sqlite3.connect(copy / "kubernetes.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
        assert not list(copy.glob("*.corrupt-*"))

    def complain(self) -> None:
        problems = self.ledger.problems + self.ledger.revisions.problems
        assert not problems, "\n".join(problems[:20])


def test_writes_survive_kills(tmp_path: Path) -> None:
    lives, moments, start = Lives(tmp_path), random.Random(SEED), time.monotonic()
    try:
        for _ in range(KILLS):
            door = lives.begin()
            lives.check(door)
            lives.work_and_die(door, moments.uniform(0.02, LONGEST))
            lives.examine_file()
        lives.check(lives.begin())
    finally:
        lives.cloud.close()
    ledger, watchers = lives.ledger, lives.watchers
    assert ledger.acknowledged > KILLS, "too little was written to show anything"
    print(
        f"{KILLS} kills in {time.monotonic() - start:.0f} s (a start: {sorted(lives.starting)[len(lives.starting) // 2]:.2f} s), "
        f"{ledger.acknowledged} writes acknowledged, {ledger.in_doubt} in doubt, {len(ledger.revisions.seen)} revisions seen, "
        f"{sum(w.events for w in watchers)} watch events, {sum(w.continued for w in watchers)} watches continued, "
        f"{sum(w.relisted for w in watchers)} answered 410; newest revision {ledger.newest}"
    )
