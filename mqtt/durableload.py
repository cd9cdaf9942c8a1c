"""What the tables of the durable journal hold when a broker starts."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from mqtt.errors import PeerError
from mqtt.journal import SavedWill
from mqtt.limits import UNLIMITED
from mqtt.packets import PacketType, Publish, Will
from mqtt.properties import WILL, Properties
from mqtt.propertycodec import read_properties
from mqtt.topics import Subscription
from mqtt.wire import Reader

_CLEANING: Final = (
    # The clock was set back: nothing lives longer for it than it might have from the start.
    "UPDATE session SET disconnected = :wall WHERE disconnected > :wall",
    "UPDATE message SET expires = :wall + lifetime WHERE expires > :wall + lifetime",
    "DELETE FROM session WHERE disconnected IS NOT NULL AND disconnected + expiry <= :wall",
    # Whoever was connected when the broker ended waits from now on.
    "UPDATE session SET disconnected = :wall WHERE disconnected IS NULL AND expiry < :unlimited",
    "DELETE FROM subscription WHERE session NOT IN (SELECT key FROM session)",
    "DELETE FROM delivery WHERE session NOT IN (SELECT key FROM session)",
    "DELETE FROM received WHERE session NOT IN (SELECT key FROM session)",
    # What is on its way is still sent again; what only waits is not worth sending any more.
    "DELETE FROM delivery WHERE packet_id = 0 AND message IN (SELECT key FROM message WHERE expires <= :wall)",
    "DELETE FROM retained WHERE message IN (SELECT key FROM message WHERE expires <= :wall)",
    "DELETE FROM message WHERE key NOT IN "
    "(SELECT message FROM delivery WHERE message IS NOT NULL UNION SELECT message FROM retained)",
)


class Damaged(Exception):
    """The file cannot be what was written. The text is for a person."""


@dataclass(slots=True)
class FoundMessage:
    """expires: by the wall clock."""

    packet: Publish
    sender: str
    expires: float | None


@dataclass(slots=True)
class FoundDelivery:
    number: int
    message: int | None
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    packet_id: int
    released: bool


@dataclass(slots=True)
class FoundSession:
    """disconnected: by the wall clock; None when it waits for ever."""

    key: int
    client_id: str
    username: str | None
    expiry: int
    disconnected: float | None
    subscriptions: list[Subscription[object]] = field(default_factory=list)
    deliveries: list[FoundDelivery] = field(default_factory=list)
    received: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Found:
    """messages by key, retained: keys of messages by topic."""

    messages: dict[int, FoundMessage]
    sessions: list[FoundSession]
    retained: dict[str, int]
    wills: list[SavedWill]


def load(connection: sqlite3.Connection, wall: float) -> Found:
    """Removes what has expired and what nothing needs, and reads the rest. Raises Damaged, sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _CLEANING:
        connection.execute(statement, {"wall": wall, "unlimited": UNLIMITED})
    connection.execute("COMMIT")
    # As a script: a statement that is executed here gives back one page with each row that is fetched, and no row.
    connection.executescript("PRAGMA incremental_vacuum;")
    try:
        messages = {row[0]: _message(row) for row in connection.execute("SELECT * FROM message")}
        retained = {topic: key for topic, key in connection.execute("SELECT * FROM retained") if messages[key]}
        wills = [_will(row) for row in connection.execute("SELECT * FROM will")]
        return Found(messages, _sessions(connection, messages), retained, wills)
    except (PeerError, ValueError, TypeError, KeyError) as error:
        raise Damaged(f"what is in the database cannot be read: {type(error).__name__}: {error}") from error


def _message(row: tuple[Any, ...]) -> FoundMessage:
    _, topic, payload, qos, retain, sender, properties, expires, _ = row
    packet = Publish(topic, bytes(payload), qos, bool(retain), properties=_properties(properties))
    return FoundMessage(packet, sender, expires)


def _will(row: tuple[Any, ...]) -> SavedWill:
    client_id, username, topic, payload, qos, retain, properties = row
    return SavedWill(client_id, username, Will(topic, bytes(payload), qos, bool(retain), _properties(properties, WILL)))


def _properties(data: bytes | None, place: int = PacketType.PUBLISH) -> Properties | None:
    return None if data is None else read_properties(Reader(data, 0, len(data)), place)


def _sessions(connection: sqlite3.Connection, messages: dict[int, FoundMessage]) -> list[FoundSession]:
    subscriptions = _grouped(connection, "SELECT * FROM subscription")
    deliveries = _grouped(connection, "SELECT * FROM delivery ORDER BY session, number")
    received = _grouped(connection, "SELECT * FROM received")
    sessions = [FoundSession(*row) for row in connection.execute("SELECT * FROM session ORDER BY key")]
    for session in sessions:
        session.subscriptions = [_subscription(session, row) for row in subscriptions[session.key]]
        session.deliveries = [_delivery(messages, row) for row in deliveries[session.key]]
        session.received = [int(packet_id) for (packet_id,) in received[session.key]]
    return sessions


def _grouped(connection: sqlite3.Connection, query: str) -> defaultdict[int, list[tuple[Any, ...]]]:
    """The rows without their first column, by that: the key of the session."""
    found: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for key, *row in connection.execute(query):
        found[key].append(tuple(row))
    return found


def _subscription(session: FoundSession, row: tuple[Any, ...]) -> Subscription[object]:
    name, qos, no_local, as_published, handling, identifier = row
    return Subscription(
        session,
        name,
        qos,
        no_local=bool(no_local),
        retain_as_published=bool(as_published),
        retain_handling=handling,
        identifier=identifier,
    )


def _delivery(messages: dict[int, FoundMessage], row: tuple[Any, ...]) -> FoundDelivery:
    number, message, qos, retain, identifiers, packet_id, released = row
    if message is not None and message not in messages:
        raise KeyError(f"message {message} of a delivery")
    return FoundDelivery(number, message, qos, bool(retain), tuple(map(int, identifiers.split())), packet_id, bool(released))
