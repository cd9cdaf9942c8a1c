from __future__ import annotations

from pathlib import Path

import pytest
import trio
from clouds.scripted import ScriptedCloud, edge_config, pod
from engines.memory import MemoryEngine

from beehive.message import Message
from beehive.sqlite import StoreError
from edgecore.app import App
from edgecore.edged.runtime.engine import PodIdentity, SandboxSpec
from edgecore.jointoken import JoinTokenSource


async def start(cloud: ScriptedCloud, folder: Path, nursery: trio.Nursery, *, linked: bool) -> App:
    config = edge_config(cloud, folder)
    config.modules.edgeHub.enable = linked
    config.modules.edged.enable = True
    app = App(config, JoinTokenSource(folder / "edgecore.yaml", folder / "bootstrap"), lambda _meta: Nothing())
    app.store.database.open()
    nursery.start_soon(app.run)
    return app


class Nothing:
    """An edged that leaves everything to the test."""

    def notify(self, key: object) -> None: ...

    def on_connection(self, connected: bool) -> None: ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await trio.sleep_forever()


async def running_pods(*names: str) -> MemoryEngine:
    engine = MemoryEngine()
    for name in names:
        await engine.create_sandbox(SandboxSpec(PodIdentity("default", name, f"uid-{name}")))
    return engine


async def pods_when_known(app: App) -> list[str]:
    with trio.fail_after(20):
        while True:
            try:
                return [each["metadata"]["name"] for each in await app.meta.pods()]
            except StoreError:
                await trio.sleep(0.02)


async def test_a_corrupt_store_does_not_cost_running_pods(cloud: ScriptedCloud, tmp_path: Path, nursery: trio.Nursery) -> None:
    (tmp_path / "edge" / "edgecore.db").write_bytes(b"this is no database" * 1000)
    app = await start(cloud, tmp_path / "edge", nursery, linked=False)
    assert app.store.database.set_aside is not None
    with trio.fail_after(20):
        await app.meta.protect(await running_pods("web"))
    with pytest.raises(StoreError, match="wanted"):
        await app.meta.pods()
    nursery.cancel_scope.cancel()


async def test_a_real_cloud_is_asked_for_what_runs_here(cloud: ScriptedCloud, tmp_path: Path, nursery: trio.Nursery) -> None:
    cloud.objects["default/pod/web"] = pod("web", version=7)
    cloud.objects["default/pod/elsewhere"] = pod("elsewhere", version=7, node="edge-2")
    app = await start(cloud, tmp_path / "edge", nursery, linked=True)
    with trio.fail_after(20):
        await app.meta.protect(await running_pods("web", "gone", "elsewhere"))
        assert await pods_when_known(app) == ["web"]
    assert len(cloud.podlists) == 1
    nursery.cancel_scope.cancel()


async def test_our_cloud_sends_everything_again_and_the_question_is_asked_once(
    cloud: ScriptedCloud, tmp_path: Path, nursery: trio.Nursery
) -> None:
    usual = cloud.take_podlist

    async def resend(question: Message) -> None:
        await usual(question)
        await cloud.push("update", "default/pod/new", pod("new"))
        await cloud.send(cloud.reply(question, "OK"))

    cloud.take_podlist = resend  # type: ignore[method-assign]
    async with trio.open_nursery() as first:
        app = await start(cloud, tmp_path / "edge", first, linked=True)
        await app.meta.protect(None)
        await cloud.until(lambda: bool(cloud.podlists))
        assert await pods_when_known(app) in ([], ["new"])
        with trio.fail_after(20):
            while app.meta.refilling:
                await trio.sleep(0.02)
        assert await pods_when_known(app) == ["new"]
        first.cancel_scope.cancel()
    again = await start(cloud, tmp_path / "edge", nursery, linked=True)
    await again.meta.protect(await running_pods("web"))
    assert await again.meta.pods() == [pod("new")]
    await cloud.until(lambda: cloud.connections == 2)
    assert len(cloud.podlists) == 1
    nursery.cancel_scope.cancel()


async def test_a_kill_while_it_is_filled_does_not_make_it_count_as_full(cloud: ScriptedCloud, tmp_path: Path) -> None:
    usual = cloud.usual_answer
    cloud.objects["default/pod/a"] = pod("a", version=7)
    cloud.answer = lambda request: usual(request) if request.resource.endswith("/a") else None
    async with trio.open_nursery() as first:
        app = await start(cloud, tmp_path / "edge", first, linked=True)
        with trio.fail_after(20):
            await app.meta.protect(await running_pods("a", "b"))
            while await app.meta.pod("default", "a") is None:
                await trio.sleep(0.02)
        first.cancel_scope.cancel()
    async with trio.open_nursery() as second:
        app = await start(cloud, tmp_path / "edge", second, linked=False)
        with trio.fail_after(20):
            await app.meta.protect(await running_pods("a", "b"))
        with pytest.raises(StoreError, match="wanted"):
            await app.meta.pods()
        second.cancel_scope.cancel()
