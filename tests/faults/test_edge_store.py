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
LIFE = OBJECTS * 3
"""After so many versions the objects get new uids."""


class Storm:
    """Sends ever newer versions of the same objects, and deletions, several in flight; remembers what was acknowledged."""

    def __init__(self, cloud: ScriptedCloud) -> None:
        self.cloud = cloud
        self.version = 0
        self.sent: dict[str, tuple[str, int, bool]] = {}

    async def blow(self) -> None:
        while True:
            self.version += 1
            name = f"o{self.version % OBJECTS}"
            life = self.version // LIFE
            uid = f"uid-{life}-{name}"
            born = (self.version - OBJECTS) // LIFE != life  # a deletion must not be the first word of a uid
            gone = self.version % 7 == 0 and not born
            if self.version % 2:
                resource, content = f"default/pod/{name}", pod(name, version=self.version, uid=uid)
            else:
                data = {"v": str(self.version)}
                resource, content = f"default/configmap/{name}", config_map(name, data, version=self.version, uid=uid)
            message: Message = await self.cloud.push("delete" if gone else "update", resource, content)
            self.sent[message.id] = (resource, self.version, gone)
            while len(self.sent) - len(self.cloud.acks) > 64:
                await trio.sleep(0.001)

    def lost(self, on_disk: dict[str, int]) -> list[str]:
        """Objects whose newest acknowledged state is not there, nor a newer one. A deleted uid stays deleted."""
        newest: dict[str, tuple[int, bool]] = {}
        for message_id in self.cloud.acks:
            if message_id in self.sent:
                resource, version, gone = self.sent[message_id]
                newest[resource] = max((version, gone), newest.get(resource, (0, False)))
        return [
            f"{resource} {version} gone={gone}: {on_disk.get(resource)}"
            for resource, (version, gone) in newest.items()
            if not self._holds(resource, version, gone, on_disk.get(resource))
        ]

    def _holds(self, resource: str, version: int, gone: bool, found: int | None) -> bool:
        if gone:
            return found is None or found > version
        newer = [v for r, v, g in self.sent.values() if r == resource and v > version and g]
        return found >= version if found is not None else bool(newer) or self._buried(resource, version)

    def _buried(self, resource: str, version: int) -> bool:
        """An earlier deletion of the same uid: what came after it, of the same life, is a late echo and not stored."""
        life = version // LIFE
        deletions = [v for r, v, g in self.sent.values() if r == resource and g and v < version]
        return any(v // LIFE == life for v in deletions)


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
            assert not storm.lost(on_disk)
            storm.sent.clear()  # what was not acknowledged died with the link
            cloud.acks.clear()
