"""The tables of the durable journal, and how a batch gets into them."""

from __future__ import annotations

import sqlite3
from typing import Final

from mqtt.durablebatch import Batch, SessionChange
from mqtt.message import Message
from mqtt.packets import PacketType, Will
from mqtt.properties import WILL
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

_WILLS: Final = (
    "CREATE TABLE will (client_id TEXT PRIMARY KEY, username TEXT, topic TEXT NOT NULL, payload BLOB NOT NULL, "
    "qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties BLOB)",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _WILLS)
"""Each brings the schema one version up; its place, from 1, is that version (``PRAGMA user_version``)."""

_CHILDREN: Final = ("subscription", "delivery", "received")
_NEW_MESSAGE: Final = "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SESSION: Final = "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?)"
_UNSUBSCRIBED: Final = "DELETE FROM subscription WHERE session = ? AND filter = ?"
_SUBSCRIBED: Final = "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)"
_DONE: Final = "DELETE FROM delivery WHERE session = ? AND number = ?"
_QUEUED: Final = "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SENT: Final = "UPDATE delivery SET packet_id = ? WHERE session = ? AND number = ?"
_RELEASED: Final = "UPDATE delivery SET released = 1, message = NULL WHERE session = ? AND number = ?"
_FORGOTTEN: Final = "DELETE FROM received WHERE session = ? AND packet_id = ?"
_RECEIVED: Final = "INSERT OR REPLACE INTO received VALUES (?, ?)"
_NOT_RETAINED: Final = "DELETE FROM retained WHERE topic = ?"
_RETAINED: Final = "INSERT OR REPLACE INTO retained VALUES (?, ?)"
_DEAD_MESSAGE: Final = "DELETE FROM message WHERE key = ?"
_NO_WILL: Final = "DELETE FROM will WHERE client_id = ?"
_WILL: Final = "INSERT OR REPLACE INTO will VALUES (?, ?, ?, ?, ?, ?, ?)"
_ORDER: Final = (
    _NEW_MESSAGE, _SESSION, _UNSUBSCRIBED, _SUBSCRIBED, _DONE, _QUEUED, _SENT, _RELEASED, _FORGOTTEN, _RECEIVED,
    _NOT_RETAINED, _RETAINED, _DEAD_MESSAGE, _NO_WILL, _WILL,
)  # fmt: skip


def write(connection: sqlite3.Connection, batch: Batch, offset: float) -> None:
    """All of the batch, within the transaction of the caller. offset: wall clock less the core's clock, seconds."""
    if batch.shift:
        connection.execute("UPDATE message SET expires = expires + ?", (batch.shift,))
        connection.execute("UPDATE session SET disconnected = disconnected + ?", (batch.shift,))
    for key in batch.ended:
        connection.execute("DELETE FROM session WHERE key = ?", (key,))
        for table in _CHILDREN:
            connection.execute(f"DELETE FROM {table} WHERE session = ?", (key,))  # noqa: S608 - the three names above
    rows: dict[str, list[tuple[object, ...]]] = {statement: [] for statement in _ORDER}
    rows[_NEW_MESSAGE] = [_message(key, each, offset) for key, each in batch.messages.items()]
    for change in batch.changes.values():
        _session_rows(change, offset, rows)
    for topic, message in batch.retained.items():
        if message is None:
            rows[_NOT_RETAINED].append((topic,))
        else:
            rows[_RETAINED].append((topic, message))
    rows[_DEAD_MESSAGE] = [(key,) for key in batch.dead]
    for client_id, kept in batch.wills.items():
        if kept is None:
            rows[_NO_WILL].append((client_id,))
        else:
            rows[_WILL].append(_will(client_id, *kept))
    for statement in _ORDER:
        # Most batches are of few kinds, and each statement costs something even with no row.
        if rows[statement]:
            connection.executemany(statement, rows[statement])


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


def _will(client_id: str, username: str | None, will: Will) -> tuple[object, ...]:
    properties = write_properties(will.properties, WILL) if will.properties else None
    return client_id, username, will.topic, will.payload, will.qos, will.retain, properties


def _session_rows(change: SessionChange, offset: float, rows: dict[str, list[tuple[object, ...]]]) -> None:
    key = change.key
    row = change.row
    if row is not None:
        disconnected = None if row.disconnected is None else row.disconnected + offset
        rows[_SESSION].append((row.key, row.client_id, row.username, row.expiry, disconnected))
    for name, one in change.subscriptions.items():
        if one is None:
            rows[_UNSUBSCRIBED].append((key, name))
        else:
            options = one.qos, one.no_local, one.retain_as_published, one.retain_handling
            rows[_SUBSCRIBED].append((key, name, *options, one.identifier))
    rows[_DONE] += [(key, number) for number in change.done]
    rows[_QUEUED] += [
        (key, number, new.message, new.qos, new.retain, " ".join(map(str, new.identifiers)), new.packet_id, new.released)
        for number, new in change.new.items()
    ]
    rows[_SENT] += [(packet_id, key, number) for number, packet_id in change.sent.items()]
    rows[_RELEASED] += [(key, number) for number in change.released]
    rows[_FORGOTTEN] += [(key, packet_id) for packet_id in change.forgotten]
    rows[_RECEIVED] += [(key, packet_id) for packet_id in change.received]
