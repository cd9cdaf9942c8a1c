"""What an operator reads: one line for each changed cause, none for each try."""

from __future__ import annotations

import logging
import secrets

import pytest
import trio
from engines.edge import Edge, make_pod
from trio.testing import MockClock

from beehive.sqlite import StoreError
from edgecore.edged.images import ImagePuller
from edgecore.edged.runtime.engine import EngineError, EngineUnavailable, SandboxInfo, SandboxSpec
from edgecore.edged.runtime.process import ProcessEngine


async def test_a_store_that_is_guarded(edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    edge.meta.failures["pods"] = StoreError("the local store was lost")
    async with edge.running():
        await trio.sleep(300)
        edge.meta.failures.clear()
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
    assert caplog.text.count("the local store was lost") == 1


async def test_an_image_that_does_not_exist(edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    edge.engine.pullable = set()  # type: ignore[attr-defined]
    async with edge.running():
        edge.meta.put("pod", make_pod(image="nowhere:1"))
        await edge.until(lambda: edge.waiting() == "ImagePullBackOff", 100)
        await trio.sleep(2000)
    assert caplog.text.count("manifest unknown") == 1
    assert "pod default/web (uid-web): container main: ErrImagePull: image nowhere:1: manifest unknown" in caplog.text


async def test_an_engine_that_is_down(edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async with edge.running():
        for name in ("a", "b", "c"):
            edge.meta.put("pod", make_pod(name))
        await edge.until(lambda: all(edge.phase(name) == "Running" for name in ("a", "b", "c")))
        edge.engine.down = True  # type: ignore[attr-defined]
        await trio.sleep(600)
        edge.engine.down = False  # type: ignore[attr-defined]
        await trio.sleep(60)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["the container engine does not answer: the memory engine is down (the test says so)"]


async def test_where_there_are_no_images_none_is_pulled(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    puller = ImagePuller(ProcessEngine(edge.root / "process"), clock=edge.clock)
    await puller.ensure("busybox:1", "Always")
    assert caplog.text == ""


async def test_a_failing_store_says_so_once(edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async with edge.running():
        edge.meta.put("configmap", {"metadata": {"name": "app", "namespace": "default"}, "data": {}})
        edge.meta.put("pod", make_pod(envFrom=[{"configMapRef": {"name": "app"}}]))
        await edge.until(lambda: edge.phase() == "Running")
        for method in ("pods", "pod", "node", "configmap"):
            edge.meta.failures[method] = StoreError("disk I/O error")
        await trio.sleep(600)
        edge.meta.failures.clear()
        await trio.sleep(60)
        assert edge.engine.running() == ["web/main"]  # type: ignore[attr-defined]
    assert [record for record in caplog.records if record.exc_info] == []
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(loud) == len(set(loud)) <= 3


async def test_a_sandbox_that_fails_with_another_id_each_time_is_one_cause_and_backs_off(
    edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    engine = edge.engine
    tries: list[float] = []

    async def refuse(spec: SandboxSpec) -> SandboxInfo:
        await trio.lowlevel.checkpoint()
        tries.append(trio.current_time())
        raise EngineError(f"sandbox: endpoint {secrets.token_hex(32)}: port is already allocated")

    engine.create_sandbox = refuse  # type: ignore[method-assign]
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await trio.sleep(3000)
    assert caplog.text.count("port is already allocated") == 1
    assert len(tries) < 25


async def test_an_engine_that_answers_all_but_one_question(
    edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    edge.engine.failures["create_container"] = EngineUnavailable("container main: no answer within 120 s")  # type: ignore[attr-defined]
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await trio.sleep(600)
    assert caplog.text.count("no answer within 120 s") == 1
