"""Sessions and subscriptions as rows for people who look at a broker. No I/O here, and nothing of what messages say."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, Final

from mqtt.access import INSIDE
from mqtt.packets import Version
from mqtt.session import Session
from mqtt.topics import split_shared

Row = dict[str, Any]

_VERSIONS: Final = {Version.V31: "3.1", Version.V311: "3.1.1", Version.V5: "5.0"}


def client_row(session: Session, now: float) -> Row:
    """Times in seconds: connectedFor, silentFor, expiresIn (null: never, or the client is there). sessionExpiry: 0 ends with the
    connection, 4294967295 never. inside: a part of the program itself. unsent: bytes that the network has not taken. dropped:
    messages that were to go to this client."""
    link = session.link
    row: Row = {
        "client": session.client_id.removeprefix(INSIDE),
        "inside": session.identity.inside,
        "username": session.identity.username,
        "connected": link is not None,
        "sessionExpiry": session.expiry,
        "expiresIn": round(session.ends - now, 1) if link is None and session.ends < inf else None,
        "subscriptions": len(session.subscriptions),
        "inFlight": len(session.in_flight),
        "queued": len(session.queue),
        "queuedBytes": session.queued_bytes,
        "unsent": 0,
        "dropped": session.dropped,
    }
    if link is not None:
        row |= {
            "address": link.peer.address,
            "listener": link.peer.listener,
            "version": _VERSIONS[link.version],
            "keepAlive": link.keep_alive,
            "connectedFor": round(now - link.opened, 1),
            "silentFor": round(now - link.heard, 1),
            "unsent": link.buffered,
            "will": link.will.topic if link.will is not None else None,
        }
    return row


def waits(session: Session) -> bool:
    """Whether something is on its way to this client, or was lost on it."""
    link = session.link
    return bool(session.queue or session.in_flight or session.dropped or (link is not None and link.buffered))


def subscription_rows(session: Session) -> Iterator[Row]:
    """group: of a shared subscription, else null."""
    for name, subscription in session.subscriptions.items():
        group, inner = split_shared(name)
        yield {
            "client": session.client_id.removeprefix(INSIDE),
            "filter": inner,
            "group": group,
            "qos": subscription.qos,
            "noLocal": subscription.no_local,
            "retainAsPublished": subscription.retain_as_published,
            "retainHandling": subscription.retain_handling,
            "identifier": subscription.identifier,
        }
