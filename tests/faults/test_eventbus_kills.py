"""edgecore is killed at random while clients publish: what was acknowledged to them reaches the cloud, in order.

KILLS of them (2 by default) in each mode; BUS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import trio
import yaml
from brokers.external import Mosquitto
from clouds.scripted import ScriptedCloud, edge_config
from ports import free_port

from mqtt.client import ClientError, connect
from mqtt.packets import Connect

TOPIC = "line/user/x"
KILLS = int(os.environ.get("KILLS", "2"))


class Arrivals:
    """The numbers in the order in which they came first."""

    def __init__(self, cloud: ScriptedCloud) -> None:
        self._cloud = cloud
        self._seen = 0
        self.order: dict[int, None] = {}

    def different(self) -> int:
        for each in self._cloud.received[self._seen :]:
            if each.operation == "upload" and each.resource == TOPIC:
                self.order.setdefault(int(each.decode(str)))
        self._seen = len(self._cloud.received)
        return len(self.order)


class Publisher:
    """Publishes numbers from 0, each until it is acknowledged. count: those that were. ahead: how many may not have arrived."""

    def __init__(self, port: int, ahead: int, arrived: Arrivals) -> None:
        self._port = port
        self._ahead = ahead
        self._arrived = arrived
        self.count = 0
        self.enough = False

    async def run(self) -> None:
        while not self.enough:
            with suppress(ClientError):
                async with connect(("127.0.0.1", self._port), Connect(client_id="publisher")) as client:
                    while not self.enough:
                        # A queue that is full drops, and is to.
                        if self.count - self._arrived.different() > self._ahead:
                            await trio.sleep(0.01)
                            continue
                        await client.publish(TOPIC, str(self.count).encode(), qos=1)
                        self.count += 1
            await trio.sleep(0.02)


def start(config: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"CHECK_EDGECORE_ENVIRONMENT": "false"}
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-m", "edgecore", "--config", str(config)], stderr=file, env=environment)


@pytest.mark.parametrize("mode", [0, 2])
async def test_what_was_acknowledged_reaches_the_cloud(tmp_path: Path, mode: int) -> None:
    seed = int(os.environ.get("BUS_SEED", str(random.randrange(1_000_000))))
    chance = random.Random(seed)
    print(f"BUS_SEED={seed}")
    (tmp_path / "cloud").mkdir()
    mosquitto = Mosquitto(tmp_path)
    port = free_port() if mode == 0 else mosquitto.port
    if mode == 2:
        mosquitto.start()
    process: subprocess.Popen[bytes] | None = None
    try:
        async with ScriptedCloud(tmp_path / "cloud").running() as cloud, trio.open_nursery() as nursery:
            cloud.issue("edge-1", tmp_path)
            settings = edge_config(cloud, tmp_path)
            settings.modules.edgeHub.messageQPS = 0
            bus = settings.modules.eventBus
            bus.mqttMode, bus.mqttServerInternal = mode, f"tcp://127.0.0.1:{port}"
            bus.mqttServerExternal = f"tcp://127.0.0.1:{port}"
            config = tmp_path / "edgecore.yaml"
            config.write_text(yaml.safe_dump(msgspec.to_builtins(settings)))

            arrived = Arrivals(cloud)
            publisher = Publisher(port, 800 if mode == 0 else 3000, arrived)

            async def more_arrive(within: float = 60) -> None:
                before = len(cloud.received)
                await cloud.until(lambda: len(cloud.received) > before, within)

            process = start(config, tmp_path / "edgecore.log")
            if mode == 2:
                # Its subscription must be there before anybody publishes.
                async with connect(("127.0.0.1", port), Connect(client_id="probe")) as probe:
                    while not any(each.operation == "upload" for each in cloud.received):
                        await probe.publish("probe/user/x")
                        await trio.sleep(0.05)
            nursery.start_soon(publisher.run)
            for _ in range(KILLS):
                await more_arrive()
                await trio.sleep(chance.uniform(0, 0.4))
                process.kill()
                process.wait()
                process = start(config, tmp_path / "edgecore.log")
            await more_arrive()
            publisher.enough = True
            await cloud.until(lambda: arrived.different() >= publisher.count, 60)
            first = list(arrived.order)
            print(f"{publisher.count} acknowledged, {len(cloud.received)} arrived, {arrived.different()} of them different")
            assert first == sorted(first)
            assert first[: publisher.count] == list(range(publisher.count))
            nursery.cancel_scope.cancel()
    finally:
        if process is not None:
            process.kill()
            process.wait()
        mosquitto.stop()
