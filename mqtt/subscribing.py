"""SUBSCRIBE and UNSUBSCRIBE of one session."""

from __future__ import annotations

from typing import cast

from mqtt.limits import Limits
from mqtt.link import Link
from mqtt.packets import SubAck, Subscribe, UnsubAck, Unsubscribe
from mqtt.packets import Subscription as Wanted
from mqtt.reasons import Reason
from mqtt.router import Router, Subscriber
from mqtt.session import Session
from mqtt.topics import SHARE, Subscription, TopicError, check_filter


def _levels(name: str) -> int:
    return name.count("/") + 1


class Subscribing:
    def __init__(self, limits: Limits, router: Router) -> None:
        self._limits = limits
        self._router = router

    def subscribe(self, link: Link, session: Session, packet: Subscribe, now: float) -> None:
        """Answers with a SUBACK, then sends what is retained."""
        identifiers = (packet.properties or {}).get("subscription_identifiers")
        identifier = identifiers[0] if identifiers else None
        reasons: list[Reason] = []
        with_retained: list[Subscription[Session]] = []
        for wanted in packet.subscriptions:
            reason = self._objection(session, wanted)
            if reason is not None:
                reasons.append(reason)
                continue
            subscription = Subscription(
                session,
                wanted.filter,
                wanted.qos,
                no_local=wanted.no_local,
                retain_as_published=wanted.retain_as_published,
                retain_handling=wanted.retain_handling,
                identifier=identifier,
            )
            new = self._router.trie.subscribe(cast("Subscription[Subscriber]", subscription))
            old = session.subscriptions.get(wanted.filter)
            if old is None:
                session.levels += _levels(wanted.filter)
            session.subscriptions[wanted.filter] = subscription
            # Many clients subscribe again whenever they connect: that is no news for the disk.
            if session.journal is not None and (old is None or _options(old) != _options(subscription)):
                session.journal.subscribed(session.client_id, cast("Subscription[object]", subscription))
            reasons.append(Reason(wanted.qos))
            if not wanted.filter.startswith(SHARE) and wanted.retain_handling < (2 if new else 1):
                with_retained.append(subscription)
        if session.journal is not None:
            link.hold = session.journal.newest
        link.send_packet(SubAck(packet.packet_id, reasons))
        for subscription in with_retained:
            self._router.deliver_retained(cast("Subscription[Subscriber]", subscription), now)

    def _objection(self, session: Session, wanted: Wanted) -> Reason | None:
        try:
            check_filter(wanted.filter, self._limits.topic_bytes, self._limits.topic_levels)
        except TopicError:
            return Reason.TOPIC_FILTER_INVALID
        if wanted.filter not in session.subscriptions and (
            len(session.subscriptions) >= self._limits.subscriptions
            or session.levels + _levels(wanted.filter) > self._limits.subscription_levels
        ):
            return Reason.QUOTA_EXCEEDED
        if not self._router.may_subscribe(session.identity, wanted.filter):
            return Reason.NOT_AUTHORIZED
        return None

    def unsubscribe(self, link: Link, session: Session, packet: Unsubscribe) -> None:
        """Answers with an UNSUBACK."""
        reasons: list[Reason] = []
        for name in packet.filters:
            if session.subscriptions.pop(name, None) is None:
                reasons.append(Reason.NO_SUBSCRIPTION_EXISTED)
                continue
            session.levels -= _levels(name)
            self._router.trie.unsubscribe(session, name)
            if session.journal is not None:
                session.journal.unsubscribed(session.client_id, name)
            reasons.append(Reason.SUCCESS)
        if session.journal is not None:
            link.hold = session.journal.newest
        link.send_packet(UnsubAck(packet.packet_id, reasons))


def _options(subscription: Subscription[Session]) -> tuple[object, ...]:
    """All that can differ between two subscriptions of one filter."""
    return (
        subscription.qos,
        subscription.no_local,
        subscription.retain_as_published,
        subscription.retain_handling,
        subscription.identifier,
    )
