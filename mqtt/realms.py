"""Several authorizers under one broker, for listeners that have users of their own."""

from __future__ import annotations

from collections.abc import Mapping

from mqtt.access import Authorizer, Identity


class Realms:
    """An authorizer that asks the one of the client's realm; in a realm that it does not know everything is forbidden."""

    def __init__(self, authorizers: Mapping[str, Authorizer]) -> None:
        self._authorizers = authorizers
        self.reads_are_free = all(each.reads_are_free for each in authorizers.values())

    def may_publish(self, identity: Identity, topic: str) -> bool:
        authorizer = self._authorizers.get(identity.realm)
        return authorizer is not None and authorizer.may_publish(identity, topic)

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        authorizer = self._authorizers.get(identity.realm)
        return authorizer is not None and authorizer.may_subscribe(identity, topic_filter)

    def may_receive(self, identity: Identity, topic: str) -> bool:
        authorizer = self._authorizers.get(identity.realm)
        return authorizer is not None and authorizer.may_receive(identity, topic)
