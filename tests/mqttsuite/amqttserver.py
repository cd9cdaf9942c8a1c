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
    ports = {"tcp": sys.argv[1], "ws": sys.argv[2]}
    listeners = {each: {"type": each, "bind": f"127.0.0.1:{port}", "max_connections": 1000} for each, port in ports.items()}
    # Its plug-ins for logging are left out, for they only cost time; and there are no rules for topics: with such a plug-in its
    # deliveries break off when somebody subscribes meanwhile, which would be found again in every case.
    plugins: dict[str, Any] = {"amqttserver.Doorkeeper": {}}
    broker = Broker({"listeners": {"default": {}} | listeners, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
