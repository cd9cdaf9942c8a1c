from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio
from clouds.scripted import ScriptedCloud, edge_config, pod
from ports import free_port

from edgecore.app import App
from edgecore.jointoken import JoinTokenSource


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.message for record in caplog.records)


async def test_a_cloud_that_closes_every_link_at_once_does_not_fill_the_log(
    cloud: ScriptedCloud, edge: App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(1, 4):
        await cloud.until(lambda number=number: cloud.connections == number and cloud.link is not None, 20)  # type: ignore[misc]
        assert cloud.link is not None
        await cloud.link.aclose("not you")
    await cloud.until(lambda: cloud.connections == 4, 30)
    assert said(caplog, "no link to the cloud") == 1
    assert said(caplog, "connected to the cloud") <= 1


async def test_a_cloud_that_comes_later_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "cloud"
    folder.mkdir()
    cloud = ScriptedCloud(folder)
    cloud.issue("edge-1", tmp_path / "edge")
    cloud.port = port = free_port()
    config = edge_config(cloud, tmp_path / "edge")
    app = App(config, JoinTokenSource(tmp_path / "none.yaml", tmp_path / "none"), None)
    app.store.database.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.run)
        with trio.fail_after(10):
            while not said(caplog, "refuses connections"):
                await trio.sleep(0.02)
        async with cloud.running(port):
            await cloud.until(lambda: cloud.link is not None, 30)
            await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web")))
            nursery.cancel_scope.cancel()


async def test_answers_to_many_requests_in_any_order(cloud: ScriptedCloud, edge: App) -> None:
    """The cloud answers thirty queries backwards, between pushes."""
    cloud.answer = lambda _request: None
    found: dict[str, str] = {}

    async def ask(name: str) -> None:
        found[name] = (await edge.meta.config_map("default", name))["data"]["k"]

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(ask, f"c{number}")
        await cloud.until(lambda: len(cloud.received) == 30)
        for request in reversed(cloud.received):
            name = request.resource.split("/")[2]
            content = {
                "kind": "ConfigMap",
                "metadata": {"name": name, "uid": f"u-{name}", "resourceVersion": "1"},
                "data": {"k": name},
            }
            await cloud.send(cloud.reply(request, content))
            await cloud.push("update", f"default/pod/{name}", pod(name))
    assert found == {f"c{number}": f"c{number}" for number in range(30)}
    assert len(await edge.meta.pods()) == 30
