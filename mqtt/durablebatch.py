"""What one commit brings to the disk: the difference that is left of all records since the last one.

A message that came, went out and was acknowledged between two commits leaves nothing. So a batch is bounded by what the sessions
hold, not by how long the disk takes.
"""

from __future__ import annotations

from mqtt.message import Message
from mqtt.packets import Will
from mqtt.topics import Subscription


class NewDelivery:
    """message: its key; None when the client has released it."""

    __slots__ = ("identifiers", "message", "packet_id", "qos", "released", "retain")

    def __init__(self, message: int, qos: int, retain: bool, identifiers: tuple[int, ...]) -> None:
        self.message: int | None = message
        self.qos = qos
        self.retain = retain
        self.identifiers = identifiers
        self.packet_id = 0
        self.released = False


class SessionRow:
    """disconnected: by the core's clock; None while connected, and when the session waits for ever."""

    __slots__ = ("client_id", "disconnected", "expiry", "key", "username")

    def __init__(self, key: int, client_id: str, username: str | None, expiry: int, disconnected: float | None) -> None:
        self.key = key
        self.client_id = client_id
        self.username = username
        self.expiry = expiry
        self.disconnected = disconnected


class SessionChange:
    """What is new of one session. row: None when only what belongs to it has changed.

    subscriptions: None for one that is gone. sent: packet identifiers of deliveries that are on disk.
    """

    __slots__ = ("done", "forgotten", "key", "new", "received", "released", "row", "sent", "subscriptions")

    def __init__(self, key: int) -> None:
        self.key = key
        self.row: SessionRow | None = None
        self.subscriptions: dict[str, Subscription[object] | None] = {}
        self.new: dict[int, NewDelivery] = {}
        self.sent: dict[int, int] = {}
        self.released: set[int] = set()
        self.done: list[int] = []
        self.received: set[int] = set()
        self.forgotten: set[int] = set()


class Batch:
    """messages: new ones by key. dead: keys of those on disk that nothing needs any more. ended: keys of sessions on disk.

    retained: keys of messages by topic, None where nothing is retained any more. wills: with user names, by client, None for one
    that is gone. shift: seconds by which the wall clock has
    jumped: what is on disk moves with it.
    """

    __slots__ = ("changes", "dead", "ended", "messages", "number", "retained", "shift", "wills")

    def __init__(self, number: int) -> None:
        self.number = number
        self.changes: dict[int, SessionChange] = {}
        self.messages: dict[int, Message] = {}
        self.dead: list[int] = []
        self.ended: list[int] = []
        self.retained: dict[str, int | None] = {}
        self.wills: dict[str, tuple[str | None, Will] | None] = {}
        self.shift = 0.0
