"""Matches regular expressions without going back: every letter of the text is looked at once.

A program of a few instructions is run on all its branches at the same time; the sets of branches met so far are remembered,
so that common texts cost one dictionary look-up per letter.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

from cloudcore.apiserver.crd.pattern import Assertion, Choice, Node, PatternError, Ranges, Repeat, Sequence, Set, parse

SIZE: Final = 20_000
"""Instructions that one expression may need: repetitions are written out."""
WORK: Final = 300_000
"""Instructions that one match may look at beside what is remembered: about half a second."""
_KEPT: Final = 4096

_BORDER, _LINE, _WORD, _OTHER = range(4)
"""What may stand before or after a place: nothing, a line feed, a letter of a word, something else."""


class TooMuchWork(Exception):
    """A match needs more steps than are allowed."""


@dataclass
class _Step:
    """One of: a set of characters (bounds), an assertion (kind), a fork (no bounds and no kind). An end has no next steps."""

    bounds: tuple[int, ...] = ()
    kind: str = ""
    goes_to: list[int] = field(default_factory=list)


_Threads: TypeAlias = frozenset[int]
_State: TypeAlias = tuple[_Threads, int]


class Pattern:
    """One expression. ``search`` says whether it matches anywhere, as Go's MatchString."""

    def __init__(self, text: str) -> None:
        """Raises PatternError."""
        self.text = text
        self._steps: list[_Step] = [_Step()]  # the end
        self._start = self._add(parse(text), 0)
        self._anchored = not any(
            self._closure(frozenset((self._start,)), before, after, [WORK]) for before in (1, 2, 3) for after in range(4)
        )
        self._known: dict[tuple[_State, str], _State | bool] = {}

    def _new(self, step: _Step) -> int:
        if len(self._steps) >= SIZE:
            raise PatternError("expression is too large")
        self._steps.append(step)
        return len(self._steps) - 1

    def _add(self, node: Node, after: int) -> int:
        """Appends what matches ``node`` and then goes to ``after``; returns where it begins."""
        match node:
            case Set():
                return self._new(_Step(bounds=_bounds(node.ranges), goes_to=[after]))
            case Assertion():
                return self._new(_Step(kind=node.kind, goes_to=[after]))
            case Sequence():
                for part in reversed(node.parts):
                    after = self._add(part, after)
                return after if node.parts else self._new(_Step(goes_to=[after]))
            case Choice():
                return self._new(_Step(goes_to=[self._add(part, after) for part in node.parts]))
            case Repeat():
                return self._repeat(node, after)

    def _repeat(self, node: Repeat, after: int) -> int:
        if node.most is None:
            loop = self._new(_Step())
            self._steps[loop].goes_to = [self._add(node.part, loop), after]
            entry = loop
        else:
            entry = after
            for _ in range(node.most - node.least):
                entry = self._new(_Step(goes_to=[self._add(node.part, entry), after]))
        for _ in range(node.least):
            entry = self._add(node.part, entry)
        return entry

    def search(self, text: str, left: list[int] | None = None) -> bool:
        """left: how many instructions this and other matches may look at together; counted down. Raises TooMuchWork."""
        total = left if left is not None else [WORK]
        most = min(WORK, total[0])
        work = [most]
        try:
            return self._search(text, work)
        finally:
            total[0] -= most - work[0]

    def _search(self, text: str, work: list[int]) -> bool:
        state: _State = (frozenset((self._start,)), _BORDER)
        known = self._known
        for letter in text:
            found = known.get((state, letter))
            if found is None:
                found = self._step(state, letter, work)
                if len(known) >= _KEPT:
                    known.clear()
                known[state, letter] = found
            if isinstance(found, bool):
                return found
            state = found
        found = known.get((state, ""))
        if found is None:
            found = known[state, ""] = 0 in self._closure(*state, _BORDER, work)
        return found is True

    def _step(self, state: _State, letter: str, work: list[int]) -> _State | bool:
        code, kind = ord(letter), _kind_of(letter)
        threads = self._closure(*state, kind, work)
        if 0 in threads:
            return True
        found = set()
        for place in threads:
            step = self._steps[place]
            if bisect_right(step.bounds, code) % 2:
                found.update(step.goes_to)
        if not self._anchored:
            found.add(self._start)
        return (frozenset(found), kind) if found else False

    def _closure(self, threads: _Threads, before: int, after: int, work: list[int]) -> set[int]:
        """The ends and sets that can be reached without a letter, between such letters."""
        waiting, seen, found = list(threads), set(threads), set()
        while waiting:
            place = waiting.pop()
            step = self._steps[place]
            if place == 0 or step.bounds:
                found.add(place)
            elif not step.kind or _holds(step.kind, before, after):
                for other in step.goes_to:
                    if other not in seen:
                        seen.add(other)
                        waiting.append(other)
        work[0] -= len(seen)
        if work[0] < 0:
            raise TooMuchWork
        return found


def _bounds(ranges: Ranges) -> tuple[int, ...]:
    """Where membership changes: the letter is in the set when an odd number of bounds is at or below it."""
    merged: list[list[int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    found = tuple(bound for low, high in merged for bound in (low, high + 1))
    return found or (-1, -1)


def _kind_of(letter: str) -> int:
    if letter == "\n":
        return _LINE
    return _WORD if letter == "_" or (letter.isascii() and letter.isalnum()) else _OTHER


def _holds(kind: str, before: int, after: int) -> bool:
    match kind:
        case "begin":
            return before == _BORDER
        case "end":
            return after == _BORDER
        case "line begin":
            return before in (_BORDER, _LINE)
        case "line end":
            return after in (_BORDER, _LINE)
    return ((before == _WORD) != (after == _WORD)) == (kind == "word")


@lru_cache(1024)
def compiled(text: str) -> Pattern:
    """Raises PatternError."""
    return Pattern(text)
