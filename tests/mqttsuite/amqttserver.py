"""amqtt as the conformance suite wants it: ``amqttserver.py PORT``. Runs beside amqtt, not beside this project."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin


class Doorkeeper(BaseAuthPlugin):
    async def authenticate(self, *, session: Any) -> bool:
        return session.username is None or (session.username, session.password) == ("conformance", "secret")


class Rules(BaseTopicPlugin):
    async def topic_filtering(self, *, session: Any = None, topic: str | None = None, action: Any = None) -> bool:
        return not (topic or "").startswith("forbidden/")


async def main() -> None:
    listener = {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}", "max_connections": 1000}
    # Its own plug-ins for logging are left out: they only cost time.
    plugins: dict[str, Any] = {"amqttserver.Doorkeeper": {}, "amqttserver.Rules": {}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
