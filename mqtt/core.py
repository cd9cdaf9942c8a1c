"""The broker without I/O and without a clock: bytes of many connections in, bytes for them out, time as an argument.

A shell opens a :class:`Link` for every connection, feeds it what came, takes what is to go from all links in ``dirty`` after each
round, asks the authenticator about the links in ``asking``, and calls ``tick`` at ``deadline()``.
"""

from __future__ import annotations

import heapq
import itertools
import secrets
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Final

from mqtt.access import Anything, Authorizer, Identity, Peer
from mqtt.clients import Clients, expiry_of
from mqtt.counters import Counters
from mqtt.decoder import Decoder
from mqtt.errors import PeerError, ProtocolViolation
from mqtt.intake import Intake
from mqtt.journal import Journal, Memory, SavedSession, SavedWill
from mqtt.limits import Limits
from mqtt.link import Link
from mqtt.message import Message
from mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
    Version,
)
from mqtt.properties import Properties
from mqtt.reasons import Reason
from mqtt.router import CLOSED, Router
from mqtt.session import Session
from mqtt.subscribing import Subscribing
from mqtt.topics import TopicError

_LOOK: Final = 60.0
_BATCH: Final = 48
_DEAD: Final = 1000
"""Dates of connections that are gone, before they are cleared away."""
_PAIR: Final = 200
_ENDED: Final = Decoder(0)
"""In the place of the decoder of a connection that is lost: what had come of a packet must not outlive it."""


def _no_hurry() -> bool:
    return False


def _beyond(connect: Connect) -> int:
    """What a CONNECT takes in memory beyond its bytes, about: a pair of short texts is 5 bytes in a packet."""
    will = connect.will.properties if connect.will is not None else None
    return sum(_PAIR * len(each.get("user_properties", ())) for each in (connect.properties, will) if each)


class Core:
    """dirty: links with something to send. asking: links whose CONNECT waits for an answer (:meth:`admit`). strangers: links
    of which no whole CONNECT has come, the oldest first. unfinished: links of which packets were left for later (:meth:`rest`),
    because ``hurry``, which is asked now and then, said that others should have their turn.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        journal: Journal | None = None,
        authorizer: Authorizer | None = None,
        closed_roots: frozenset[str] = CLOSED,
    ) -> None:
        self.limits = limits or Limits()
        self.journal = journal or Memory()
        self.counters = Counters()
        self.router = Router(self.limits, self.journal, authorizer or Anything(), self.counters, closed_roots)
        self.clients = Clients(self.limits, self.journal, self.router, self.counters)
        self._intake = Intake(self.limits, self.journal, self.router, self.counters)
        self.subscribing = Subscribing(self.limits, self.router)
        self.dirty: list[Link] = []
        self.asking: list[Link] = []
        self.unfinished: dict[Link, None] = {}
        self.hurry: Callable[[], bool] = _no_hurry
        self.links: set[Link] = set()
        self.strangers: dict[Link, None] = {}
        self._unknown: dict[Link, int] = {}
        self._unknown_bytes = 0
        self.started: float | None = None
        """When, if its shell says so."""
        self._due: list[tuple[float, int, Link]] = []
        self._turn = itertools.count()

    def restore(
        self,
        sessions: Iterable[SavedSession],
        retained: Iterable[Message],
        now: float,
        wills: Iterable[SavedWill] = (),
    ) -> None:
        """Brings back what a journal has kept. Before anything else is called."""
        for message in retained:
            self.router.restore(message)
        for saved in sessions:
            self.clients.restore(saved, now)
        for will in wills:
            self.clients.restore_will(will, now)

    # Connections.

    def open(self, peer: Peer, now: float) -> Link:
        """A new connection; nothing is known of the client."""
        link = Link(peer, self.limits.unknown_packet, self.dirty, now)
        self.links.add(link)
        self.strangers[link] = None
        self.counters.connections += 1
        self._watch(link, now + self.limits.connect_timeout, now)
        return link

    def feed(self, link: Link, data: bytes, now: float) -> None:
        """Takes what came. What is wrong with it closes this link and harms no other."""
        if link.closing:
            return
        link.heard = now
        self.counters.bytes_received += len(data)
        session = link.session
        try:
            if session is None:
                link.decoder.feed(data)
                self.hold(link, link.decoder.buffered)
                self._greet(link)
            elif self.limits.publish_rate:
                before = self.counters.received
                self._take(link, session, data, now)
                self._pace(link, self.counters.received - before, now)
            else:
                self._take(link, session, data, now)
        except PeerError as error:
            self._refuse(link, error)
            # At once, so that nothing of this round comes behind the DISCONNECT (MQTT-3.14.4-1).
            self.lost(link, now)

    def hold(self, link: Link, size: int) -> None:
        """Bounds what is held of all CONNECTs together that were not answered, and of what comes before them: who holds most is
        closed first, for an honest CONNECT is small and whole."""
        unknown = self._unknown
        self._unknown_bytes += size - unknown.get(link, 0)
        unknown[link] = size
        while self._unknown_bytes > self.limits.unknown_bytes:
            largest = max(unknown, key=unknown.__getitem__)
            self._known(largest)
            self.counters.closed["too many half CONNECTs"] += 1
            largest.close()

    def _known(self, link: Link) -> None:
        """A stranger no longer."""
        self.strangers.pop(link, None)
        self._unknown_bytes -= self._unknown.pop(link, 0)

    def _pace(self, link: Link, messages: int, now: float) -> None:
        """A second's worth of messages may come at once; then the client waits until those that it sent were due."""
        link.paid = max(link.paid, now - 1.0) + messages / self.limits.publish_rate
        if link.paid > now:
            link.pace = link.paid

    def _take(self, link: Link, session: Session, data: bytes, now: float) -> None:  # noqa: PLR0912
        # One test after the other, the most frequent first: a look into a table of methods costs more.
        decoder = link.decoder
        publish = self._intake.publish
        if link.left:
            decoder.feed(data)
            packets, link.left = link.left, []
            more = True
        else:
            packets = decoder.take(data, _BATCH)
            more = decoder.more
        while True:
            rest = iter(packets)
            packet: Any
            for packet in rest:
                kind = type(packet)
                if kind is Publish:
                    publish(link, session, packet, now)
                elif kind is PubAck:
                    session.acknowledged(packet.packet_id, now)
                elif kind is PubRec:
                    session.arrived(packet.packet_id, packet.reason, now)
                elif kind is PubRel:
                    session.release(link, packet.packet_id)
                elif kind is PubComp:
                    session.completed(packet.packet_id, now)
                else:
                    self._other(link, session, packet, now)
                    if kind is Subscribe and self._enough(link):
                        # It may have brought all that is retained.
                        link.left = list(rest)
                        return
                if link.closing:
                    return
            if not more:
                break
            if self._enough(link):
                return
            packets = decoder.batch(_BATCH)
            more = decoder.more
        link.more = False

    def _enough(self, link: Link) -> bool:
        """Whether the rest has to wait: for the turn of others, or for the client, who does not take what it has caused."""
        if link.buffered > 2 * self.limits.output:
            link.more = True
        elif self.hurry():
            link.more = True
            self.unfinished[link] = None
        else:
            return False
        return True

    def rest(self) -> list[Link]:
        """The links of which packets were left: they want to be fed soon, with nothing, each once."""
        unfinished, self.unfinished = self.unfinished, {}
        return [*unfinished]

    def _other(self, link: Link, session: Session, packet: Packet, now: float) -> None:
        match packet:
            case PingReq():
                link.send(b"\xd0\x00")
            case Subscribe():
                self.subscribing.subscribe(link, session, packet, now)
            case Unsubscribe():
                self.subscribing.unsubscribe(link, session, packet)
            case Disconnect():
                self._goodbye(link, session, packet)
            case Auth():
                raise ProtocolViolation("an AUTH, though no extended authentication was begun")
            case _:
                raise ProtocolViolation(f"{packet.type.name} is not for a server")

    def _goodbye(self, link: Link, session: Session, packet: Disconnect) -> None:
        expiry = (packet.properties or {}).get("session_expiry")
        if expiry is not None:
            if session.expiry == 0 and expiry:
                raise ProtocolViolation("a DISCONNECT sets a session expiry, which was 0 in CONNECT")
            self.clients.set_expiry(session, expiry)
        if packet.reason is Reason.NORMAL_DISCONNECTION:
            # Any other reason lets the will be published (MQTT-3.1.2-10).
            link.will = None
        link.close()

    def _refuse(self, link: Link, error: PeerError) -> None:
        self.counters.closed[error.reason.text] += 1
        if link.session is not None:
            self._say_goodbye(link, error.reason)
        elif link.decoder.version is None and error.reason == Reason.UNSUPPORTED_PROTOCOL_VERSION:
            # What is right for 3.1.1 is understood by most (MQTT-3.1.2-2).
            link.send_packet(ConnAck(reason=error.reason))
        link.close()

    def _say_goodbye(self, link: Link, reason: Reason) -> None:
        if link.version == Version.V5:
            link.send_packet(Disconnect(reason))
            link.refused = True

    def disconnect(self, link: Link, reason: Reason) -> None:
        """Ends a connection for a reason of ours; clients of 5.0 are told."""
        if not link.closing:
            self.counters.closed[reason.text] += 1
            if link.session is not None:
                self._say_goodbye(link, reason)
            link.close()

    def lost(self, link: Link, now: float) -> None:
        """The connection is gone, or is given up. May be called again."""
        link.closing = True
        self.links.discard(link)
        self._known(link)
        # The heap of dates may know the link for another minute.
        link.decoder = _ENDED
        link.asking = link.aliases = None
        link.left = []
        session, link.session = link.session, None
        will, link.will = link.will, None
        if session is not None and session.link is link:
            self.clients.lost(session, will, now)

    def drained(self, link: Link, now: float) -> None:
        """The network has taken what was written; what waits can go on."""
        if link.session is not None and not link.closing:
            link.session.pump(now)
            if link.more:
                self.unfinished[link] = None

    # CONNECT.

    def _greet(self, link: Link) -> None:
        if link.asking is not None or link.closing:
            return
        packets = link.decoder.batch(1)
        if not packets:
            return
        connect = packets[0]
        if not isinstance(connect, Connect):
            raise ProtocolViolation("the first packet is not CONNECT")
        link.version = connect.version
        if (reason := self._objection(connect)) is not None:
            self._deny(link, reason)
            return
        if not connect.client_id:
            connect.client_id = self._name()
            link.named = True
        link.asking = connect
        if weight := _beyond(connect):
            self.hold(link, self._unknown.get(link, 0) + weight)
            if link not in self._unknown:
                # It was the one that held most, and is closed.
                return
        self.strangers.pop(link, None)
        self.asking.append(link)

    def _objection(self, connect: Connect) -> Reason | None:
        """What can be said against a CONNECT without knowing who it is."""
        if not connect.client_id and (connect.version == Version.V31 or (connect.version < 5 and not connect.clean_start)):
            return Reason.CLIENT_IDENTIFIER_NOT_VALID
        if "authentication_method" in (connect.properties or {}):
            return Reason.BAD_AUTHENTICATION_METHOD
        if connect.will is not None:
            try:
                self.router.check_topic(connect.will.topic)
            except TopicError:
                return Reason.TOPIC_NAME_INVALID
        return None

    def _deny(self, link: Link, reason: Reason) -> None:
        self.counters.closed[reason.text] += 1
        link.send_packet(ConnAck(reason=reason))
        link.refused = True
        link.close()

    def admit(self, link: Link, answer: Identity | Reason, now: float) -> None:
        """The authenticator's answer to the CONNECT of a link. Only from here on are sessions touched."""
        connect, link.asking = link.asking, None
        if connect is None or link.closing:
            return
        self._known(link)
        if isinstance(answer, Reason):
            self._deny(link, answer)
            return
        if self.journal.failing and expiry_of(connect.clean_start, connect.version, connect.properties):
            # It would wait for an answer until it gives up.
            self._deny(link, Reason.SERVER_UNAVAILABLE)
            return
        known = self.clients.sessions.get(answer.client_id)
        if known is None and self.clients.full:
            self._deny(link, Reason.QUOTA_EXCEEDED)
            return
        if known is not None and known.link is not None:
            old = known.link
            self.disconnect(old, Reason.SESSION_TAKEN_OVER)
            self.lost(old, now)
        self._start(link, connect, answer, now)
        self.feed(link, b"", now)

    def _name(self) -> str:
        """An identifier for a client that brings none. One that clients may come back with after a restart, when others have
        got theirs, and that nobody else can guess."""
        return f"auto-{secrets.token_hex(8)}"

    def _start(self, link: Link, connect: Connect, identity: Identity, now: float) -> None:
        expiry = expiry_of(connect.clean_start, connect.version, connect.properties)
        clean = connect.clean_start
        session, present = self.clients.connect(identity, clean, expiry, now)
        properties = connect.properties or {}
        self.counters.admitted += 1
        link.identity = identity
        link.session = session
        link.will = connect.will
        self.journal.will(session.client_id, identity.owner, connect.will)
        link.keep_alive = self._keep_alive(connect)
        link.largest = properties.get("maximum_packet_size")
        link.decoder.limit = self.limits.packet
        session.window = min(properties.get("receive_maximum", 65535), self.limits.in_flight)
        if session.journal is not None:
            link.hold = self.journal.newest
        link.send_packet(ConnAck(present, Reason.SUCCESS, self._terms(link, session, connect, expiry)))
        if link.closing:
            # Not even this may be sent: it is larger than the client takes.
            session.link, link.will = link, None
            self.lost(link, now)
            return
        if link.keep_alive:
            self._watch(link, now + link.keep_alive * 1.5, now)
        session.resume(link, now)

    def _keep_alive(self, connect: Connect) -> int:
        most = self.limits.keep_alive
        if connect.version < 5 or not most or 0 < connect.keep_alive <= most:
            return connect.keep_alive
        return most

    def _terms(self, link: Link, session: Session, connect: Connect, expiry: int) -> Properties | None:
        """What a client of 5.0 is told in CONNACK."""
        if link.version != Version.V5:
            return None
        terms = Properties(
            receive_maximum=self.limits.receive_maximum,
            maximum_packet_size=self.limits.packet,
            topic_alias_maximum=self.limits.topic_aliases,
        )
        if link.named or connect.client_id != session.client_id:
            terms["assigned_client_id"] = session.client_id
        if link.keep_alive != connect.keep_alive:
            terms["server_keep_alive"] = link.keep_alive
        if session.expiry != expiry:
            terms["session_expiry"] = session.expiry
        return terms

    # Time.

    def _watch(self, link: Link, when: float, now: float) -> None:
        # Not longer than a minute: links that are gone must not wait in the heap for a keep-alive of hours.
        if len(self._due) > 2 * len(self.links) + _DEAD:
            self._due = [each for each in self._due if each[1] == each[2].watched and not each[2].closing]
            heapq.heapify(self._due)
        link.watched = next(self._turn)
        heapq.heappush(self._due, (min(when, now + _LOOK), link.watched, link))

    def deadline(self) -> float:
        """When :meth:`tick` has something to do next; infinity for never."""
        return min(self._due[0][0] if self._due else inf, self.clients.deadline())

    def stood_still(self, seconds: float) -> None:
        """For so long nobody was heard because we did not listen: the machine slept, or was busy."""
        for link in self.links:
            link.heard += seconds
            link.opened += seconds

    def tick(self, now: float) -> None:
        """Ends connections that are silent for too long; publishes wills and ends sessions whose time has come."""
        while self._due and self._due[0][0] <= now:
            _, turn, link = heapq.heappop(self._due)
            # A link is watched once: an earlier date makes a later one void.
            if not link.closing and link.watched == turn:
                self._check(link, now)
        self.clients.tick(now)

    def _check(self, link: Link, now: float) -> None:
        if link.session is None:
            until = link.opened + self.limits.connect_timeout
            if until <= now:
                self.counters.closed["connect timeout"] += 1
                link.close()
                return
        elif link.keep_alive:
            until = link.heard + link.keep_alive * 1.5
            if until <= now:
                self.disconnect(link, Reason.KEEP_ALIVE_TIMEOUT)
                self.lost(link, now)
                return
        else:
            return
        self._watch(link, until, now)
