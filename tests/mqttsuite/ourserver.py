"""Our broker as the conformance suite wants it: ``ourserver.py PORT WEB-PORT``."""

from __future__ import annotations

import sys

import trio

from mqtt.access import Anybody, Anything, Identity, Peer
from mqtt.broker import Config, serve
from mqtt.listeners import Listener
from mqtt.packets import Connect
from mqtt.reasons import Reason


class Doorkeeper(Anybody):
    async def authenticate(self, connect: Connect, peer: Peer) -> Identity | Reason:
        if connect.username is not None and (connect.username, connect.password) != ("conformance", b"secret"):
            return Reason.BAD_USER_NAME_OR_PASSWORD
        return await super().authenticate(connect, peer)


class Rules(Anything):
    def may_publish(self, identity: Identity, topic: str) -> bool:
        return not topic.startswith("forbidden/")

    def may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        return not topic_filter.startswith("forbidden/")


LISTENERS = [Listener(port=int(sys.argv[1])), Listener(port=int(sys.argv[2]), websocket=True)]
trio.run(serve, Config(LISTENERS, authenticator=Doorkeeper(), authorizer=Rules()))
