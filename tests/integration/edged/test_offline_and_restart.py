"""edgecore is killed, the link is cut, the store or the engine fails: what runs keeps running."""

from __future__ import annotations

import pytest
import trio
from engines.edge import Edge, make_pod
from trio.testing import MockClock

from beehive.sqlite import StoreError
from edgecore.edged.runtime.engine import EngineError


def created(edge: Edge) -> list[str]:
    return [argument for method, argument in edge.engine.calls if method == "create_container"]  # type: ignore[attr-defined]


async def test_a_restart_adopts_what_runs(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod("keep"))
        edge.meta.put("pod", make_pod("crashed"))
        edge.meta.put("pod", make_pod("done", spec={"restartPolicy": "Never"}))
        await edge.until(lambda: all(edge.phase(name) == "Running" for name in ("keep", "crashed", "done")))
        kept = edge.container("keep")["containerID"]
    edge.engine.finish(edge.engine.container("crashed", "main").id, 2)  # type: ignore[attr-defined]
    edge.engine.finish(edge.engine.container("done", "main").id, 0)  # type: ignore[attr-defined]
    edge.meta.cut()
    async with edge.running():
        await edge.until(lambda: edge.engine.running() == ["crashed/main", "keep/main"])  # type: ignore[attr-defined]
        await trio.sleep(120)
        edge.meta.connect()
        await edge.until(lambda: edge.phase("done") == "Succeeded" and edge.container("crashed")["restartCount"] == 1)
        assert edge.container("keep")["containerID"] == kept
        assert edge.container("keep")["restartCount"] == 0
        assert edge.container("crashed")["lastState"]["terminated"]["exitCode"] == 2
    assert len(created(edge)) == 4


async def test_a_back_off_survives_a_restart(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(command=["sh", "-c", "exit 1"]))
        await edge.until(lambda: edge.container().get("restartCount") == 4, 200)
    before = len(created(edge))
    async with edge.running():
        await trio.sleep(70)
        assert len(created(edge)) == before  # 80 s after the fourth restart
        await edge.until(lambda: len(created(edge)) == before + 1, 15)


async def test_pods_removed_while_down_are_ended_and_new_ones_start(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod("old"))
        await edge.until(lambda: edge.phase("old") == "Running")
    edge.meta.drop("pod", "default", "old")
    edge.meta.put("pod", make_pod("new"))
    async with edge.running():
        await edge.until(lambda: edge.engine.running() == ["new/main"])  # type: ignore[attr-defined]
        await edge.until(lambda: not (edge.settings.root / "pods" / "uid-old").exists())


async def test_an_error_is_not_an_empty_list(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
    edge.meta.failures["pods"] = StoreError("the disk is full")
    async with edge.running():
        await trio.sleep(300)
        assert edge.engine.running() == ["web/main"]  # type: ignore[attr-defined]
        del edge.meta.failures["pods"]
        await edge.until(lambda: edge.edged and edge.edged.registry.synced.is_set())
        await trio.sleep(60)
        edge.meta.failures["pods"] = edge.meta.failures["pod"] = StoreError("the disk is full again")
        await trio.sleep(300)
    assert edge.engine.running() == ["web/main"]  # type: ignore[attr-defined]
    assert len(created(edge)) == 1


async def test_deleted_while_offline_ends_locally_and_is_told_later(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.meta.cut()
        edge.meta.delete("default", "web")
        await edge.until(lambda: edge.engine.running() == [])  # type: ignore[attr-defined]
        await trio.sleep(30)
        assert edge.phase() == "Running"
        edge.meta.connect()
        await edge.until(lambda: not edge.meta.seen("web"), 5)
    patched = [argument["status"].get("phase") for _, argument in edge.meta.written("patch_pod_status")]
    assert patched[-1] == "Failed"


async def test_deleted_while_offline_and_restarted(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.meta.cut()
        edge.meta.delete("default", "web")
        await edge.until(lambda: edge.engine.running() == [])  # type: ignore[attr-defined]
    async with edge.running():
        await trio.sleep(30)
        edge.meta.connect()
        await edge.until(lambda: not edge.meta.seen("web"), 5)
    assert len(created(edge)) == 1


async def test_the_current_status_is_sent_once_after_a_cut(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.meta.cut()
        sent = len(edge.meta.written("patch_pod_status"))
        for _ in range(3):
            await edge.until(edge.engine.running)  # type: ignore[attr-defined]
            edge.engine.finish(edge.engine.container("web", "main").id, 1)  # type: ignore[attr-defined]
        await edge.until(edge.engine.running)  # type: ignore[attr-defined]
        await trio.sleep(60)
        edge.meta.connect()
        await edge.until(lambda: edge.container()["restartCount"] == 3, 5)
        assert len(edge.meta.written("patch_pod_status")) == sent + 1


async def test_an_engine_that_is_down_changes_nothing(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.engine.down = True  # type: ignore[attr-defined]
        await trio.sleep(60)
        ready = edge.meta.stored["node", "", "edge-1"]["status"]["conditions"][3]
        assert ready["type"] == "Ready" and ready["status"] == "False"
        assert "container runtime is down" in ready["message"]
        edge.engine.down = False  # type: ignore[attr-defined]
        edge.meta.put("pod", make_pod("second"))
        await edge.until(lambda: edge.phase("second") == "Running", 20)
    assert len(created(edge)) == 2


async def test_a_dead_sandbox_is_made_anew(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.engine.kill_sandbox("uid-web")  # type: ignore[attr-defined]
        await edge.until(lambda: edge.container().get("restartCount") == 1 and edge.phase() == "Running")
        assert [s.attempt for s in (await edge.engine.list_pods())[0].sandboxes if s.ready] == [1]


@pytest.mark.parametrize(
    ("method", "reason"),
    [("create_sandbox", "ContainerCreating"), ("create_container", "CreateContainerError")],
)
async def test_a_failing_engine_call_is_shown_and_tried_again(
    edge: Edge, virtual_clock: MockClock, method: str, reason: str
) -> None:
    edge.engine.failures[method] = EngineError("no space left on device")  # type: ignore[attr-defined]
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: "no space left" in str(edge.container().get("state")))
        assert edge.waiting() == reason
        await trio.sleep(60)
        assert len([m for m, _ in edge.engine.calls if m == method]) < 6  # type: ignore[attr-defined]
        edge.engine.failures.clear()  # type: ignore[attr-defined]
        await edge.until(lambda: edge.phase() == "Running", 60)


async def test_a_program_that_does_not_start(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(command=["/no/such/program"]))
        await edge.until(lambda: edge.waiting() == "RunContainerError")
        await edge.until(lambda: edge.waiting() == "CrashLoopBackOff")
        assert edge.container()["lastState"]["terminated"]["exitCode"] == 127


async def test_a_crash_of_the_registry_leaves_no_pod_alone(edge: Edge, virtual_clock: MockClock) -> None:
    engine = edge.engine
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        engine.failures["list_pods"] = RuntimeError("a bug")  # type: ignore[attr-defined]
        await trio.sleep(20)
        engine.failures.clear()  # type: ignore[attr-defined]
        engine.finish(engine.container("web", "main").id, 1)  # type: ignore[attr-defined]
        await edge.until(lambda: edge.container().get("restartCount") == 1, 200)
        edge.meta.delete("default", "web", grace=1)
        await edge.until(lambda: not edge.meta.seen("web"), 200)
