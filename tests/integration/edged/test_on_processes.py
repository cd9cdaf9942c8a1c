"""The same pods as plain processes."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from engines.edge import Edge, make_pod
from engines.meta import MemoryMeta

from edgecore.edged.runtime.process import ProcessEngine
from kube.objects import Object

SHOW = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    print(os.environ["NAME"], Path("srv/page").read_text(), flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
async def process_edge(tmp_path: Path) -> AsyncIterator[Edge]:
    engine = ProcessEngine(tmp_path / "process")
    yield Edge(tmp_path, meta=MemoryMeta(), engine=engine, clock=time.time)
    with trio.CancelScope(deadline=trio.current_time() + 30, shield=True):
        for info in await engine.list_pods():
            for sandbox in info.sandboxes:
                await engine.remove_sandbox(sandbox.id)
        await engine.aclose()


def config(text: str) -> Object:
    return {"metadata": {"name": "page", "namespace": "default"}, "data": {"page": text}}


async def test_a_pod_survives_edgecore_and_follows_its_config_map(process_edge: Edge) -> None:
    edge = process_edge
    edge.meta.put("configmap", config("one"))
    pod = make_pod(
        uid=str(uuid.uuid4()),
        command=[sys.executable, "-c", SHOW],
        env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        volumeMounts=[{"name": "v", "mountPath": "/srv"}],
        spec={"volumes": [{"name": "v", "configMap": {"name": "page"}}], "hostNetwork": True},
    )

    async def says(text: str) -> None:
        with trio.fail_after(20):
            while text not in await edge.engine.logs_tail(edge.container()["containerID"], lines=2):
                await trio.sleep(0.1)

    async with edge.running():
        edge.meta.put("pod", pod)
        await edge.until(lambda: edge.phase() == "Running")
        assert edge.meta.seen("web")["podIP"] == "192.0.2.1"
        await says("web one")
        before = edge.container()
    edge.meta.cut()
    async with edge.running():
        edge.meta.put("configmap", config("two"))
        await says("web two")
        edge.meta.connect()
        await trio.sleep(1)
        assert edge.container() == before
        edge.meta.delete("default", "web", grace=10)
        await edge.until(lambda: not edge.meta.seen("web"), 20)
    assert edge.meta.statuses[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert await edge.engine.list_pods() == []


async def test_a_program_that_fails_is_started_again(process_edge: Edge) -> None:
    edge = process_edge
    async with edge.running():
        edge.meta.put("pod", make_pod(uid=str(uuid.uuid4()), command=[sys.executable, "-c", "raise SystemExit(3)"]))
        await edge.until(lambda: edge.waiting() == "CrashLoopBackOff", 30)
        assert edge.container()["restartCount"] == 1
        assert edge.container()["lastState"]["terminated"]["exitCode"] == 3
