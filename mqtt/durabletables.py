"""The tables of the durable journal, and how a batch gets into them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mqtt.durablebatch import Batch, SessionChange
from mqtt.message import Message
from mqtt.packets import PacketType
from mqtt.propertycodec import write_properties

_FIRST: Final = (
    "CREATE TABLE message (key INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL, "
    "retain INTEGER NOT NULL, sender TEXT NOT NULL, properties BLOB, expires REAL, lifetime INTEGER)",
    "CREATE TABLE session (key INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, username TEXT, expiry INTEGER NOT NULL, "
    "disconnected REAL)",
    "CREATE TABLE subscription (session INTEGER, filter TEXT, qos INTEGER NOT NULL, no_local INTEGER NOT NULL, "
    "retain_as_published INTEGER NOT NULL, retain_handling INTEGER NOT NULL, identifier INTEGER, "
    "PRIMARY KEY (session, filter)) WITHOUT ROWID",
    "CREATE TABLE delivery (session INTEGER, number INTEGER, message INTEGER, qos INTEGER NOT NULL, retain INTEGER NOT NULL, "
    "identifiers TEXT NOT NULL, packet_id INTEGER NOT NULL, released INTEGER NOT NULL, "
    "PRIMARY KEY (session, number)) WITHOUT ROWID",
    "CREATE TABLE received (session INTEGER, packet_id INTEGER, PRIMARY KEY (session, packet_id)) WITHOUT ROWID",
    "CREATE TABLE retained (topic TEXT PRIMARY KEY, message INTEGER NOT NULL) WITHOUT ROWID",
)
"""Times are seconds since 1970 by the wall clock. session.disconnected: NULL while connected or when it waits for ever.
message.properties: as in a PUBLISH of MQTT 5.0. message.lifetime: the seconds that it had at first. delivery.message: NULL when
only the packet identifier is still needed."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST,)
"""Each brings the schema one version up; its place, from 1, is that version (``PRAGMA user_version``)."""

_CHILDREN: Final = ("subscription", "delivery", "received")


def write(connection: sqlite3.Connection, batch: Batch, offset: float) -> None:
    """All of the batch, within the transaction of the caller. offset: wall clock less the core's clock, seconds."""
    many = connection.executemany
    if batch.shift:
        connection.execute("UPDATE message SET expires = expires + ?", (batch.shift,))
        connection.execute("UPDATE session SET disconnected = disconnected + ?", (batch.shift,))
    for key in batch.ended:
        connection.execute("DELETE FROM session WHERE key = ?", (key,))
        for table in _CHILDREN:
            connection.execute(f"DELETE FROM {table} WHERE session = ?", (key,))  # noqa: S608 - the three names above
    messages = batch.messages
    many(
        "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (_message(key, each, offset) for key, each in messages.items())
    )
    for statement, rows in _STATEMENTS:
        many(statement, (row for change in batch.changes.values() for row in rows(change, offset)))
    many("DELETE FROM retained WHERE topic = ?", ((topic,) for topic, key in batch.retained.items() if key is None))
    kept = ((topic, key) for topic, key in batch.retained.items() if key is not None)
    many("INSERT OR REPLACE INTO retained VALUES (?, ?)", kept)
    many("DELETE FROM message WHERE key = ?", ((key,) for key in batch.dead))


def _message(key: int, message: Message, offset: float) -> tuple[object, ...]:
    properties = message.packet.properties
    return (
        key,
        message.topic,
        message.packet.payload,
        message.qos,
        message.retain,
        message.sender,
        write_properties(properties, PacketType.PUBLISH) if properties else None,
        None if message.expires is None else message.expires + offset,
        (properties or {}).get("message_expiry"),
    )


def _row(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    row = change.row
    if row is not None:
        disconnected = None if row.disconnected is None else row.disconnected + offset
        yield row.key, row.client_id, row.username, row.expiry, disconnected


def _unsubscribed(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    return ((change.key, name) for name, each in change.subscriptions.items() if each is None)


def _subscribed(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    for name, each in change.subscriptions.items():
        if each is not None:
            options = each.qos, each.no_local, each.retain_as_published, each.retain_handling
            yield change.key, name, *options, each.identifier


def _done(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    return ((change.key, number) for number in change.done)


def _new(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    for number, each in change.new.items():
        identifiers = " ".join(map(str, each.identifiers))
        yield change.key, number, each.message, each.qos, each.retain, identifiers, each.packet_id, each.released


def _sent(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    return ((packet_id, change.key, number) for number, packet_id in change.sent.items())


def _released(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    return ((change.key, number) for number in change.released)


def _forgotten(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    return ((change.key, packet_id) for packet_id in change.forgotten)


def _received(change: SessionChange, offset: float) -> Iterator[tuple[object, ...]]:
    return ((change.key, packet_id) for packet_id in change.received)


_Rows = Callable[[SessionChange, float], Iterable[tuple[object, ...]]]
_STATEMENTS: Final[tuple[tuple[str, _Rows], ...]] = (
    ("INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?)", _row),
    ("DELETE FROM subscription WHERE session = ? AND filter = ?", _unsubscribed),
    ("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)", _subscribed),
    ("DELETE FROM delivery WHERE session = ? AND number = ?", _done),
    ("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _new),
    ("UPDATE delivery SET packet_id = ? WHERE session = ? AND number = ?", _sent),
    ("UPDATE delivery SET released = 1, message = NULL WHERE session = ? AND number = ?", _released),
    ("DELETE FROM received WHERE session = ? AND packet_id = ?", _forgotten),
    ("INSERT OR REPLACE INTO received VALUES (?, ?)", _received),
)
