"""From kubectl to a running container and back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from e2e.harness import Cloud, Edge, eventually, is_ready
from e2e.manifests import IMAGE, config_map, pod, secret, sleeper

Halves = tuple[Cloud, Edge]


def test_a_pod_runs_shows_itself_and_goes(halves: Halves, record_property: pytest.RecordProperty) -> None:
    cloud, edge = halves
    start = time.monotonic()
    cloud.apply(sleeper("web"))
    cloud.wait_running("web")
    record_property("seconds from apply to Running", round(time.monotonic() - start, 2))

    found = cloud.get("pod", "web")
    assert found["spec"]["nodeName"] == edge.name
    assert found["status"]["podIP"]
    assert found["status"]["hostIP"]
    (status,) = found["status"]["containerStatuses"]
    assert (status["name"], status["ready"], status["restartCount"]) == ("main", True, 0)
    wide = cloud.kubectl("get", "pods", "-o", "wide").stdout
    assert "Running" in wide
    assert edge.name in wide
    assert "edge" in cloud.kubectl("get", "nodes").stdout
    described = cloud.kubectl("describe", "pod", "web").stdout
    assert "Node:" in described
    assert edge.name in described

    start = time.monotonic()
    cloud.kubectl("delete", "pod", "web", "--wait=true")
    record_property("seconds from delete to gone", round(time.monotonic() - start, 2))
    assert "NotFound" in cloud.kubectl("get", "pod", "web", check=False).stderr


def test_twenty_pods_at_once(halves: Halves, record_property: pytest.RecordProperty) -> None:
    cloud, _ = halves
    names = [f"many-{number:02d}" for number in range(20)]
    start = time.monotonic()
    cloud.apply(*(sleeper(name) for name in names))
    cloud.wait_running(*names, within=120)
    record_property("seconds until 20 pods are Running", round(time.monotonic() - start, 2))
    cloud.kubectl("delete", "pods", *names, "--wait=true", within=120)
    cloud.wait_gone(*names)


def test_configuration_reaches_the_pod_and_changes_reach_its_files(halves: Halves, tmp_path: Path) -> None:
    cloud, edge = halves
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    script = "while true; do cat etc/app/greeting > {0}/file.new; echo $WHO-$PASS-$POD > {0}/env; sleep 0.2; done"
    target = "/shared" if edge.runtime == "docker" else str(shared)
    body = pod(
        "app",
        "sh",
        "-c",
        ("cd / && " if edge.runtime == "docker" else "") + script.format(target),
        volumes=[
            {"name": "conf", "configMap": {"name": "settings"}},
            {"name": "out", "hostPath": {"path": str(shared)}},
        ],
        container={
            "env": [
                {"name": "WHO", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "who"}}},
                {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}, {"name": "out", "mountPath": "/shared"}],
        },
    )
    cloud.apply(body)
    eventually(
        "the pod waits for its ConfigMap and says so",
        lambda: "settings" in str(cloud.get("pod", "app")["status"].get("containerStatuses", "")),
    )
    cloud.apply(config_map("settings", greeting="hello", who="world"), secret("hidden", password="s3cret"))
    cloud.wait_running("app", within=90)
    eventually("the env is complete", lambda: (shared / "env").read_text().strip() == "world-s3cret-app")
    eventually("the file holds the first text", lambda: (shared / "file.new").read_text() == "hello")
    cloud.apply(config_map("settings", greeting="changed", who="world"))
    eventually("the file holds the new text", lambda: (shared / "file.new").read_text() == "changed", within=30)
    assert cloud.get("pod", "app")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_exit_codes_decide_by_restart_policy(halves: Halves) -> None:
    cloud, _ = halves
    cloud.apply(
        pod("done", "true", restartPolicy="Never"),
        pod("failed", "false", restartPolicy="Never"),
        pod("again", "false", restartPolicy="Always"),
        pod("enough", "true", restartPolicy="OnFailure"),
    )
    for name, phase in {"done": "Succeeded", "failed": "Failed", "enough": "Succeeded"}.items():
        eventually(f"{name} is {phase}", lambda name=name, phase=phase: cloud.phase(name) == phase)  # type: ignore[misc]

    def crash_loop() -> bool:
        (status,) = cloud.get("pod", "again")["status"]["containerStatuses"]
        return (
            status["restartCount"] >= 1
            and status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
            and status["lastState"]["terminated"]["exitCode"] == 1
        )

    eventually("again is in CrashLoopBackOff", crash_loop)
    terminated = cloud.get("pod", "failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (1, "Error")


def test_init_containers_come_first(halves: Halves, tmp_path: Path) -> None:
    cloud, edge = halves
    tmp_path.chmod(0o777)
    where = "/shared" if edge.runtime == "docker" else str(tmp_path)
    mount = {"volumeMounts": [{"name": "out", "mountPath": "/shared"}]}
    body = pod(
        "ordered",
        "sh",
        "-c",
        f"echo main >> {where}/order; sleep 3600",
        volumes=[{"name": "out", "hostPath": {"path": str(tmp_path)}}],
        container=mount,
        initContainers=[
            {"name": f"init{n}", "image": IMAGE, "command": ["sh", "-c", f"echo init{n} >> {where}/order"], **mount}
            for n in (1, 2)
        ],
    )
    cloud.apply(body)
    cloud.wait_running("ordered")
    assert (tmp_path / "order").read_text().split() == ["init1", "init2", "main"]


def test_graceful_deletion_sends_term_and_waits(halves: Halves, tmp_path: Path) -> None:
    cloud, edge = halves
    tmp_path.chmod(0o777)
    where = "/shared" if edge.runtime == "docker" else str(tmp_path)
    body = pod(
        "polite",
        "sh",
        "-c",
        f"trap 'sleep 2; echo bye > {where}/bye; exit 0' TERM; echo up > {where}/up; while true; do sleep 0.1; done",
        volumes=[{"name": "out", "hostPath": {"path": str(tmp_path)}}],
        container={"volumeMounts": [{"name": "out", "mountPath": "/shared"}]},
        terminationGracePeriodSeconds=20,
    )
    cloud.apply(body)
    cloud.wait_running("polite")
    eventually("the trap is set", (tmp_path / "up").exists)
    cloud.kubectl("delete", "pod", "polite", "--wait=true")
    assert (tmp_path / "bye").read_text().strip() == "bye"


def test_a_pod_recreated_under_its_name_is_a_new_pod(halves: Halves) -> None:
    cloud, _ = halves
    uids = set()
    for _ in range(3):
        cloud.apply(sleeper("again"))
        cloud.wait_running("again")
        uids.add(cloud.get("pod", "again")["metadata"]["uid"])
        cloud.kubectl("delete", "pod", "again", "--wait=true")
    assert len(uids) == 3


@pytest.mark.docker
def test_an_image_that_does_not_exist_is_named(docker_halves: Halves) -> None:
    cloud, edge = docker_halves
    cloud.apply(pod("lost", "true", container={"image": "nowhere.invalid/none:1", "name": "main", "command": ["true"]}))
    cloud.apply(pod("never", "true", container={"image": "edge-test/absent:1", "imagePullPolicy": "Never"}))

    def waiting(name: str) -> dict[str, str]:
        return dict(cloud.get("pod", name)["status"]["containerStatuses"][0]["state"]["waiting"])

    eventually("lost says why", lambda: waiting("lost")["reason"] in ("ErrImagePull", "ImagePullBackOff"), within=60)
    assert "nowhere.invalid/none:1" in waiting("lost")["message"]
    eventually("never says why", lambda: waiting("never")["reason"] == "ErrImageNeverPull")
    assert "edge-test/absent:1" in waiting("never")["message"]
    assert "Traceback" not in edge.program.output()
    cloud.apply(sleeper("good"))
    cloud.wait_running("good")


@pytest.mark.docker
def test_docker_objects_carry_kubelets_names_and_labels(docker_halves: Halves) -> None:
    cloud, edge = docker_halves
    cloud.apply(sleeper("named"))
    cloud.wait_running("named")
    found = cloud.get("pod", "named")
    uid = found["metadata"]["uid"]
    running = edge.containers()
    assert set(running) == {f"k8s_POD_named_default_{uid}_0", f"k8s_main_named_default_{uid}_0"}
    assert found["status"]["containerStatuses"][0]["containerID"] == f"docker://{running[f'k8s_main_named_default_{uid}_0']}"


@pytest.mark.docker
def test_host_network_and_host_port(docker_halves: Halves) -> None:
    from urllib.request import urlopen

    from ports import free_ports

    cloud, _ = docker_halves
    bound, published = free_ports(2)
    serve = "echo page > /tmp/index.html; exec httpd -f -p {} -h /tmp"
    cloud.apply(
        pod("host", "sh", "-c", serve.format(bound), hostNetwork=True),
        pod("port", "sh", "-c", serve.format(80), container={"ports": [{"containerPort": 80, "hostPort": published}]}),
    )
    cloud.wait_running("host", "port")
    for port in (bound, published):
        eventually(f"port {port} answers", lambda port=port: urlopen(f"http://127.0.0.1:{port}/").read() == b"page\n")  # type: ignore[misc]
    status = cloud.get("pod", "host")["status"]
    assert status["podIP"] == status["hostIP"]


def test_nobody_else_may_read_the_keys(halves: Halves) -> None:
    _, edge = halves
    for path in (edge.folder / "etc/kubeedge").rglob("*"):
        if path.suffix == ".key" or path.name == "edgecore.yaml":
            assert path.stat().st_mode & 0o077 == 0, path
    assert edge.config.stat().st_uid == os.getuid()


def test_pods_wait_for_a_fitting_node(halves: Halves) -> None:
    cloud, edge = halves
    cloud.apply(sleeper("picky", nodeSelector={"disk": "ssd"}))
    eventually("picky is explained", lambda: "didn't match" in cloud.kubectl("describe", "pod", "picky").stdout)
    assert cloud.phase("picky") == "Pending"
    cloud.kubectl("label", "node", edge.name, "disk=ssd")
    cloud.wait_running("picky")
    assert is_ready(cloud.get("pod", "picky"))
