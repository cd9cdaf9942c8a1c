"""Who is let in, listener by listener: by password, by certificate, or without a name from this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import trio

from mqtt.access import Identity, Peer
from mqtt.packets import Connect
from mqtt.passwordcheck import Overloaded, PasswordCheck
from mqtt.reasons import Reason
from mqtt.refusals import Refusals


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one listener.

    anonymous: clients without a user name are let in, if they are on this machine. passwords: of the users; None: there are none.
    name_from: take the user name from the verified certificate, and ask for no password. own_id: the user name is the client
    identifier, too: nobody without one is let in. realm: see :class:`mqtt.access.Identity`. trust: differs when other
    certificates of clients may be good.
    """

    anonymous: bool = False
    passwords: PasswordCheck | None = None
    name_from: Literal["certificate name", "certificate subject"] | None = None
    own_id: bool = False
    realm: str = ""
    trust: bytes = b""


class Admission:
    """An authenticator. terms: by the name of the listener; who comes in by another one is refused. They may be replaced."""

    def __init__(self, terms: Mapping[str, Terms]) -> None:
        self.terms = terms
        self._refusals = Refusals()

    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        while (terms := self.terms.get(peer.listener)) is not None:
            found = await _username(terms, connect, peer)
            if self.terms.get(peer.listener) is not terms:
                # Replaced meanwhile: the answer is that of yesterday.
                continue
            if isinstance(found, Reason):
                self._refusals.refused(connect, peer, found, trio.current_time())
                return found
            return Identity(found if terms.own_id and found else connect.client_id, found, terms.realm)
        return Reason.NOT_AUTHORIZED

    def still_admits(self, identity: Identity, peer: Peer, before: Mapping[str, Terms]) -> bool:
        """Whether who was let in by the terms ``before`` would be let in now, as far as can be said without his password."""
        terms, old = self.terms.get(peer.listener), before.get(peer.listener)
        name = identity.username
        if terms is None or old is None or terms.realm != identity.realm or terms.name_from != old.name_from:
            return False
        if terms.trust != old.trust or (terms.own_id and identity.client_id != name):
            return False
        if terms.name_from is not None:
            return True
        if name is None:
            return terms.anonymous
        if terms.passwords is None or old.passwords is None:
            return False
        return name in terms.passwords.users and terms.passwords.users[name] == old.passwords.users.get(name)


async def _username(terms: Terms, connect: Connect, peer: Peer) -> str | Reason | None:
    """None: without a name."""
    if terms.name_from is not None:
        name = peer.certificate_name if terms.name_from == "certificate name" else peer.certificate_subject
        return name or Reason.BAD_USER_NAME_OR_PASSWORD
    if connect.username is not None and terms.passwords is not None:
        try:
            right = await terms.passwords.verify(connect.username, connect.password or b"", peer.address)
        except Overloaded:
            return Reason.SERVER_BUSY
        return connect.username if right else Reason.BAD_USER_NAME_OR_PASSWORD
    # A name that nobody can verify is not believed: rules for that user are not for whoever says it.
    if terms.anonymous and peer.local and not terms.own_id:
        # With own identifiers he could choose that of a user.
        return None
    return Reason.NOT_AUTHORIZED
