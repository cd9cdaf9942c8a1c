"""The configuration file of ``edgecore broker``, in the form of mosquitto.conf.

``key value``, one to a line; a line that begins with ``#`` is a comment.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edgecore.brokerkeys import KEYS, LEVELS, LOG_TYPES, Key, Unusable, instead_of
from mqtt.accessfile import AccessFileError, first_word, read_lines
from mqtt.limits import Limits

DEFAULT_PORT: Final = 1883


@dataclass
class Access:
    """Who may come in, and do what. anonymous: None when nothing is said."""

    anonymous: bool | None = None
    password_file: Path | None = None
    acl_file: Path | None = None


@dataclass
class ListenerSettings:
    """address: "" for all. line: where it begins; 0 for the one that is there when no other is. values: its other keys."""

    line: int
    port: int = DEFAULT_PORT
    address: str = ""
    path: Path | None = None
    values: dict[str, Any] = field(default_factory=dict)
    access: Access = field(default_factory=Access)

    @property
    def name(self) -> str:
        return str(self.path) if self.path is not None else f"{self.address}:{self.port}"


@dataclass
class Settings:
    """per_listener: each listener has users and rights of its own; otherwise ``access`` is that of all."""

    origin: str
    listeners: list[ListenerSettings]
    access: Access
    limits: Limits
    per_listener: bool = False
    persistence: Path | None = None
    log_types: frozenset[str] = frozenset()
    sys_interval: int = 10

    @property
    def log_level(self) -> str | None:
        """The level that lets through what ``log_type`` names; None when it names nothing."""
        levels = [LOG_TYPES[each] for each in self.log_types]
        return min(levels, key=LEVELS.index) if levels else None

    def access_of(self, listener: ListenerSettings) -> Access:
        return listener.access if self.per_listener else self.access


def load(path: Path) -> Settings:
    """Raises AccessFileError: file, line, what is wrong, and what would be right."""
    return parse(read_lines(path), str(path))


def parse(lines: list[str], origin: str) -> Settings:
    """Like :func:`load`, for lines; ``origin`` names them in errors."""
    return _Reading(origin).read(lines)


class _Reading:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.values: dict[str, Any] = {}
        self.limits: dict[str, Any] = {}
        self.log_types: list[str] = []
        self.access = Access()
        self.default = ListenerSettings(0)
        self.listeners: list[ListenerSettings] = []
        self.seen: dict[tuple[int, str], int] = {}
        self.line = 0

    def read(self, lines: list[str]) -> Settings:
        for self.line, text in enumerate(lines, 1):
            if text.strip() and not text.startswith("#"):
                word, _, value = text.strip().partition(" ")
                self._take(word, value.strip())
        self._default_listener()
        for listener in self.listeners:
            self._check(listener)
        return Settings(
            self.origin,
            self.listeners,
            self.access,
            replace(Limits(), **self.limits),
            self._per_listener,
            self._persistence(),
            frozenset(self.log_types),
            self.values.get("sys_interval", 10),
        )

    @property
    def _per_listener(self) -> bool:
        return bool(self.values.get("per_listener_settings"))

    def _error(self, problem: str, line: int | None = None) -> AccessFileError:
        return AccessFileError(self.origin, line or self.line, problem)

    # One line.

    def _take(self, word: str, value: str) -> None:
        key = KEYS.get(word)
        if key is None:
            raise self._error(_unknown(word))
        if not value:
            raise self._error(f"`{word}` needs a value behind it")
        if not value.isprintable():
            raise self._error(f"`{word}` has signs in its value that do not print, such as a tab")
        if " #" in value:
            raise self._error(f"`{word}` has more than a value behind it; a comment stands on a line of its own")
        listener = self.listeners[-1] if self.listeners else self.default
        own = key.scope == "listener" or (key.scope == "access" and self._per_listener)
        if not key.more:
            self._once(word, listener.line if own else -1)
        try:
            parsed = key.parse(value)
        except Unusable as error:
            raise self._error(f"`{word} {value}`: expected is {error}") from None
        self._put(word, key, parsed, listener)

    def _once(self, word: str, place: int) -> None:
        before = self.seen.setdefault((place, word), self.line)
        if before != self.line:
            raise self._error(f"`{word}` stands in line {before} already")

    def _put(self, word: str, key: Key, value: Any, listener: ListenerSettings) -> None:
        if word == "listener":
            self.listeners.append(self._listener(str(value)))
        elif word == "log_type":
            self.log_types.append(value)
        elif word == "per_listener_settings" and (self.listeners or any(place >= 0 for place, _ in self.seen)):
            raise self._error("`per_listener_settings` must stand before the first listener and its keys")
        elif key.limit is not None:
            self.limits[key.limit] = value
        elif key.scope == "access":
            access = listener.access if self._per_listener else self.access
            setattr(access, word.replace("allow_", ""), value)
        elif key.scope == "listener":
            self._put_in_listener(word, value, listener)
        else:
            self.values[word] = value

    def _put_in_listener(self, word: str, value: Any, listener: ListenerSettings) -> None:
        if word in ("port", "bind_address"):
            if listener is not self.default:
                raise self._error(f"`{word}` is for the file without listeners; here write `listener <port> [<address>]`")
            if word == "port":
                listener.port = value
            else:
                listener.address = value
            return
        if KEYS[word].more:
            listener.values.setdefault(word, []).append(value)
            self.seen.setdefault((listener.line, word), self.line)
        else:
            listener.values[word] = value

    def _listener(self, value: str) -> ListenerSettings:
        port, _, where = value.partition(" ")
        where = where.strip()
        if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
            raise self._error(f"`listener {value}`: expected is a port from 1 to 65535 and maybe an address, or 0 and a path")
        if int(port) == 0:
            if "/" not in where:
                raise self._error(f"`listener {value}`: with port 0, expected is the path of a unix socket")
            return ListenerSettings(self.line, 0, path=Path(where))
        if "/" in where:
            raise self._error(f"`listener {value}`: a unix socket has port 0")
        return ListenerSettings(self.line, int(port), where)

    # The whole.

    def _default_listener(self) -> None:
        """That of a file without ``listener``, or with ``port``."""
        own = {word: line for (place, word), line in self.seen.items() if place == 0}
        if {"port", "bind_address"} & set(own):
            self.listeners.insert(0, self.default)
        elif not self.listeners:
            # As mosquitto: who says nothing gets a broker for this machine.
            self.default.address = "127.0.0.1"
            access = self.default.access if self._per_listener else self.access
            if access.anonymous is None:
                access.anonymous = True
            self.listeners.append(self.default)
        elif own:
            word, line = next(iter(own.items()))
            raise self._error(f"`{word}` is for one listener and stands before the first", line)

    def _check(self, listener: ListenerSettings) -> None:
        values = listener.values

        def fail(word: str, problem: str) -> None:
            if values.get(word):
                raise self._error(f"`{word}` {problem}", self.seen[listener.line, word])

        if ("certfile" in values) != ("keyfile" in values):
            fail("certfile", "needs `keyfile`")
            fail("keyfile", "needs `certfile`")
        if "certfile" not in values:
            for word in ("cafile", "crlfile", "tls_version", "require_certificate"):
                fail(word, "needs `certfile` and `keyfile`")
        if "cafile" not in values:
            fail("require_certificate", "needs `cafile`: who signs the certificates of clients")
        if not values.get("require_certificate"):
            for word in ("crlfile", "use_identity_as_username", "use_subject_as_username"):
                fail(word, "needs `require_certificate true`")
        if values.get("use_identity_as_username"):
            fail("use_subject_as_username", "and `use_identity_as_username` exclude each other")
        if values.get("protocol") != "websockets":
            fail("websockets_origin", "needs `protocol websockets`")
        if listener.path is None:
            fail("socket_mode", "is for unix sockets")

    def _persistence(self) -> Path | None:
        if not self.values.get("persistence"):
            return None
        location: Path = self.values.get("persistence_location", Path())
        return location


def _unknown(word: str) -> str:
    if (instead := instead_of(word)) is not None:
        return f"`{word}` is not a key of this broker: {instead}"
    near = difflib.get_close_matches(word, KEYS, n=1, cutoff=0.5)
    return f"{first_word(word)} is not a key of this broker" + (f"; the nearest is `{near[0]}`" if near else "")
