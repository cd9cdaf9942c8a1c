"""What is on its way to one node: a window of unacknowledged messages, at most one per object. No sockets, no clock of its own.

Two kinds of traffic, kept apart: *state* (the newest version of an object, keyed by its path, resent until acknowledged) and
*answers* (to a request of the node, sent once and in order; a node that misses one asks again). KubeEdge 1.23 keeps both in one
store and has one message in flight (cloud/pkg/cloudhub/session/node_session.go); on the wire the difference cannot be seen.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from beehive.message import Message, Operation

SIZE: Final = 32
"""Unacknowledged objects per node. A KubeEdge edge holds 100 incoming messages and then drops the oldest."""

RESEND: Final = 5.0
"""Seconds without an acknowledgement before the same message, same id, is written again."""

PATIENCE: Final = 5
"""Writes after which an object no longer takes a place in the window: the others shall not wait for it."""

SLOWEST: Final = 60.0
"""The longest distance between two writes of an object that is never acknowledged, in seconds."""

ANSWERS: Final = 1024
"""Answers that may wait for the socket; past that the oldest is dropped and counted: whoever asked asks again."""


N = TypeVar("N")


class Parcel(NamedTuple, Generic[N]):
    """A message and a note of its sender, which comes back with the acknowledgement."""

    message: Message
    note: N


@dataclass
class _Flight(Generic[N]):
    parcel: Parcel[N]
    writes: int
    due: float


class Window(Generic[N]):
    """The sending side of one session. Times are seconds on any clock that never goes back."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._answers: deque[Message] = deque()
        self._waiting: OrderedDict[str, Parcel[N]] = OrderedDict()
        self._flying: dict[str, _Flight[N]] = {}
        self._by_id: dict[str, str] = {}
        self.replaced = 0
        """Versions superseded before they were sent."""
        self.dropped_answers = 0

    def __len__(self) -> int:
        """Objects not yet acknowledged, sent or not."""
        return len(self._waiting.keys() | self._flying.keys())

    def put(self, key: str, message: Message, note: N) -> None:
        """The newest version of the object ``key``; it replaces one that was not sent yet."""
        if key in self._waiting:
            self.replaced += 1
        self._waiting[key] = Parcel(message, note)

    def answer(self, message: Message) -> None:
        """An answer, or anything else that is sent once."""
        if len(self._answers) >= ANSWERS:
            self._answers.popleft()
            self.dropped_answers += 1
        self._answers.append(message)

    def pending(self, key: str) -> Parcel[N] | None:
        """The newest version of ``key`` that is not acknowledged."""
        if (waiting := self._waiting.get(key)) is not None:
            return waiting
        flight = self._flying.get(key)
        return flight.parcel if flight else None

    def take(self, now: float) -> list[Message]:
        """Everything that is to be written now, in order: answers, what is due again, then new versions that fit."""
        out = list(self._answers)
        self._answers.clear()
        for key, flight in list(self._flying.items()):
            if flight.due <= now:
                out.append(self._again(key, flight, now))
        room = self._size - sum(flight.writes < PATIENCE for flight in self._flying.values())
        for key in [key for key in self._waiting if key not in self._flying][: max(0, room)]:
            parcel = self._waiting.pop(key)
            self._flying[key] = _Flight(parcel, 1, now + RESEND)
            self._by_id[parcel.message.id] = key
            out.append(parcel.message)
        return out

    def _again(self, key: str, flight: _Flight[N], now: float) -> Message:
        """The same message once more, or its successor if one waits: the old version is of no use to anybody."""
        if (newer := self._waiting.pop(key, None)) is not None:
            del self._by_id[flight.parcel.message.id]
            self._by_id[newer.message.id] = key
            flight.parcel = newer
        flight.writes += 1
        late = max(0, flight.writes - PATIENCE)
        flight.due = now + min(SLOWEST, RESEND * 2.0**late)
        return flight.parcel.message

    def next_due(self) -> float | None:
        """When ``take`` should be called again if nothing else happens; None when nothing is in flight."""
        return min((flight.due for flight in self._flying.values()), default=None)

    def acknowledge(self, parent_id: str) -> Parcel[N] | None:
        """What was delivered. None for an id that is not in flight: a doubled or late
        acknowledgement, or one of an answer; those are normal."""
        key = self._by_id.pop(parent_id, None)
        if key is None:
            return None
        return self._flying.pop(key).parcel


def is_acknowledgement(message: Message) -> bool:
    """KubeEdge 1.23: any message with operation ``response`` and a parent id; nothing else of it is looked at."""
    return message.operation == Operation.RESPONSE and bool(message.parent_id)
