"""Who may connect, publish and subscribe: what the broker asks, and the answer "everybody everything" for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from mqtt.packets import Connect
from mqtt.reasons import Reason

INSIDE: Final = "\0"
"""How the identifiers of clients within the program begin. No packet can carry it (MQTT-1.5.4-2): nobody can take their place."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection comes from.

    address: ``127.0.0.1:4711``, or the path of a unix socket. local: from this machine (loopback or unix socket).
    certificate_name, certificate_subject: the common name and the whole subject (as of RFC 2253) of a client certificate that was
    verified, if any. listener: its name in the configuration.
    """

    address: str
    local: bool = False
    certificate_name: str | None = None
    certificate_subject: str | None = None
    listener: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """A client that was let in.

    realm: within which the user name means somebody, where listeners have users of their own; "" where all share them.
    """

    client_id: str
    username: str | None = None
    realm: str = ""

    @property
    def owner(self) -> str | None:
        """User name and realm as one text, for a journal: whose session it is. No user name has a NUL in it (MQTT-1.5.4-2)."""
        if not self.realm:
            return self.username
        return f"\0{self.realm}" if self.username is None else f"\0{self.realm}\0{self.username}"

    @classmethod
    def of_owner(cls, client_id: str, owner: str | None) -> Identity:
        """The identity that had this :attr:`owner`."""
        if owner is None or not owner.startswith("\0"):
            return cls(client_id, owner)
        realm, nul, username = owner[1:].partition("\0")
        return cls(client_id, username if nul else None, realm)

    @property
    def inside(self) -> bool:
        """Whether it is a part of this program, to which nothing is forbidden."""
        return self.client_id.startswith(INSIDE)


class Authenticator(Protocol):
    """Lets a client in or refuses it."""

    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        """The identity, or the reason for the refusal. Whatever takes long (hashing) happens off the event loop.

        ``connect.client_id`` is never empty here. No session has been touched yet.
        """
        ...


class Authorizer(Protocol):
    """Says what a client may do. Called for every message, so it must be quick; it must not block."""

    @property
    def reads_are_free(self) -> bool:
        """Whether ``may_receive`` is always true, so that nobody needs to ask."""
        ...

    def may_publish(self, identity: Identity, topic: str) -> bool: ...

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        """topic_filter: without the ``$share/group/`` of a shared subscription."""
        ...

    def may_receive(self, identity: Identity, topic: str) -> bool: ...


class Anybody:
    """Lets everybody in, under the names that they give."""

    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        return Identity(connect.client_id, connect.username)


class Anything:
    """Everybody may do everything."""

    reads_are_free = True

    def may_publish(self, identity: Identity, topic: str) -> bool:
        return True

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        return True

    def may_receive(self, identity: Identity, topic: str) -> bool:
        return True
