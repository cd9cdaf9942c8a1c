"""A database that KubeEdge's edgecore 1.23 made goes on in ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import trio
from clouds.scripted import ScriptedCloud, pod

from edgecore.app import App
from edgecore.store import MetaV2

DDL = """
CREATE TABLE `meta` (`key` text,`type` text,`value` text,PRIMARY KEY (`key`));
CREATE TABLE `meta_v2` (`key` text,`group_version_resource` text,`namespace` text,`name` text,`resource_version` integer,
 `value` text,PRIMARY KEY (`key`));
CREATE TABLE `device` (`id` text,`name` text,PRIMARY KEY (`id`));
"""
POISONED = {"ErrStatus": {"status": "Failure", "reason": "NotFound", "code": 404}}
EMPTY = {"metadata": {"creationTimestamp": None}, "spec": {}, "status": {}}


def make(path: Path) -> None:
    rows = [
        ("default/pod/web", "pod", json.dumps(pod("web", version=5))),
        ("default/pod/emptied", "pod", json.dumps(EMPTY)),
        ("default/pod/broken", "pod", "{"),
        ("default/podpatch/web", "podpatch", "{}"),
        ("default/configmap/poisoned", "configmap", json.dumps(POISONED)),
        ("null/node/edge-1", "node", None),
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(DDL)
        connection.executemany("INSERT INTO meta VALUES (?, ?, ?)", rows)
        connection.execute(
            "INSERT INTO meta_v2 VALUES ('/core/v1/pods/default/web', '/v1, Resource=pods', 'default', 'web', 5, '{}')"
        )


async def test_takeover(cloud: ScriptedCloud, start_edge: Callable[[], AbstractAsyncContextManager[App]], tmp_path: Path) -> None:
    make(tmp_path / "edge" / "edgecore.db")
    async with start_edge() as app:
        await app.meta.protect(None)
        assert await app.meta.pods() == [pod("web", version=5)]
        await cloud.connected()
        await check_healing(cloud, app)
        assert not cloud.podlists


async def check_healing(cloud: ScriptedCloud, app: App) -> None:
    with trio.fail_after(10):
        while not app.meta.connected:
            await trio.sleep(0.01)
    cloud.objects["default/configmap/poisoned"] = pod("poisoned") | {"kind": "ConfigMap"}
    assert (await app.meta.config_map("default", "poisoned"))["kind"] == "ConfigMap"
    await cloud.acked(await cloud.push("update", "default/pod/broken", pod("broken")))
    await cloud.acked(await cloud.push("delete", "default/pod/web", {"metadata": {"uid": "uid-web"}}))
    assert [each["metadata"]["name"] for each in await app.meta.pods()] == ["broken"]
    database = app.store.database
    assert await database.read(lambda: app.store.get("default/podpatch/web")) is None
    assert await database.read(lambda: list(MetaV2.select().tuples().execute(database.peewee))) == []
