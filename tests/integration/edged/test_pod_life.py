"""The life of a pod, from the first message to the last, on an engine in memory and the virtual clock."""

from __future__ import annotations

import trio
from engines.edge import Edge, make_pod
from trio.testing import MockClock

from kube import objects


async def test_a_pod_runs_and_is_reported(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
    status = edge.meta.seen("web")
    conditions = {entry["type"]: entry["status"] for entry in status["conditions"]}
    assert conditions == dict.fromkeys(
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"], "True"
    )
    assert status["podIP"].startswith("10.88.0.")
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIP"] == "192.0.2.1"
    assert status["startTime"]
    main = edge.container()
    assert main["ready"] and main["started"] and main["restartCount"] == 0
    assert main["containerID"].startswith("memory://")


async def test_the_cloud_deletes_a_pod(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        edge.meta.delete("default", "web", grace=5)
        await edge.until(lambda: not edge.meta.seen("web"))
        assert edge.meta.written("delete_pod") == [("web", "uid-web")]
        last = edge.meta.statuses[-1]
        assert last["phase"] == "Failed"
        assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
        methods = [method for method, _ in edge.meta.calls if method in ("patch_pod_status", "delete_pod")]
        assert methods[-1] == "delete_pod"
        assert await edge.engine.list_pods() == []
        await edge.until(lambda: edge.edged and not edge.edged.registry.workers)
    assert not (edge.settings.root / "pods" / "uid-web").exists()


async def test_a_crash_loop_backs_off(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(command=["sh", "-c", "exit 1"]))
        await edge.until(lambda: edge.container().get("restartCount") == 5, 400)
        await edge.until(lambda: edge.waiting() == "CrashLoopBackOff")
        main = edge.container()
        assert main["lastState"]["terminated"]["exitCode"] == 1
        assert "back-off 2m40s restarting failed container=main pod=web_default(uid-web)" in main["state"]["waiting"]["message"]
        assert edge.phase() == "Running"
    created = sorted(info.created_at for info in (await edge.engine.list_pods())[0].containers)
    assert len(created) == 2  # the current one and its predecessor


async def test_restart_policies(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod("never", spec={"restartPolicy": "Never"}, command=["sh", "-c", "exit 3"]))
        edge.meta.put("pod", make_pod("once", spec={"restartPolicy": "OnFailure"}, command=["sh", "-c", "exit 0"]))
        await edge.until(lambda: edge.phase("never") == "Failed" and edge.phase("once") == "Succeeded")
        assert edge.container("never")["state"]["terminated"]["exitCode"] == 3
        assert edge.container("never")["restartCount"] == 0
        await trio.sleep(100)
        assert edge.container("once")["restartCount"] == 0
        assert not any(s.ready for info in await edge.engine.list_pods() for s in info.sandboxes)


async def test_a_bad_image_backs_off_and_recovers(edge: Edge, virtual_clock: MockClock) -> None:
    edge.engine.pullable = set()  # type: ignore[attr-defined]
    async with edge.running():
        edge.meta.put("pod", make_pod(image="nosuch:1"))
        await edge.until(lambda: edge.waiting() == "ErrImagePull")
        await edge.until(lambda: edge.waiting() == "ImagePullBackOff")
        assert "nosuch:1" in edge.container()["state"]["waiting"]["message"]
        pod = edge.meta.stored["pod", "default", "web"]
        pod["spec"]["containers"][0]["image"] = "busybox:2"
        edge.meta.put("pod", pod)
        await edge.until(lambda: edge.phase() == "Running", 5)
        assert edge.container()["restartCount"] == 0


async def test_an_absent_image_that_may_not_be_pulled(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(image="nosuch:1", imagePullPolicy="Never"))
        await edge.until(lambda: edge.waiting() == "ErrImageNeverPull")


async def test_a_changed_image_restarts_the_container(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        pod = edge.meta.put("pod", make_pod())
        await edge.until(lambda: edge.phase() == "Running")
        pod = edge.meta.stored["pod", "default", "web"]
        pod["spec"]["containers"][0]["image"] = "busybox:2"
        edge.meta.put("pod", pod)
        await edge.until(lambda: edge.container().get("image") == "busybox:2")
        assert edge.container()["restartCount"] == 1
        assert len((await edge.engine.list_pods())[0].sandboxes) == 1


async def test_init_containers_run_in_order(edge: Edge, virtual_clock: MockClock) -> None:
    inits = [
        {"name": "one", "image": "busybox:1", "command": ["sh", "-c", "sleep 9"]},
        {"name": "two", "image": "busybox:1", "command": ["sh", "-c", "exit 0"]},
    ]
    async with edge.running():
        edge.meta.put("pod", make_pod(spec={"initContainers": inits}))
        await edge.until(lambda: edge.meta.seen("web").get("initContainerStatuses", [{}])[0].get("state", {}).get("running"))
        assert edge.phase() == "Pending"
        assert edge.waiting() == "PodInitializing"
        first = edge.engine.container("web", "one")  # type: ignore[attr-defined]
        edge.engine.finish(first.id)  # type: ignore[attr-defined]
        await edge.until(lambda: edge.phase() == "Running")
    order = [argument for method, argument in edge.engine.calls if method == "create_container"]  # type: ignore[attr-defined]
    assert order == ["one", "two", "main"]


async def test_a_recreated_name_waits_for_the_old_uid(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(command=["sh", "-c", "trap '' TERM; sleep 99"], spec={"terminationGracePeriodSeconds": 7}))
        await edge.until(lambda: edge.phase() == "Running")
        started = trio.current_time()
        edge.meta.put("pod", make_pod(uid="uid-second"))
        await edge.until(
            lambda: (
                edge.engine.running() == ["web/main"]
                and edge.container().get("restartCount") == 0  # type: ignore[attr-defined]
                and edge.engine.container("uid-second", "main")
            )
        )  # type: ignore[attr-defined]
        assert trio.current_time() - started >= 7
        await edge.until(lambda: edge.phase() == "Running")
        assert [info.pod.uid for info in await edge.engine.list_pods()] == ["uid-second"]
    assert edge.meta.written("delete_pod") == []


async def test_a_shorter_grace_period_counts(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        edge.meta.put("pod", make_pod(command=["sh", "-c", "trap '' TERM; sleep 99"]))
        await edge.until(lambda: edge.phase() == "Running")
        edge.meta.delete("default", "web", grace=300)
        await trio.sleep(20)
        edge.meta.delete("default", "web", grace=1)
        await edge.until(lambda: not edge.meta.seen("web"), 10)


async def test_a_rejected_pod_fails_with_its_reason(edge: Edge, virtual_clock: MockClock) -> None:
    ports = [{"containerPort": 80, "hostPort": 8081}]
    async with edge.running():
        edge.meta.put("pod", make_pod("first", ports=ports))
        await edge.until(lambda: edge.phase("first") == "Running")
        edge.meta.put("pod", make_pod("second", ports=ports))
        await edge.until(lambda: edge.phase("second") == "Failed")
        assert edge.meta.seen("second")["reason"] == "NodePorts"
        await edge.until(lambda: edge.edged and edge.edged.node.object)
        edge.meta.put("pod", make_pod("third", spec={"nodeSelector": {"no": "such"}}))
        await edge.until(lambda: edge.meta.seen("third").get("reason") == "NodeAffinity")
        edge.meta.delete("default", "second")
        await edge.until(lambda: not edge.meta.seen("second"))
        assert objects.name(edge.meta.stored["pod", "default", "first"]) == "first"


async def test_a_host_port_is_awaited_while_its_holder_is_ending(edge: Edge, virtual_clock: MockClock) -> None:
    ports = [{"containerPort": 80, "hostPort": 8081}]
    async with edge.running():
        edge.meta.put("pod", make_pod("old", ports=ports, command=["sh", "-c", "trap '' TERM; sleep 99"]))
        await edge.until(lambda: edge.phase("old") == "Running")
        edge.meta.delete("default", "old", grace=30)
        edge.meta.put("pod", make_pod("new", ports=ports))
        await edge.until(lambda: edge.phase("new") == "Running", 60)


async def test_pods_that_wait_for_one_image_pull_it_once(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        for name in ("a", "b", "c", "d"):
            edge.meta.put("pod", make_pod(name, image="shared:1"))
        await edge.until(lambda: all(edge.phase(name) == "Running" for name in ("a", "b", "c", "d")))
    pulls = [argument for method, argument in edge.engine.calls if method == "pull_image"]  # type: ignore[attr-defined]
    assert pulls == ["shared:1"]
