"""amqtt as the conformance suite wants it: ``amqttserver.py PORT WEB-PORT``. Runs beside amqtt, not beside this project."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin


class Doorkeeper(BaseAuthPlugin):
    async def authenticate(self, *, session: Any) -> bool:
        return session.username is None or (session.username, session.password) == ("conformance", "secret")


async def main() -> None:
    # The one that is called "default" listens as well: without a port of its own, on 1883 of all addresses.
    ports = {"default": ("tcp", sys.argv[1]), "web": ("ws", sys.argv[2])}
    listeners = {
        name: {"type": kind, "bind": f"127.0.0.1:{port}", "max_connections": 1000} for name, (kind, port) in ports.items()
    }
    # Its plug-ins for logging are left out, for they only cost time; and there are no rules for topics: with such a plug-in its
    # deliveries break off when somebody subscribes meanwhile, which would be found again in every case.
    plugins: dict[str, Any] = {"amqttserver.Doorkeeper": {}}
    broker = Broker({"listeners": listeners, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
