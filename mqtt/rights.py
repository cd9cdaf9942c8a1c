"""What rules about topic filters allow one client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mqtt.access import Identity
from mqtt.topics import covers, overlap

READ: Final = 1
WRITE: Final = 2
DENY: Final = 4
_WILD: Final = ("+", "#")


@dataclass(frozen=True, slots=True)
class Rule:
    """access: READ, WRITE or both; or DENY."""

    filter: str
    access: int

    def of_client(self, identity: Identity) -> Rule | None:
        """A pattern with the names in it; None when it means nothing for this client.

        Clients choose their identifiers: one with a slash must not reach topics that ``%c`` as one level was not meant for, nor
        one with a dollar in front those that a filter means only when it says so.
        """
        levels = self.filter.split("/")
        if self.access != DENY and "/" in identity.client_id and "%c" in levels:
            return None
        if self.access != DENY and identity.client_id.startswith("$") and levels[0] == "%c":
            return None
        if identity.username is None and "%u" in levels:
            return None
        names = {"%c": identity.client_id, "%u": identity.username or ""}
        levels = [names.get(level, level) for level in levels]
        return Rule("/".join(levels), self.access)


class Layer:
    """Rules of which those that deny come first. Found by topic, or by its first level, for a user may have thousands."""

    __slots__ = ("_exact", "_open", "_rooted", "_rules")

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._exact: dict[str, int] = {}
        self._rooted: dict[str, list[tuple[list[str], int]]] = {}
        self._open: list[tuple[list[str], int]] = []
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            levels = rule.filter.split("/")
            if "+" not in levels and levels[-1] != "#":
                self._exact[rule.filter] = self._exact.get(rule.filter, 0) | rule.access
            elif levels[0] in _WILD:
                self._open.append((levels, rule.access))
            else:
                self._rooted.setdefault(levels[0], []).append((levels, rule.access))
            self._rules.setdefault("+" if levels[0] in _WILD else levels[0], []).append(rule)

    def access(self, topic: str) -> int:
        """READ, WRITE, DENY of all rules that mean the topic."""
        found = self._exact.get(topic, 0)
        near = self._rooted.get(topic.partition("/")[0])
        wide = None if topic.startswith("$") else self._open
        if near or wide:
            levels = topic.split("/")
            for wanted, access in (*(near or ()), *(wide or ())):
                if access & ~found and _means(wanted, levels):
                    found |= access
        return found

    def denies_all_of(self, name: str) -> bool:
        return any(rule.access == DENY and covers(rule.filter, name) for rule in self._near(name))

    def may_read_of(self, name: str) -> bool:
        """Whether there are topics of the filter that could be read, were nothing denied."""
        return any(rule.access & READ and overlap(rule.filter, name) for rule in self._near(name))

    def _near(self, name: str) -> Iterator[Rule]:
        """Rules that may mean topics of the filter, by its first level."""
        root = name.partition("/")[0]
        for key in self._rules if root in _WILD else (root, "+"):
            yield from self._rules.get(key, ())


def _means(wanted: list[str], levels: list[str]) -> bool:
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


class Rights:
    """Of one client: its own rules come before the patterns that are for all."""

    __slots__ = ("_own", "_patterns")

    def __init__(self, own: Layer, patterns: Layer) -> None:
        self._own = own
        self._patterns = patterns

    def access(self, topic: str) -> int:
        """READ, WRITE, both or 0."""
        own = self._own.access(topic)
        if own & DENY:
            return 0
        patterns = self._patterns.access(topic)
        return own if patterns & DENY else own | patterns

    def may_read_of(self, name: str) -> bool:
        """Whether there may be anything that the filter means and the client may read. If in doubt, yes."""
        if self._own.denies_all_of(name):
            return False
        if self._own.may_read_of(name):
            return True
        return not self._patterns.denies_all_of(name) and self._patterns.may_read_of(name)
