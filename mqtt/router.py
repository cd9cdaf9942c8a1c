"""From a message to all who get it: subscriptions, retained messages, and who may read."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from mqtt.access import Authorizer, Identity
from mqtt.counters import Counters
from mqtt.journal import Journal
from mqtt.limits import Limits
from mqtt.message import Message
from mqtt.topics import Recipient, Retained, Subscription, Trie, check_topic, split_shared

CLOSED: Final = frozenset({"$SYS"})
"""Topic roots that belong to the broker: clients read there, and do not publish."""

_SWEEP: Final = 60.0
"""Seconds between two looks at all retained messages for those that have expired; only when there is no room for another one."""
_LEVEL: Final = 300
"""Bytes that a level of a retained topic takes."""


class Subscriber(Protocol):
    """Someone to deliver to: the session of a client, or a part of this program. Hashable by identity."""

    @property
    def connected(self) -> bool: ...

    @property
    def identity(self) -> Identity: ...

    def deliver(self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...], now: float) -> None: ...


def _raise(client: Subscriber, error: Exception) -> None:
    raise error


class Router:
    """closed: topic roots in which clients must not publish."""

    def __init__(
        self, limits: Limits, journal: Journal, authorizer: Authorizer, counters: Counters, closed: frozenset[str] = CLOSED
    ) -> None:
        self._limits = limits
        self._journal = journal
        self._counters = counters
        self._closed = closed
        self.authorize(authorizer)
        self.trie: Trie[Subscriber] = Trie()
        self.retained: Retained[Message] = Retained()
        self.retained_bytes = 0
        self._swept = -inf
        self.failed: Callable[[Subscriber, Exception], None] = _raise
        """What to do when something unexpected is raised while a message is handed to one of many."""
        self._told: Retained[Message] = Retained()
        """What the broker says itself, in closed roots: true now and never again. It takes no room from others, and no disk."""

    def authorize(self, authorizer: Authorizer) -> None:
        """Who may do what, for all that comes after this."""
        self._authorizer = authorizer
        self._reads_are_free = authorizer.reads_are_free

    def may_publish(self, identity: Identity, topic: str) -> bool:
        if topic[0] == "$" and topic.partition("/")[0] in self._closed:
            return False
        return self._authorizer.may_publish(identity, topic)

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        return identity.inside or self._authorizer.may_subscribe(identity, split_shared(topic_filter)[1])

    def check_topic(self, topic: str) -> None:
        """Raises TopicError. What has been matched before was good before."""
        if topic not in self.trie.cache:
            check_topic(topic, self._limits.topic_bytes, self._limits.topic_levels)

    def publish(self, message: Message, sender: object, now: float) -> bool:
        """Hands the message to all who subscribed, and keeps it if it is to be retained. Returns whether anybody gets it.

        The topic was checked, and that the sender may publish to it.
        """
        if message.retain:
            self._retain(message, now)
        topic = message.topic
        # The cache is asked here first: at 1 us a message the call is worth saving.
        match = self.trie.cache.get(topic)
        if match is None:
            match = self.trie.match(topic)
        qos = message.qos
        recipients = match.recipients
        may_receive = None if self._reads_are_free else self._authorizer.may_receive
        for each in recipients:
            recipient = each.of(sender) if each.no_local else each
            if recipient is None:
                continue
            client = recipient.client
            if may_receive is not None and not may_receive(client.identity, topic) and not self._may_receive(client, topic):
                continue
            try:
                client.deliver(
                    message,
                    qos if qos < recipient.qos else recipient.qos,
                    recipient.retain_as_published and message.retain,
                    recipient.identifiers,
                    now,
                )
            except Exception as error:
                self.failed(client, error)
        for group in match.groups:
            self._share(message, [*group.in_turn()], now)
        return bool(recipients or match.groups)

    def _share(self, message: Message, members: list[Recipient[Subscriber]], now: float) -> None:
        """To one of them: one who is connected if there is any."""
        members = [each for each in members if self._reads_are_free or self._may_receive(each.client, message.topic)]
        chosen = next((each for each in members if each.client.connected), members[0] if members else None)
        if chosen is not None:
            retain = chosen.retain_as_published and message.retain
            try:
                chosen.client.deliver(message, min(message.qos, chosen.qos), retain, chosen.identifiers, now)
            except Exception as error:
                self.failed(chosen.client, error)

    def _may_receive(self, client: Subscriber, topic: str) -> bool:
        if self._authorizer.may_receive(client.identity, topic) or client.identity.inside:
            return True
        self._counters.dropped["not authorized"] += 1
        return False

    def _kept(self, name: str) -> Retained[Message]:
        """Where retained messages of a topic or for a filter are: a wildcard in front never means a closed root."""
        return self._told if name[0] == "$" and name.partition("/")[0] in self._closed else self.retained

    def _retain(self, message: Message, now: float) -> None:
        topic = message.topic
        if (kept := self._kept(topic)) is not self.retained:
            kept.set(topic, message)
            return
        old = self.retained.get(topic)
        if not message.packet.payload:
            if old is not None:
                self._forget(old)
            return
        if not self._fits(message, old):
            self._sweep(now)
            old = self.retained.get(topic)
            if not self._fits(message, old):
                self._counters.dropped["retained full"] += 1
                return
        if old is not None:
            self.retained_bytes -= old.size
        self.retained_bytes += message.size
        self.retained.set(topic, message)
        self._journal.retained(topic, message)

    def _fits(self, message: Message, old: Message | None) -> bool:
        """Whether there is room for the message in the place of the old one."""
        held = self.retained_bytes + _LEVEL * self.retained.levels - (old.size if old is not None else 0)
        if held + message.size > self._limits.retained_bytes:
            return False
        return old is not None or len(self.retained) < self._limits.retained_messages

    def _sweep(self, now: float) -> None:
        """Forgets what has expired and nobody has asked for since, so that it takes no room from others."""
        if now < self._swept + _SWEEP:
            return
        self._swept = now
        for message in self.retained.values():
            if message.expires is not None and message.expires <= now:
                self._forget(message)

    def restore(self, message: Message) -> None:
        """A retained message that a journal has kept."""
        self.retained.set(message.topic, message)
        self.retained_bytes += message.size

    def _forget(self, message: Message) -> None:
        self.retained_bytes -= message.size
        self.retained.remove(message.topic)
        self._journal.retained(message.topic, None)

    def deliver_retained(self, subscription: Subscription[Subscriber], now: float) -> None:
        """The retained messages that a new subscription means."""
        client = subscription.client
        identifiers = () if subscription.identifier is None else (subscription.identifier,)
        for topic, message in self._kept(subscription.filter).match(subscription.filter):
            if message.expires is not None and message.expires <= now:
                self._forget(message)
            elif self._reads_are_free or self._may_receive(client, topic):
                client.deliver(message, min(message.qos, subscription.qos), True, identifiers, now)
                message.forget_encoded()
