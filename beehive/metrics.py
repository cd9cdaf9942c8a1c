"""Numbers for people who watch the program, in the Prometheus text format 0.0.4.

Counters and histograms live where things happen; ``text`` puts what they hold, and gauges read at that moment, into one answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds for how long an answer of a server takes."""

Labels = tuple[tuple[str, str], ...]
Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Sample:
    """One line. suffix: what follows the name of its family (``_bucket``, ``_sum``)."""

    value: float
    labels: Labels = ()
    suffix: str = ""


@dataclass(frozen=True)
class Family:
    """All lines of one name."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


def gauge(name: str, help_: str, value: float, labels: Mapping[str, str] | None = None) -> Family:
    return Family(name, "gauge", help_, (Sample(value, tuple((labels or {}).items())),))


def counter(name: str, help_: str, value: float) -> Family:
    return Family(name, "counter", help_, (Sample(value),))


@dataclass
class Counter:
    """Counts by label values. The labels must come from a small set: each combination is kept for ever."""

    name: str
    help: str
    labels: tuple[str, ...]
    _values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *values: str) -> None:
        self._values[values] = self._values.get(values, 0) + 1

    def family(self) -> Family:
        lines = (Sample(value, tuple(zip(self.labels, key, strict=True))) for key, value in sorted(self._values.items()))
        return Family(self.name, "counter", self.help, tuple(lines))


@dataclass
class _Distribution:
    counts: list[int]
    total: float = 0.0


@dataclass
class Histogram:
    """How often which size was seen, by the value of one label."""

    name: str
    help: str
    label: str
    bounds: tuple[float, ...] = SECONDS
    _seen: dict[str, _Distribution] = field(default_factory=dict)

    def observe(self, label: str, value: float) -> None:
        found = self._seen.get(label)
        if found is None:
            found = self._seen[label] = _Distribution([0] * (len(self.bounds) + 1))
        found.counts[bisect_left(self.bounds, value)] += 1
        found.total += value

    def family(self) -> Family:
        return Family(self.name, "histogram", self.help, tuple(self._samples()))

    def _samples(self) -> Iterable[Sample]:
        for label, found in sorted(self._seen.items()):
            own, below = (self.label, label), 0
            for bound, count in zip([*map(_number, self.bounds), "+Inf"], found.counts, strict=True):
                below += count
                yield Sample(below, (own, ("le", bound)), "_bucket")
            yield Sample(found.total, (own,), "_sum")
            yield Sample(below, (own,), "_count")


def text(families: Iterable[Family]) -> str:
    """The whole page."""
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += (_line(family.name, sample) for sample in family.samples)
    return "\n".join(lines) + "\n"


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escape(value, quotes=True)}"' for key, value in sample.labels)
    return f"{name}{sample.suffix}{'{' + labels + '}' if labels else ''} {_number(sample.value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escape(value: str, *, quotes: bool = False) -> str:
    value = value.replace("\\", r"\\").replace("\n", r"\n")
    return value.replace('"', r"\"") if quotes else value
