"""ConfigMaps and Secrets in files and in the environment: present, late, changed, gone."""

from __future__ import annotations

from typing import Any

import trio
from engines.edge import Edge, make_pod
from trio.testing import MockClock

from kube.objects import Object


def config_map(name: str, data: dict[str, str]) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "data": data}


def mounted(**volume: Any) -> Object:
    mounts = [{"name": "v", "mountPath": "/etc/v"}]
    return make_pod(spec={"volumes": [{"name": "v"} | volume]}, volumeMounts=mounts)


async def test_a_config_map_reaches_the_file_and_follows_changes(edge: Edge, virtual_clock: MockClock) -> None:
    edge.meta.put("configmap", config_map("c", {"page": "one"}))
    async with edge.running():
        edge.meta.put("pod", mounted(configMap={"name": "c"}))
        await edge.until(lambda: edge.phase() == "Running")
        page = edge.file("uid-web", "configmap", "v", "page")
        assert page.read_text() == "one"
        edge.meta.put("configmap", config_map("c", {"page": "two", "more": "x"}))
        await edge.until(lambda: page.read_text() == "two", 5)
        assert (page.parent / "more").read_text() == "x"
        edge.meta.drop("configmap", "default", "c")
        await trio.sleep(200)
        assert page.read_text() == "two"
        assert edge.container()["restartCount"] == 0


async def test_a_late_config_map_is_awaited(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", mounted(configMap={"name": "late"}))
        await edge.until(lambda: "late" in str(edge.container().get("state")))
        assert edge.waiting() == "ContainerCreating"
        message = edge.container()["state"]["waiting"]["message"]
        assert message == 'MountVolume.SetUp failed for volume "v" : configmap "late" not found'
        await trio.sleep(120)
        edge.meta.put("configmap", config_map("late", {"page": "right"}))
        await edge.until(lambda: edge.phase() == "Running", 5)
        assert edge.file("uid-web", "configmap", "v", "page").read_text() == "right"


async def test_a_late_key_of_the_environment_is_awaited(edge: Edge, virtual_clock: MockClock) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]
    async with edge.running():
        edge.meta.put("pod", make_pod(env=env))
        await edge.until(lambda: edge.waiting() == "CreateContainerConfigError")
        assert edge.container()["state"]["waiting"]["message"] == 'configmap "late" not found'
        edge.meta.put("configmap", config_map("late", {"b": "x"}))
        await edge.until(lambda: "couldn't find key a" in str(edge.container()["state"]))
        edge.meta.put("configmap", config_map("late", {"a": "x"}))
        await edge.until(lambda: edge.phase() == "Running", 5)
        spec = next(iter(edge.engine.specs.values()))  # type: ignore[attr-defined]
        assert spec.env["A"] == "x"


async def test_offline_a_stored_config_map_is_enough_and_an_unknown_one_is_awaited(edge: Edge, virtual_clock: MockClock) -> None:
    edge.meta.put("configmap", config_map("c", {"page": "stored"}))
    edge.meta.cloud_only["configmap", "default", "far"] = config_map("far", {"page": "fetched"})
    edge.meta.cut()
    async with edge.running():
        edge.meta.put("pod", mounted(configMap={"name": "c"}))
        far = mounted(configMap={"name": "far"})
        far["metadata"] |= {"name": "far", "uid": "uid-far"}
        edge.meta.put("pod", far)
        await edge.until(lambda: edge.engine.running() == ["web/main"])  # type: ignore[attr-defined]
        await trio.sleep(60)
        assert edge.engine.running() == ["web/main"]  # type: ignore[attr-defined]
        edge.meta.connect()
        await edge.until(lambda: edge.phase("far") == "Running", 5)
        assert edge.file("uid-far", "configmap", "v", "page").read_text() == "fetched"


async def test_a_projected_volume_with_token_config_map_and_namespace(edge: Edge, virtual_clock: MockClock) -> None:
    edge.meta.put("configmap", config_map("kube-root-ca.crt", {"ca.crt": "CA"}))
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    async with edge.running():
        edge.meta.put("pod", mounted(projected={"sources": sources}))
        await edge.until(lambda: edge.phase() == "Running")
        folder = edge.file("uid-web", "projected", "v", "")
        found = {name: (folder / name).read_text() for name in ("token", "ca.crt", "namespace")}
        assert found == {"token": "token-of-default", "ca.crt": "CA", "namespace": "default"}
        assert edge.meta.written("service_account_token")[0]["spec"]["expirationSeconds"] == 3607


async def test_an_empty_dir_outlives_its_container_and_goes_with_the_pod(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", mounted(emptyDir={}))
        await edge.until(lambda: edge.phase() == "Running")
        note = edge.file("uid-web", "empty-dir", "v", "note")
        note.write_text("kept")
        edge.engine.finish(edge.engine.container("web", "main").id, 1)  # type: ignore[attr-defined]
        await edge.until(lambda: edge.container().get("restartCount") == 1)
        assert note.read_text() == "kept"
        edge.meta.delete("default", "web")
        await edge.until(lambda: not edge.meta.seen("web"))
        assert not note.exists()


async def test_the_last_words_are_reported(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(spec={"restartPolicy": "Never"}))
        await edge.until(lambda: edge.phase() == "Running")
        spec = next(iter(edge.engine.specs.values()))  # type: ignore[attr-defined]
        words = next(m.host_path for m in spec.mounts if m.container_path == "/dev/termination-log")
        words.write_text("out of paper" + "x" * 9000)
        edge.engine.finish(edge.engine.container("web", "main").id, 1)  # type: ignore[attr-defined]
        await edge.until(lambda: edge.phase() == "Failed")
        message = edge.container()["state"]["terminated"]["message"]
        assert message.startswith("out of paper") and len(message) == 4096
