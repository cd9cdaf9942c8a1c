"""The sessions by client identifier: found again or taken over when a client connects, waiting and ending when it has gone, with
the wills that this brings. Nothing here is called before a client was let in."""

from __future__ import annotations

import heapq
from math import inf
from typing import Final, cast

from mqtt.access import Identity
from mqtt.counters import Counters
from mqtt.journal import Journal, SavedSession, SavedWill
from mqtt.limits import UNLIMITED, Limits
from mqtt.message import Message, passed_on
from mqtt.packets import Publish, Will
from mqtt.properties import Properties
from mqtt.router import Router, Subscriber
from mqtt.session import Session
from mqtt.topics import Subscription

_LOOK: Final = 60.0
"""Seconds after which something that waits long is looked at in between, so that what has gone does not stay in the heap."""
_DEAD: Final = 1000
"""Dates that are void, before they are cleared away."""


class Clients:
    def __init__(self, limits: Limits, journal: Journal, router: Router, counters: Counters) -> None:
        self._limits = limits
        self._journal = journal
        self._router = router
        self._counters = counters
        self._due: list[tuple[float, int, Session]] = []
        self._turn = 0
        self.sessions: dict[str, Session] = {}

    @property
    def full(self) -> bool:
        return len(self.sessions) >= self._limits.sessions

    def connect(self, identity: Identity, clean: bool, expiry: int, now: float) -> tuple[Session, bool]:
        """The session for a client that was let in, and whether it was there before.

        Whoever holds it must have been cut off (:meth:`lost`). A session of another user is not given: the messages that
        wait in it are not for everybody who knows its name.
        """
        session = self.sessions.get(identity.client_id)
        if session is not None and session.will_due <= now:
            # Its time has come, though the clock has not come round yet: it is not called off any more (MQTT-3.1.3-9).
            self._publish_due(session, now)
        if session is not None and (clean or session.ends <= now or session.identity.owner != identity.owner):
            self.end(session, now)
            session = None
        present = session is not None
        if session is None:
            session = Session(identity, self._limits, self._counters)
            self.sessions[identity.client_id] = session
        session.identity = identity
        session.will = None
        session.will_due = session.ends = inf
        self.set_expiry(session, expiry)
        return session, present

    def restore(self, saved: SavedSession, now: float) -> None:
        """A session that a journal has kept; its client is not connected."""
        session = Session(Identity.of_owner(saved.client_id, saved.username), self._limits, self._counters)
        session.restore(saved)
        session.journal = self._journal
        session.expiry = saved.expiry
        session.ends = now + saved.remaining
        self.sessions[saved.client_id] = session
        for wanted in saved.subscriptions:
            subscription = wanted.of_client(session)
            session.subscriptions[wanted.filter] = subscription
            session.levels += wanted.filter.count("/") + 1
            self._router.trie.subscribe(cast("Subscription[Subscriber]", subscription))
        self._watch(session, now)

    def restore_will(self, saved: SavedWill, now: float) -> None:
        """The client's connection ended with the broker. Its will is published at once, before anybody is there who could say
        something newer, or after its delay, if its session waits as long."""
        session = self.sessions.get(saved.client_id)
        delay = (saved.will.properties or {}).get("will_delay", 0)
        if session is not None and delay:
            session.will = saved.will
            session.will_due = now + delay
            self._watch(session, now)
            return
        client = session or Session(Identity.of_owner(saved.client_id, saved.username), self._limits, self._counters)
        try:
            self._publish(client, saved.will, now)
        finally:
            self._journal.will(saved.client_id, None, None)

    def set_expiry(self, session: Session, expiry: int) -> None:
        session.expiry = min(expiry, self._limits.session_expiry)
        if session.expiry:
            session.journal = self._journal
            self._journal.session(session.client_id, session.identity.owner, session.expiry, None)
        elif session.journal is not None:
            self._journal.session_ended(session.client_id)
            session.journal = None

    def lost(self, session: Session, will: Will | None, now: float) -> None:
        """The connection is gone. will: to be published, now or after its delay."""
        session.link = None
        delay = (will.properties or {}).get("will_delay", 0) if will is not None else 0
        try:
            if will is not None and (delay == 0 or session.expiry == 0):
                self._publish(session, will, now)
            elif will is not None:
                session.will = will
                session.will_due = now + delay
        finally:
            # Whatever comes of the will, nobody would end this session any more.
            self._wait(session, now)

    def _wait(self, session: Session, now: float) -> None:
        """For its client to come back, or until it ends."""
        if session.will is None:
            self._journal.will(session.client_id, None, None)
        if session.expiry == 0:
            self.end(session, now)
            return
        session.ends = inf if session.expiry == UNLIMITED else now + session.expiry
        self._journal.session(session.client_id, session.identity.owner, session.expiry, now)
        self._watch(session, now)

    def end(self, session: Session, now: float) -> None:
        """Forgets the session. A will that waits is published (MQTT-3.1.3-9)."""
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
        for name in session.subscriptions:
            self._router.trie.unsubscribe(session, name)
        session.subscriptions.clear()
        session.levels = 0
        session.forget()
        if session.journal is not None:
            self._journal.session_ended(session.client_id)
            session.journal = None
        session.ends = inf
        session.watched = 0
        if session.will is not None:
            self._publish_due(session, now)

    def _publish_due(self, session: Session, now: float) -> None:
        will, session.will, session.will_due = session.will, None, inf
        if will is not None:
            try:
                self._publish(session, will, now)
            finally:
                self._journal.will(session.client_id, None, None)

    def _publish(self, session: Session, will: Will, now: float) -> None:
        if not self._router.may_publish(session.identity, will.topic):
            self._counters.dropped["not authorized"] += 1
            return
        packet = Publish(will.topic, will.payload, will.qos, will.retain, properties=passed_on(will.properties))
        expiry = (will.properties or {}).get("message_expiry")
        message = Message(packet, session.client_id, None if expiry is None else now + expiry)
        self._router.publish(message, session, now)

    # Time.

    def _watch(self, session: Session, now: float) -> None:
        when = min(session.ends, session.will_due)
        if when < inf:
            if len(self._due) > 2 * len(self.sessions) + _DEAD:
                self._due = [each for each in self._due if each[1] == each[2].watched and each[2].link is None]
                heapq.heapify(self._due)
            self._turn += 1
            session.watched = self._turn
            heapq.heappush(self._due, (min(when, now + _LOOK), self._turn, session))

    def deadline(self) -> float:
        return self._due[0][0] if self._due else inf

    def tick(self, now: float) -> None:
        """Publishes wills and ends sessions whose time has come."""
        while self._due and self._due[0][0] <= now:
            _, turn, session = heapq.heappop(self._due)
            # A session is watched once: a new date makes the older one void.
            if session.link is not None or session.watched != turn:
                continue
            try:
                if session.will_due <= now:
                    self._publish_due(session, now)
            finally:
                if session.ends <= now:
                    self._counters.expired += 1
                    self.end(session, now)
                else:
                    self._watch(session, now)


def expiry_of(clean: bool, version: int, properties: Properties | None) -> int:
    """Seconds that a session outlives its connection. Before 5.0 "clean session" says it: not at all, or for ever."""
    if version < 5:
        return 0 if clean else UNLIMITED
    return (properties or {}).get("session_expiry", 0)
