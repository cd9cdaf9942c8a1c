"""What must be on disk before the broker acknowledges: the seam between the core and a store.

The core records as it goes; what it records between two commits is one batch. Output that promises something (PUBACK, PUBREC,
PUBCOMP, PUBREL, SUBACK, UNSUBACK, CONNACK of a session that stays, QoS 2 to such a session) is held back until the batch is on
disk in which the promise was recorded: the core marks the connection with ``newest``, and the shell sends what is marked so only
when ``written`` has come that far. Everything else passes at once, so that no QoS 0 message waits for a disk.

Only sessions that outlive their connections, retained messages and wills are recorded. A delivery is named by its session and a
number that grows; it carries the message, so a store keeps a message once for all its deliveries (``Message.stored`` is for its
use).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from mqtt.message import Message
from mqtt.packets import Will
from mqtt.topics import Subscription


class Stored(Protocol):
    """What a journal sees of a delivery."""

    message: Message
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    number: int


@dataclass(slots=True)
class SavedDelivery:
    """packet_id: 0 while it waits. released: QoS 2 after PUBREC, when the message may be ``mqtt.message.NOTHING``."""

    number: int
    message: Message
    qos: int
    retain: bool = False
    identifiers: tuple[int, ...] = ()
    packet_id: int = 0
    released: bool = False


@dataclass(slots=True)
class SavedSession:
    """What ``Core.restore`` takes. remaining: seconds until the session ends; its client is not connected. The client of the
    subscriptions does not matter. received: packet identifiers of QoS 2 messages that came and were not released."""

    client_id: str
    username: str | None = None
    """:attr:`mqtt.access.Identity.owner`: with the realm, where there are several."""
    expiry: int = 0
    remaining: float = inf
    subscriptions: list[Subscription[object]] = field(default_factory=list)
    deliveries: list[SavedDelivery] = field(default_factory=list)
    received: list[int] = field(default_factory=list)


@dataclass(slots=True)
class SavedWill:
    """Of a client that was connected when the broker ended, or whose will waited for its delay. username: the owner."""

    client_id: str
    username: str | None
    will: Will


class JournalError(Exception):
    """What was kept cannot be reached or continued. The text is for a person."""


@dataclass(slots=True)
class Saved:
    """All that ``Core.restore`` takes."""

    sessions: list[SavedSession] = field(default_factory=list)
    retained: list[Message] = field(default_factory=list)
    wills: list[SavedWill] = field(default_factory=list)


class Journal(Protocol):
    """Records in the order of the calls. No method may wait: what is recorded is kept until the next ``commit``.

    What a method raises unexpectedly ends the broker (:mod:`mqtt.faults`).

    Times (``Message.expires``, ``disconnected``) are those given to the core, which know no date: a store keeps them by the wall
    clock, and gives them back the other way.
    """

    newest: int
    """The newest batch in which something is recorded: the open one, or the last that was closed."""
    written: int
    """The newest batch that is on disk, with all before it."""
    failing: str
    """Why nothing can be written for now, for a person; "" while all is well."""
    records: int
    """How many records there have been; who compares it before and after knows whether something was recorded."""

    async def open(self, now: float) -> Saved:
        """What was kept, by the core's clock; called once, before anything else. Raises JournalError."""

    async def close(self) -> None:
        """After the last commit."""

    def session(self, client_id: str, username: str | None, expiry: int, disconnected: float | None) -> None:
        """A session that stays: new, or its expiry, user or connection has changed. disconnected: when, None while connected."""

    def session_ended(self, client_id: str) -> None:
        """With its subscriptions, deliveries and received packet identifiers."""

    def subscribed(self, client_id: str, subscription: Subscription[object]) -> None: ...

    def unsubscribed(self, client_id: str, topic_filter: str) -> None: ...

    def queued(self, client_id: str, delivery: Stored) -> None:
        """A message waits for the session."""

    def sent(self, client_id: str, number: int, packet_id: int) -> None:
        """The delivery goes out under this packet identifier."""

    def released(self, client_id: str, number: int) -> None:
        """QoS 2: the client has the message (PUBREC); only its identifier is still to be kept."""

    def done(self, client_id: str, number: int) -> None:
        """The delivery is acknowledged, or was dropped."""

    def received(self, client_id: str, packet_id: int) -> None:
        """QoS 2 from the client: the message was passed on, a second one with this identifier is the same."""

    def forgotten(self, client_id: str, packet_id: int) -> None:
        """QoS 2 from the client: PUBREL has come."""

    def retained(self, topic: str, message: Message | None) -> None: ...

    def will(self, client_id: str, username: str | None, will: Will | None) -> None:
        """What a broker publishes when it starts, if this one ends without a word; None: nothing any more. Also for clients whose
        session ends with the connection (MQTT 5.0, 3.1.2.5: a server that failed may publish wills when it starts again)."""

    def tick(self) -> None:
        """About once a second: time for what does not come from a record."""

    async def commit(self) -> None:
        """Closes the open batch and returns when it is on disk, with ``written`` set. Later records are of the next.

        One call at a time. What a cancelled call did not write is for the next call.
        """


class Memory:
    """Keeps nothing: sessions live as long as the process, and nothing is ever held back."""

    newest = 0
    written = 0
    records = 0
    failing = ""

    async def open(self, now: float) -> Saved:
        return Saved()

    async def close(self) -> None:
        return

    def session(self, client_id: str, username: str | None, expiry: int, disconnected: float | None) -> None:
        return

    def session_ended(self, client_id: str) -> None:
        return

    def subscribed(self, client_id: str, subscription: Subscription[object]) -> None:
        return

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        return

    def queued(self, client_id: str, delivery: Stored) -> None:
        return

    def sent(self, client_id: str, number: int, packet_id: int) -> None:
        return

    def released(self, client_id: str, number: int) -> None:
        return

    def done(self, client_id: str, number: int) -> None:
        return

    def received(self, client_id: str, packet_id: int) -> None:
        return

    def forgotten(self, client_id: str, packet_id: int) -> None:
        return

    def retained(self, topic: str, message: Message | None) -> None:
        return

    def will(self, client_id: str, username: str | None, will: Will | None) -> None:
        return

    def tick(self) -> None:
        return

    async def commit(self) -> None:
        return
