"""What a broker tells about itself: figures of one moment, and the texts of ``$SYS``. No I/O here.

The topics have the names and units of mosquitto 2 (mosquitto(8), "Broker status") wherever it has one for the thing; ours are
those below ``dropped/`` and ``closed/``, which give the reasons, and ``inflight`` and ``unsent``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import exp
from typing import Final

from mqtt.core import Core
from mqtt.message import Message
from mqtt.packets import Publish
from mqtt.session import Session

ROOT: Final = "$SYS"
SLICE: Final = 1000
"""Sessions looked at in one go; it takes about half a millisecond."""
_MINUTES: Final = (1, 5, 15)


@dataclass(slots=True)
class Figures:
    """uptime: seconds. connections: of the network, with those that are not clients yet. connected, sessions: clients, and the
    sessions that wait for theirs, too. queued: messages of QoS 1 and 2 behind those in flight. unsent: bytes that networks have
    not taken yet. unrecorded: batches that the disk has not got; failing: what is wrong with it, "" when nothing is known. The
    rest has counted since the start; accepted: connections, admitted: CONNECTs, expired: sessions, commits: of the journal."""

    uptime: float
    connections: int
    subscriptions: int
    shared: int
    retained: int
    retained_bytes: int
    received: int
    sent: int
    bytes_received: int
    bytes_sent: int
    accepted: int
    admitted: int
    expired: int
    unrecorded: int
    failing: str
    commits: int
    dropped: Mapping[str, int]
    closed: Mapping[str, int]
    connected: int = 0
    sessions: int = 0
    queued: int = 0
    queued_bytes: int = 0
    in_flight: int = 0
    unsent: int = 0

    def look(self, sessions: Iterable[Session]) -> None:
        """Adds up what these have."""
        for session in sessions:
            self.sessions += 1
            self.queued += len(session.queue)
            self.queued_bytes += session.queued_bytes
            self.in_flight += len(session.in_flight)
            if (link := session.link) is not None:
                self.connected += 1
                self.unsent += link.buffered


def figures(core: Core, now: float) -> Figures:
    """All that is known without looking at every session; ``look`` is for those."""
    counters = core.counters
    router = core.router
    return Figures(
        uptime=now - core.started if core.started is not None else 0.0,
        connections=len(core.links),
        subscriptions=router.trie.count,
        shared=router.trie.shared,
        retained=len(router.retained),
        retained_bytes=router.retained_bytes,
        received=counters.received,
        sent=counters.sent,
        bytes_received=counters.bytes_received,
        bytes_sent=counters.bytes_sent,
        accepted=counters.connections,
        admitted=counters.admitted,
        expired=counters.expired,
        unrecorded=core.journal.newest - core.journal.written,
        # A journal on a disk can say these.
        failing=getattr(core.journal, "failing", ""),
        commits=getattr(core.journal, "commits", 0),
        dropped=dict(counters.dropped),
        closed=dict(counters.closed),
    )


def slices(core: Core) -> Iterator[list[Session]]:
    """All sessions there are at this moment, some at a time."""
    every = list(core.clients.sessions.values())
    for place in range(0, len(every), SLICE):
        yield every[place : place + SLICE]


@dataclass(slots=True)
class _Average:
    """How much a count grows in a minute, as an average over the last ones in which older times fade."""

    before: float = 0.0
    values: dict[int, float] = field(default_factory=lambda: dict.fromkeys(_MINUTES, 0.0))

    def add(self, count: float, seconds: float) -> None:
        rate = (count - self.before) * 60 / seconds
        self.before = count
        for minutes, value in self.values.items():
            self.values[minutes] = rate + (value - rate) * exp(-seconds / (60 * minutes))


class SysTopics:
    """Gives a message for each topic of ``$SYS`` whose text has changed. version: what the broker says it is."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._told: dict[str, str] = {}
        self._averages: dict[str, _Average] = {}
        self._most = 0
        self._last = 0.0

    def update(self, found: Figures) -> list[Message]:
        """At QoS 0: who is away has no use for them, and nothing of them is ever queued or recorded."""
        texts = self._texts(found)
        changed = [(topic, text) for topic, text in texts.items() if self._told.get(topic) != text]
        self._told = texts
        return [Message(Publish(f"{ROOT}/broker/{topic}", text.encode(), retain=True)) for topic, text in changed]

    def _texts(self, found: Figures) -> dict[str, str]:
        self._most = max(self._most, found.connected)
        away = found.sessions - found.connected
        numbers: dict[str, int] = {
            "clients/total": found.sessions,
            "clients/connected": found.connected,
            "clients/active": found.connected,
            "clients/disconnected": away,
            "clients/inactive": away,
            "clients/maximum": self._most,
            "clients/expired": found.expired,
            "connections": found.connections,
            "subscriptions/count": found.subscriptions,
            "shared_subscriptions/count": found.shared,
            "retained messages/count": found.retained,
            "store/messages/count": found.retained + found.queued + found.in_flight,
            "store/messages/bytes": found.retained_bytes + found.queued_bytes,
            "messages/stored": found.retained + found.queued + found.in_flight,
            "messages/queued": found.queued,
            "messages/inflight": found.in_flight,
            "bytes/received": found.bytes_received,
            "bytes/sent": found.bytes_sent,
            "bytes/unsent": found.unsent,
            "publish/messages/received": found.received,
            "publish/messages/sent": found.sent,
            "publish/messages/dropped": sum(found.dropped.values()),
            **{f"publish/messages/dropped/{reason}": count for reason, count in found.dropped.items()},
            **{f"connections/closed/{reason}": count for reason, count in found.closed.items()},
        }
        texts = {"version": self._version, "uptime": f"{int(found.uptime)} seconds"}
        texts |= {topic: str(number) for topic, number in numbers.items()}
        return texts | self._loads(found)

    def _loads(self, found: Figures) -> dict[str, str]:
        seconds = found.uptime - self._last
        self._last = found.uptime
        counts = {
            "publish/received": found.received,
            "publish/sent": found.sent,
            "publish/dropped": sum(found.dropped.values()),
            "bytes/received": found.bytes_received,
            "bytes/sent": found.bytes_sent,
            "sockets": found.accepted,
            "connections": found.admitted,
        }
        texts: dict[str, str] = {}
        for name, count in counts.items():
            average = self._averages.setdefault(name, _Average())
            if seconds > 0:
                average.add(count, seconds)
            texts |= {f"load/{name}/{minutes}min": f"{value:.2f}" for minutes, value in average.values.items()}
        return texts
