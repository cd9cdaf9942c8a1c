"""Promise 1 at the edge: whatever was acknowledged is on disk, also when edgecore is killed in the middle of a storm."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from clouds.scripted import ScriptedCloud, config_map, edge_config, pod

from beehive.message import Message
from beehive.settings import dump

ENVIRON = os.environ | {"CHECK_EDGECORE_ENVIRONMENT": "false"}
OBJECTS = 40


class Storm:
    """Sends ever newer versions of the same objects, several in flight, and remembers which versions were acknowledged."""

    def __init__(self, cloud: ScriptedCloud) -> None:
        self.cloud = cloud
        self.version = 0
        self.sent: dict[str, tuple[str, int]] = {}

    async def blow(self) -> None:
        while True:
            self.version += 1
            name = f"o{self.version % OBJECTS}"
            if self.version % 2:
                resource, content = f"default/pod/{name}", pod(name, version=self.version)
            else:
                resource, content = f"default/configmap/{name}", config_map(name, {"v": str(self.version)}, version=self.version)
            message: Message = await self.cloud.push("update", resource, content)
            self.sent[message.id] = (resource, self.version)
            while len(self.sent) - len(self.cloud.acks) > 64:
                await trio.sleep(0.001)

    def acknowledged(self) -> dict[str, int]:
        newest: dict[str, int] = {}
        for message_id in self.cloud.acks:
            if message_id in self.sent:
                resource, version = self.sent[message_id]
                newest[resource] = max(version, newest.get(resource, 0))
        return newest


def stored(database: Path) -> dict[str, int]:
    with sqlite3.connect(database) as connection:
        query = "SELECT key, json_extract(value, '$.metadata.resourceVersion') FROM meta"
        rows = {key: int(version) for key, version in connection.execute(query)}
    connection.close()
    return rows


@pytest.mark.parametrize("seed", range(3))
async def test_kill_in_a_storm_loses_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    folder = tmp_path / "cloud"
    folder.mkdir()
    async with ScriptedCloud(folder).running() as cloud:
        cloud.issue("edge-1", tmp_path / "edge")
        config = edge_config(cloud, tmp_path / "edge")
        path = tmp_path / "edgecore.yaml"
        path.write_text(dump(config))
        storm = Storm(cloud)
        for _ in range(2):
            command = [sys.executable, "-m", "edgecore", "--config", str(path)]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENVIRON) as process:
                try:
                    await cloud.until(lambda: cloud.link is not None, 30)
                    enough = len(cloud.acks) + random_.randrange(50, 400)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(storm.blow)
                        await cloud.until(lambda enough=enough: len(cloud.acks) >= enough, 60)
                        process.send_signal(signal.SIGKILL)
                        nursery.cancel_scope.cancel()
                finally:
                    process.kill()
            await cloud.until(lambda: cloud.link is None, 30)
            on_disk = stored(tmp_path / "edge" / "edgecore.db")
            lost = {key: v for key, v in storm.acknowledged().items() if on_disk.get(key, 0) < v}
            assert not lost
            storm.sent.clear()  # what was not acknowledged died with the link
            cloud.acks.clear()
