"""Topic names and topic filters: what is valid, who subscribed to what, which retained messages a filter means.

A filter is a list of levels between slashes; ``+`` stands for one level, ``#`` (only at the end) for any number, also none.
A topic that starts with ``$`` is not matched by a filter that starts with a wildcard (MQTT-4.7.2-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

C = TypeVar("C")
D = TypeVar("D")
M = TypeVar("M")

SHARE: Final = "$share/"
CACHED_TOPICS: Final = 16384
"""Topics whose recipients are remembered; some 2 MB when all are in use, for topics with the same recipients share one answer."""


class TopicError(ValueError):
    """A topic name or filter that the standard or a limit forbids."""


def check_topic(topic: str, max_bytes: int = 65535, max_levels: int = 128) -> None:
    """Raises :class:`TopicError` when *topic* cannot be published to (MQTT-4.7.1-1, 4.7.3-1, 4.7.3-2)."""
    _check_size(topic, max_bytes, max_levels)
    if "+" in topic or "#" in topic:
        raise TopicError("a topic name with a wildcard")


def check_filter(name: str, max_bytes: int = 65535, max_levels: int = 128) -> None:
    """Raises :class:`TopicError` when *name* cannot be subscribed to (MQTT-4.7.1-2, 4.7.1-3, 4.8.2-1, 4.8.2-2)."""
    _check_size(name, max_bytes, max_levels)
    group, inner = split_shared(name)
    if group is not None and (not group or not inner or "+" in group or "#" in group):
        raise TopicError("a shared subscription is $share/<group>/<filter>")
    levels = inner.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise TopicError("# must be a whole level, and the last")
        if "+" in level and level != "+":
            raise TopicError("+ must be a whole level")


def _check_size(name: str, max_bytes: int, max_levels: int) -> None:
    if not name:
        raise TopicError("empty")
    if "\0" in name:
        raise TopicError("has a NUL character")
    if len(name) > max_bytes or (not name.isascii() and len(name.encode()) > max_bytes):
        raise TopicError(f"longer than {max_bytes} bytes")
    if name.count("/") >= max_levels:
        raise TopicError(f"more than {max_levels} levels")


def split_shared(name: str) -> tuple[str | None, str]:
    """The group and the inner filter of ``$share/group/filter``; the group is None for other filters."""
    if not name.startswith(SHARE):
        return None, name
    group, _, inner = name[len(SHARE) :].partition("/")
    return group, inner


def matches(name: str, topic: str) -> bool:
    """Whether the filter *name* (not a shared one) means *topic*."""
    levels, parts = name.split("/"), topic.split("/")
    if topic.startswith("$") and levels[0] in ("+", "#"):
        return False
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place >= len(parts) or level not in ("+", parts[place]):
            return False
    return len(levels) == len(parts)


def overlap(one: str, other: str) -> bool:
    """Whether there is a topic that both filters mean."""
    first, second = one.split("/"), other.split("/")
    if (first[0] in ("+", "#") and second[0].startswith("$")) or (second[0] in ("+", "#") and first[0].startswith("$")):
        return False
    for place in range(max(len(first), len(second)) + 1):
        mine = first[place] if place < len(first) else None
        others = second[place] if place < len(second) else None
        if mine == "#" or others == "#":
            return True
        if mine is None or others is None:
            return mine is others
        if mine not in (others, "+") and others != "+":
            return False
    return True


def covers(name: str, inner: str) -> bool:
    """Whether all topics that the filter *inner* means are meant by the filter *name*."""
    levels, parts = name.split("/"), inner.split("/")
    if parts[0].startswith("$") and levels[0] in ("+", "#"):
        return False
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place >= len(parts) or parts[place] == "#" or level not in ("+", parts[place]):
            return False
    return len(levels) == len(parts)


class Subscription(Generic[C]):
    """One filter of one client, with the options of MQTT 5 (3.8.3.1); earlier versions know only the QoS."""

    __slots__ = ("client", "filter", "identifier", "no_local", "qos", "retain_as_published", "retain_handling")

    def __init__(
        self,
        client: C,
        name: str,
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int | None = None,
    ) -> None:
        self.client = client
        self.filter = name
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling
        self.identifier = identifier

    def of_client(self, client: D) -> Subscription[D]:
        """The same subscription, held by another client."""
        return Subscription(
            client,
            self.filter,
            self.qos,
            no_local=self.no_local,
            retain_as_published=self.retain_as_published,
            retain_handling=self.retain_handling,
            identifier=self.identifier,
        )


class Recipient(Generic[C]):
    """What all subscriptions of one client make of one topic: one copy, with the highest QoS (MQTT-3.3.5-1)."""

    __slots__ = ("client", "identifiers", "no_local", "qos", "retain_as_published", "subscriptions")

    def __init__(self, subscriptions: list[Subscription[C]]) -> None:
        first = subscriptions[0]
        self.client = first.client
        self.subscriptions = subscriptions
        if len(subscriptions) == 1:
            self.qos = first.qos
            self.retain_as_published = first.retain_as_published
            self.no_local = first.no_local
            self.identifiers: tuple[int, ...] = () if first.identifier is None else (first.identifier,)
            return
        self.qos = max(each.qos for each in subscriptions)
        self.retain_as_published = any(each.retain_as_published for each in subscriptions)
        self.no_local = any(each.no_local for each in subscriptions)
        self.identifiers = tuple(each.identifier for each in subscriptions if each.identifier is not None)

    def of(self, sender: object) -> Recipient[C] | None:
        """What applies to messages of *sender*: without the subscriptions with "no local" when that is the client itself."""
        if self.client is not sender:
            return self
        kept = [each for each in self.subscriptions if not each.no_local]
        return Recipient(kept) if kept else None


class Group(Generic[C]):
    """The members of one shared subscription: every message goes to one of them, in turn."""

    __slots__ = ("_turn", "members")

    def __init__(self) -> None:
        self.members: dict[C, Recipient[C]] = {}
        self._turn = 0

    def in_turn(self) -> Iterator[Recipient[C]]:
        """All members, beginning with the one whose turn it is."""
        members = list(self.members.values())
        self._turn = start = (self._turn + 1) % len(members)
        yield from members[start:]
        yield from members[:start]


class Match(Generic[C]):
    """Who gets messages of one topic. Kept in the cache: not to be changed."""

    __slots__ = ("groups", "recipients")

    def __init__(self, recipients: list[Recipient[C]], groups: list[Group[C]]) -> None:
        self.recipients = recipients
        self.groups = groups


class _Node(Generic[C]):
    __slots__ = ("children", "groups", "subscriptions")

    def __init__(self) -> None:
        self.children: dict[str, _Node[C]] = {}
        self.subscriptions: dict[C, Subscription[C]] | None = None
        self.groups: dict[str, Group[C]] | None = None

    def empty(self) -> bool:
        return not self.children and not self.subscriptions and not self.groups


class Trie(Generic[C]):
    """All subscriptions. A client (any hashable) has at most one for a filter; shared ones count by group and filter."""

    def __init__(self, cached_topics: int = CACHED_TOPICS) -> None:
        self._root: _Node[C] = _Node()
        self.count = 0
        """Of all subscriptions; shared: of those that are shared."""
        self.shared = 0
        self.cache: dict[str, Match[C]] = {}
        """To be read by who cannot afford a call; it forgets what changes."""
        self._cached_topics = cached_topics
        self._matches: dict[tuple[_Node[C], ...], Match[C]] = {}

    def subscribe(self, subscription: Subscription[C]) -> bool:
        """Adds or replaces; returns whether it is new. The filter must have passed :func:`check_filter`."""
        group_name, name = split_shared(subscription.filter)
        node = self._root
        for level in name.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        client = subscription.client
        if group_name is None:
            if node.subscriptions is None:
                node.subscriptions = {}
            new = client not in node.subscriptions
            node.subscriptions[client] = subscription
        else:
            if node.groups is None:
                node.groups = {}
            group = node.groups.setdefault(group_name, Group())
            new = client not in group.members
            group.members[client] = Recipient([subscription])
            self.shared += new
        self.count += new
        self._forget(name)
        return new

    def unsubscribe(self, client: C, filter_name: str) -> bool:
        """Returns whether there was such a subscription."""
        group_name, name = split_shared(filter_name)
        path: list[tuple[_Node[C], str]] = []
        node = self._root
        for level in name.split("/"):
            child = node.children.get(level)
            if child is None:
                return False
            path.append((node, level))
            node = child
        if not _leave(node, group_name, client):
            return False
        self.count -= 1
        self.shared -= group_name is not None
        while path and node.empty():
            node, level = path.pop()
            del node.children[level]
        self._forget(name)
        return True

    def _forget(self, name: str) -> None:
        # A filter without wildcards changes what one topic means; that keeps the cache warm while clients come and go.
        self._matches.clear()
        if "+" in name or "#" in name:
            self.cache.clear()
        else:
            self.cache.pop(name, None)

    def match(self, topic: str) -> Match[C]:
        """Who gets a message of *topic*; the answer is valid until the next change of subscriptions."""
        found = self.cache.get(topic)
        if found is None:
            found = self._search(topic)
            if len(self.cache) >= self._cached_topics:
                self.cache.clear()
            self.cache[topic] = found
        return found

    def _search(self, topic: str) -> Match[C]:
        nodes = tuple(_nodes(self._root, topic))
        found = self._matches.get(nodes)
        if found is None:
            if len(self._matches) >= self._cached_topics:
                self._matches.clear()
            found = self._matches[nodes] = self._merge(nodes)
        return found

    def _merge(self, nodes: tuple[_Node[C], ...]) -> Match[C]:
        subscriptions: dict[C, list[Subscription[C]]] = {}
        groups: list[Group[C]] = []
        for node in nodes:
            for client, subscription in (node.subscriptions or {}).items():
                subscriptions.setdefault(client, []).append(subscription)
            groups.extend((node.groups or {}).values())
        return Match([Recipient(each) for each in subscriptions.values()], groups)


def _leave(node: _Node[C], group_name: str | None, client: C) -> bool:
    if group_name is None:
        return node.subscriptions is not None and node.subscriptions.pop(client, None) is not None
    group = (node.groups or {}).get(group_name)
    if group is None or group.members.pop(client, None) is None:
        return False
    if not group.members and node.groups is not None:
        del node.groups[group_name]
    return True


def _nodes(root: _Node[C], topic: str) -> Iterable[_Node[C]]:
    found: list[_Node[C]] = []
    nodes = [root]
    wildcards = not topic.startswith("$")
    for level in topic.split("/"):
        following: list[_Node[C]] = []
        for node in nodes:
            children = node.children
            if wildcards:
                if (rest := children.get("#")) is not None:
                    found.append(rest)
                if (one := children.get("+")) is not None:
                    following.append(one)
            if (exact := children.get(level)) is not None:
                following.append(exact)
        nodes = following
        wildcards = True
    for node in nodes:
        if node.subscriptions or node.groups:
            found.append(node)
        if (rest := node.children.get("#")) is not None:
            found.append(rest)
    return found


class _Leaf(Generic[M]):
    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[str, _Leaf[M]] = {}
        self.value: tuple[str, M] | None = None


class Retained(Generic[M]):
    """One message per topic, found by filter in time that grows with the answer, not with all that is kept."""

    def __init__(self) -> None:
        self._root: _Leaf[M] = _Leaf()
        self._count = 0
        self.levels = 0
        """All levels of all topics, each once; some 300 bytes each."""

    def __len__(self) -> int:
        return self._count

    def values(self) -> list[M]:
        """Of all topics, also of those that no wildcard in front means."""
        return [leaf.value[1] for leaf in _below([self._root], top=False) if leaf.value is not None]

    def set(self, topic: str, value: M) -> None:
        leaf = self._root
        for level in topic.split("/"):
            child = leaf.children.get(level)
            if child is None:
                child = leaf.children[level] = _Leaf()
                self.levels += 1
            leaf = child
        self._count += leaf.value is None
        leaf.value = (topic, value)

    def get(self, topic: str) -> M | None:
        return next((value for _, value in self.match(topic)), None)

    def remove(self, topic: str) -> bool:
        """Returns whether there was one."""
        path: list[tuple[_Leaf[M], str]] = []
        leaf = self._root
        for level in topic.split("/"):
            child = leaf.children.get(level)
            if child is None:
                return False
            path.append((leaf, level))
            leaf = child
        if leaf.value is None:
            return False
        leaf.value = None
        self._count -= 1
        while path and leaf.value is None and not leaf.children:
            leaf, level = path.pop()
            del leaf.children[level]
            self.levels -= 1
        return True

    def match(self, name: str) -> list[tuple[str, M]]:
        """Topics and values that the filter *name* (not a shared one) means."""
        leaves = [self._root]
        levels = name.split("/")
        for place, level in enumerate(levels):
            if level == "#":
                return [leaf.value for leaf in _below(leaves, top=place == 0) if leaf.value is not None]
            if level == "+":
                leaves = [
                    child for leaf in leaves for key, child in leaf.children.items() if place > 0 or not key.startswith("$")
                ]
            else:
                leaves = [child for leaf in leaves if (child := leaf.children.get(level)) is not None]
        return [leaf.value for leaf in leaves if leaf.value is not None]


def _below(leaves: list[_Leaf[M]], *, top: bool) -> Iterator[_Leaf[M]]:
    """*leaves* and all under them; at the *top* without what begins with ``$``."""
    stack = list(leaves)
    while stack:
        leaf = stack.pop()
        yield leaf
        stack += [child for key, child in leaf.children.items() if not (top and key.startswith("$"))]
        top = False
