"""Access control lists in mosquitto's syntax.

``topic [read|write|readwrite|deny] <filter>`` under ``user <name>`` is for that user, before the first ``user`` for clients
without a name; ``pattern ...`` is for all, with ``%u`` (user name) and ``%c`` (client identifier) as levels of the filter.
What no line allows is forbidden. A topic that starts with ``$`` is meant only by filters that do.
Source: mosquitto.conf(5) of 2.0; what that leaves open, mosquitto 2.0.11 asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mqtt.access import Identity
from mqtt.accessfile import AccessFileError, read_lines
from mqtt.topics import TopicError, check_filter, covers, matches, overlap

READ: Final = 1
WRITE: Final = 2
_BOTH: Final = READ | WRITE
_KINDS: Final = {"read": READ, "write": WRITE, "readwrite": _BOTH, "deny": 0}
_REMEMBERED: Final = 16384
"""Decisions kept, of all clients together: about 4 MB at most."""
_CLIENTS: Final = 4096
_PLACES: Final = ("%c", "%u")


@dataclass(frozen=True, slots=True)
class Rule:
    """access: READ, WRITE or both; 0 denies both."""

    filter: str
    access: int

    def for_(self, identity: Identity) -> Rule | None:
        """A pattern with the names in it; None when it means nothing for this client.

        Clients choose their identifiers: one with a slash must not reach topics that ``%c`` as one level was not meant for.
        """
        levels = self.filter.split("/")
        if self.access and "/" in identity.client_id and "%c" in levels:
            return None
        if identity.username is None and "%u" in levels:
            return None
        names = {"%c": identity.client_id, "%u": identity.username or ""}
        levels = [names.get(level, level) for level in levels]
        return Rule("/".join(levels), self.access)


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
            raise _Unusable(f"`{word}` is not known; a line begins with user, topic or pattern")
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


class Rights:
    """Of one client: its own rules, then the patterns; in each of the two what denies comes first."""

    __slots__ = ("_layers",)

    def __init__(self, own: Sequence[Rule], patterns: Iterable[Rule]) -> None:
        self._layers = (tuple(own), tuple(patterns))

    def access(self, topic: str) -> int:
        """READ, WRITE, both or 0."""
        allowed = 0
        for rules in self._layers:
            meant = [rule.access for rule in rules if matches(rule.filter, topic)]
            if 0 in meant:
                return allowed
            for access in meant:
                allowed |= access
        return allowed

    def may_read_of(self, name: str) -> bool:
        """Whether there may be anything that the filter means and the client may read. If in doubt, yes."""
        for rules in self._layers:
            denied = any(not rule.access and covers(rule.filter, name) for rule in rules)
            if not denied and any(rule.access & READ and overlap(rule.filter, name) for rule in rules):
                return True
            if denied:
                return False
        return False


class Acl:
    """An authorizer."""

    reads_are_free = False

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # Also patterns without %c look at the identifier: whether it has a wildcard in it.
        self._by_client = bool(rules.patterns)
        self._decisions: dict[tuple[str | None, str, str], int] = {}
        self._rights: dict[tuple[str | None, str], Rights] = {}

    def rights(self, identity: Identity) -> Rights:
        key = (identity.username, identity.client_id)
        rights = self._rights.get(key)
        if rights is None:
            if len(self._rights) >= _CLIENTS:
                self._rights.clear()
            rights = self._rights[key] = self._rights_of(identity)
        return rights

    def _rights_of(self, identity: Identity) -> Rights:
        patterns = [mine for rule in self._rules.patterns if (mine := rule.for_(identity)) is not None]
        if any(sign in name for name in (identity.client_id, identity.username or "") for sign in "+#"):
            # Such a name in a pattern would be a wildcard.
            patterns = []
        return Rights(self._rules.users.get(identity.username, ()), patterns)

    def _decide(self, identity: Identity, topic: str) -> int:
        if len(self._decisions) >= _REMEMBERED:
            self._decisions.clear()
        access = self.rights(identity).access(topic)
        self._decisions[identity.username, identity.client_id if self._by_client else "", topic] = access
        return access

    # These two are asked for every message: a call saved here is 5 % of a delivery.

    def may_publish(self, identity: Identity, topic: str) -> bool:
        access = self._decisions.get((identity.username, identity.client_id if self._by_client else "", topic))
        return (self._decide(identity, topic) if access is None else access) & WRITE != 0

    def may_receive(self, identity: Identity, topic: str) -> bool:
        access = self._decisions.get((identity.username, identity.client_id if self._by_client else "", topic))
        return (self._decide(identity, topic) if access is None else access) & READ != 0

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        """Refused is only what could never bring anything; the rest is asked message by message."""
        return self.rights(identity).may_read_of(topic_filter)
