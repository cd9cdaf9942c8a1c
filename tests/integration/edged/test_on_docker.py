"""The same pods on a real docker engine."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from engines.edge import Edge, make_pod
from engines.meta import MemoryMeta

from edgecore.edged.runtime.docker import DockerEngine
from kube.objects import Object

pytestmark = pytest.mark.docker


@pytest.fixture
async def docker_edge(tmp_path: Path, docker_engine: DockerEngine) -> AsyncIterator[Edge]:
    edge = Edge(tmp_path, meta=MemoryMeta(), engine=docker_engine, clock=time.time)
    yield edge
    for info in await docker_engine.list_pods():
        for sandbox in info.sandboxes:
            await docker_engine.remove_sandbox(sandbox.id)


def shell(line: str, image: str, name: str = "web", spec: Object | None = None, **container: object) -> Object:
    return make_pod(name, uid=str(uuid.uuid4()), image=image, command=["/bin/sh", "-c", line], spec=spec, **container)


async def test_run_serve_update_delete(docker_edge: Edge, busybox_image: str) -> None:
    edge = docker_edge
    data = {"index.html": "one"}
    config: Object = {"metadata": {"name": "page", "namespace": "default"}, "data": data}
    edge.meta.put("configmap", config)
    pod = shell(
        "trap 'exit 0' TERM; cat /www/index.html; echo $GREETING; while true; do sleep 0.1; done",
        busybox_image,
        spec={"volumes": [{"name": "www", "configMap": {"name": "page"}}]},
        volumeMounts=[{"name": "www", "mountPath": "/www", "readOnly": True}],
        env=[
            {"name": "GREETING", "value": "hello $(WHO)"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    )
    async with edge.running():
        edge.meta.put("pod", pod)
        await edge.until(lambda: edge.phase() == "Running")
        status = edge.container()
        assert status["containerID"].startswith("docker://")
        assert edge.meta.seen("web")["podIP"]
        with trio.fail_after(20):
            while "hello $(WHO)" not in (text := await edge.engine.logs_tail(status["containerID"])):
                await trio.sleep(0.1)
        assert text.startswith("one")
        edge.meta.put("configmap", config | {"data": {"index.html": "two"}})
        page = edge.file(pod["metadata"]["uid"], "configmap", "www", "index.html")
        await edge.until(lambda: page.read_text() == "two", 10)
        edge.meta.delete("default", "web", grace=10)
        await edge.until(lambda: not edge.meta.seen("web"), 30)
        assert edge.meta.statuses[-1]["phase"] == "Succeeded"
        assert await edge.engine.pod(pod["metadata"]["uid"]) is None


async def test_adoption_keeps_the_container(docker_edge: Edge, busybox_image: str) -> None:
    edge = docker_edge
    async with edge.running():
        edge.meta.put("pod", shell("sleep 1000", busybox_image, "keep", spec={"terminationGracePeriodSeconds": 1}))
        edge.meta.put("pod", shell("exit 4", busybox_image, "fails", spec={"restartPolicy": "Never"}))
        await edge.until(lambda: edge.phase("keep") == "Running" and edge.phase("fails") == "Failed")
        before = edge.container("keep")
    edge.meta.cut()
    async with edge.running():
        await trio.sleep(3)
        edge.meta.connect()
        await trio.sleep(1)
        assert edge.container("keep") == before
        assert edge.container("fails")["state"]["terminated"]["exitCode"] == 4
        edge.meta.drop("pod", "default", "keep")
        edge.meta.drop("pod", "default", "fails")
        await edge.until(lambda: edge.edged and not edge.edged.registry.workers, 30)
    assert await edge.engine.list_pods() == []


async def test_an_image_that_does_not_exist(docker_edge: Edge) -> None:
    edge = docker_edge
    async with edge.running():
        edge.meta.put("pod", shell("true", "127.0.0.1:9/no/such:1"))
        await edge.until(lambda: edge.waiting() in ("ErrImagePull", "ImagePullBackOff"), 30)
        await edge.until(lambda: edge.waiting() == "ImagePullBackOff", 30)
        assert "127.0.0.1:9/no/such:1" in edge.container()["state"]["waiting"]["message"]


async def test_twenty_pods_at_once(docker_edge: Edge, busybox_image: str) -> None:
    edge = docker_edge
    names = [f"p{n}" for n in range(20)]
    async with edge.running():
        for name in names:
            edge.meta.put("pod", shell("sleep 1000", busybox_image, name, spec={"terminationGracePeriodSeconds": 1}))
        await edge.until(lambda: all(edge.phase(name) == "Running" for name in names), 120)
        for name in names:
            edge.meta.delete("default", name, grace=1)
        await edge.until(lambda: not any(edge.meta.seen(name) for name in names), 120)
