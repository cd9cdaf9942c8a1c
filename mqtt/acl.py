"""Access control lists in mosquitto's syntax.

``topic [read|write|readwrite|deny] <filter>`` under ``user <name>`` is for that user, before the first ``user`` for clients
without a name; ``pattern ...`` is for all, with ``%u`` (user name) and ``%c`` (client identifier) as levels of the filter.
What no line allows is forbidden. A topic that starts with ``$`` is meant only by filters that do.
Source: mosquitto.conf(5) of 2.0; what that leaves open, mosquitto 2.0.11 asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mqtt.access import Identity
from mqtt.accessfile import AccessFileError, first_word, read_lines
from mqtt.rights import DENY, READ, WRITE, Layer, Rights, Rule
from mqtt.topics import TopicError, check_filter

_KINDS: Final = {"read": READ, "write": WRITE, "readwrite": READ | WRITE, "deny": DENY}
_REMEMBERED: Final = 65536
"""Decisions kept, of all clients together: some 8 MB if there are so many topics and clients."""
_CLIENTS: Final = 16384
_NOTHING: Final = Layer()
_PLACES: Final = ("%c", "%u")


@dataclass(slots=True)
class Rules:
    """What one file says. users: by name, None for clients without one."""

    users: dict[str | None, list[Rule]] = field(default_factory=dict)
    patterns: list[Rule] = field(default_factory=list)


def load(path: Path) -> Rules:
    """Raises AccessFileError."""
    return parse(read_lines(path), str(path))


def parse(lines: list[str], origin: str) -> Rules:
    """Like :func:`load`, for lines; ``origin`` names them in errors."""
    rules = Rules()
    user: str | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            user = _take(rules, user, line)
        except _Unusable as error:
            raise AccessFileError(origin, number, str(error)) from None
    return rules


def _take(rules: Rules, user: str | None, line: str) -> str | None:
    """One line under a user; returns whom the next line is under."""
    word, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    match word:
        case "user":
            if not rest:
                raise _Unusable("`user` needs a name behind it")
            rules.users.setdefault(rest, [])
            return rest
        case "topic":
            rules.users.setdefault(user, []).append(_rule(rest))
        case "pattern":
            rules.patterns.append(_pattern(rest))
        case _:
            raise _Unusable(f"{first_word(word)} is not known; a line begins with user, topic or pattern")
    return user


class _Unusable(Exception):
    pass


def _rule(rest: str) -> Rule:
    kind, space, name = rest.partition(" ")
    if space and kind not in _KINDS:
        raise _Unusable(f"`{kind}` is not known: read, write, readwrite or deny stand before a topic")
    if not space:
        kind, name = "readwrite", rest
    name = name.strip()
    if not name or (not space and name in _KINDS):
        raise _Unusable("here is no topic")
    try:
        check_filter(name)
    except TopicError as error:
        raise _Unusable(f"`{name}` is no topic filter: {error}") from None
    return Rule(name, _KINDS[kind])


def _pattern(rest: str) -> Rule:
    rule = _rule(rest)
    for level in rule.filter.split("/"):
        for place in _PLACES:
            if place in level and level != place:
                raise _Unusable(f"{place} must be a whole level, which it is not in `{level}`")
    return rule


class _Client:
    """What is remembered of one client. decisions: access by topic."""

    __slots__ = ("decisions", "rights", "username")

    def __init__(self, username: str | None, rights: Rights) -> None:
        self.username = username
        self.rights = rights
        self.decisions: dict[str, int] = {}


class Acl:
    """An authorizer."""

    reads_are_free = False

    def __init__(self, rules: Rules) -> None:
        self._own = {user: Layer(own) for user, own in rules.users.items()}
        self._patterns = rules.patterns
        self._clients: dict[str, _Client] = {}
        self._decisions = 0

    # These two are asked for every message, hence what they have in common stands in both: a call is a tenth of a delivery.

    def may_publish(self, identity: Identity, topic: str) -> bool:
        client = self._clients.get(identity.client_id)
        if client is None or client.username != identity.username:
            client = self._client(identity)
        access = client.decisions.get(topic)
        return (self._decide(client, topic) if access is None else access) & WRITE != 0

    def may_receive(self, identity: Identity, topic: str) -> bool:
        client = self._clients.get(identity.client_id)
        if client is None or client.username != identity.username:
            client = self._client(identity)
        access = client.decisions.get(topic)
        return (self._decide(client, topic) if access is None else access) & READ != 0

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        """Refused is only what could never bring anything; the rest is asked message by message."""
        return self._rights(identity).may_read_of(topic_filter)

    def _decide(self, client: _Client, topic: str) -> int:
        if self._decisions >= _REMEMBERED:
            for each in self._clients.values():
                each.decisions.clear()
            self._decisions = 0
        self._decisions += 1
        access = client.decisions[topic] = client.rights.access(topic)
        return access

    def _client(self, identity: Identity) -> _Client:
        if len(self._clients) >= _CLIENTS:
            self._clients.clear()
            self._decisions = 0
        if (before := self._clients.get(identity.client_id)) is not None:
            self._decisions -= len(before.decisions)
        client = self._clients[identity.client_id] = _Client(identity.username, self._rights(identity))
        return client

    def _rights(self, identity: Identity) -> Rights:
        own = self._own.get(identity.username) or _NOTHING
        if not self._patterns or any(sign in name for name in (identity.client_id, identity.username or "") for sign in "+#"):
            # Such a name in a pattern would be a wildcard.
            return Rights(own, _NOTHING)
        patterns = (rule.of_client(identity) for rule in self._patterns)
        return Rights(own, Layer(rule for rule in patterns if rule is not None))
