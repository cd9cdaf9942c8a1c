from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
from brokers.sockets import RawClient

from mqtt.broker import Broker, Config, serve
from mqtt.limits import Limits
from mqtt.listeners import Listener

Start = Callable[..., Awaitable[Broker]]


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    """Starts brokers in this process, on free ports of the loopback address unless listeners are given."""

    async def start(limits: Limits | None = None, **more: object) -> Broker:
        more.setdefault("listeners", [Listener(port=0)])
        broker: Broker = await nursery.start(serve, Config(limits=limits or Limits(), **more))  # type: ignore[arg-type]
        return broker

    yield start
    while RawClient.opened:
        RawClient.opened.pop().close()


@pytest.fixture
def mosquitto_clients() -> None:
    if shutil.which("mosquitto_sub") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto-clients is not installed")
        pytest.skip("needs mosquitto_sub and mosquitto_pub (Debian: mosquitto-clients)")
