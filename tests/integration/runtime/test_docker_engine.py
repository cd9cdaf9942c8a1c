"""What only docker has: images, networks, limits, and other people's containers."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio
from ports import free_port

from edgecore.edged.runtime.docker import PAUSE_REPOSITORY, DockerEngine
from edgecore.edged.runtime.engine import (
    ContainerInfo,
    ContainerSpec,
    ContainerStartFailed,
    Credentials,
    EngineError,
    ImagePullFailed,
    PodIdentity,
    PortMapping,
    Resources,
    SandboxSpec,
    State,
)

pytestmark = pytest.mark.docker


@pytest.fixture
def pod() -> PodIdentity:
    return PodIdentity("prod", "web", f"uid-{secrets.token_hex(6)}")


async def inspect(engine: DockerEngine, key: str) -> dict[str, Any]:
    return await engine.client.call("inspect", lambda api: api.inspect_container(key.removeprefix("docker://")))


async def run(engine: DockerEngine, pod: PodIdentity, image: str, line: str, **more: Any) -> str:
    sandbox = await engine.create_sandbox(SandboxSpec(pod))
    spec = ContainerSpec(pod, "main", image, 0, "h", ["/bin/sh", "-c", line], **more)
    key = await engine.create_container(sandbox, spec)
    await engine.start_container(key)
    return key


async def ended(engine: DockerEngine, pod: PodIdentity) -> ContainerInfo:
    with trio.fail_after(60):
        while True:
            found = await engine.pod(pod.uid)
            assert found is not None
            if found.containers[0].state is State.EXITED:
                return found.containers[0]
            await trio.sleep(0.05)


async def test_the_sandbox_is_made_without_a_registry(docker_engine: DockerEngine, pod: PodIdentity) -> None:
    sandbox = await docker_engine.create_sandbox(SandboxSpec(pod, hostname="web"))
    found = await inspect(docker_engine, sandbox.id)
    assert found["Config"]["Image"].startswith(PAUSE_REPOSITORY)
    assert found["Name"] == f"/k8s_POD_web_prod_{pod.uid}_0"
    assert found["Config"]["Hostname"] == "web"
    started = trio.current_time()
    await docker_engine.stop_sandbox(sandbox.id)
    stopped = await inspect(docker_engine, sandbox.id)
    assert stopped["State"]["ExitCode"] == 0  # it ended by itself: TERM is heard
    assert trio.current_time() > started


async def test_the_configured_sandbox_image_is_used_when_it_is_there(
    docker_endpoint: str, busybox_image: str, pod: PodIdentity
) -> None:
    engine = DockerEngine(docker_endpoint, sandbox_image=busybox_image, instance=secrets.token_hex(6))
    try:
        sandbox = await engine.create_sandbox(SandboxSpec(pod))
        assert (await inspect(engine, sandbox.id))["Config"]["Image"] == busybox_image
    finally:
        await engine.remove_sandbox(sandbox.id)
        await engine.aclose()


async def test_resolv_conf(docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str) -> None:
    spec = SandboxSpec(pod, dns_servers=["10.96.0.10"], dns_searches=["prod.svc", "svc"], dns_options=["ndots:5"])
    await docker_engine.create_sandbox(spec)
    key = await run(docker_engine, pod, busybox_image, "cat /etc/resolv.conf; hostname")
    await ended(docker_engine, pod)
    lines = (await docker_engine.logs_tail(key)).splitlines()
    assert [line for line in lines if line.startswith("nameserver")] == ["nameserver 10.96.0.10"]
    assert "search prod.svc svc" in lines
    assert "options ndots:5" in lines


async def test_host_ports_are_bound_and_a_conflict_is_named(
    docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str
) -> None:
    port = free_port()
    sandbox = await docker_engine.create_sandbox(SandboxSpec(pod, ports=[PortMapping(80, port)]))
    found = await inspect(docker_engine, sandbox.id)
    assert found["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": str(port)}]}
    other = PodIdentity("prod", "second", f"uid-{secrets.token_hex(6)}")
    with pytest.raises(EngineError, match=rf"sandbox of pod prod/second: a host port of {port}/TCP is in use"):
        await docker_engine.create_sandbox(SandboxSpec(other, ports=[PortMapping(80, port)]))
    assert await docker_engine.pod(other.uid) is None  # nothing is left behind


async def test_log_links(docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str, tmp_path: Path) -> None:
    path = tmp_path / "pods" / f"prod_web_{pod.uid}" / "main" / "0.log"
    key = await run(docker_engine, pod, busybox_image, "echo hello", log_path=path)
    await ended(docker_engine, pod)
    (short,) = (tmp_path / "containers").iterdir()
    assert short.name == f"web_prod_main-{key.removeprefix('docker://')}.log"
    assert short.readlink() == path
    assert path.readlink().name.endswith("-json.log")
    await docker_engine.remove_container(key)
    assert not path.is_symlink()
    assert not short.is_symlink()


async def test_containers_of_a_pod_share_what_a_pod_shares(
    docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str
) -> None:
    key = await run(docker_engine, pod, busybox_image, "ps; sleep 1000", share_process_namespace=True)
    found = await inspect(docker_engine, key)
    sandbox = found["Config"]["Labels"]["io.kubernetes.sandbox.id"]
    assert found["Name"] == f"/k8s_main_web_prod_{pod.uid}_0"
    assert [found["HostConfig"][name] for name in ("NetworkMode", "IpcMode", "PidMode")] == [f"container:{sandbox}"] * 3
    with trio.fail_after(30):
        while "/pause" not in await docker_engine.logs_tail(key):
            await trio.sleep(0.05)


async def test_a_stranger_of_the_same_name_is_not_touched(
    docker_engine: DockerEngine, docker_endpoint: str, pod: PodIdentity, busybox_image: str
) -> None:
    await run(docker_engine, pod, busybox_image, "sleep 1000")
    other = DockerEngine(docker_endpoint, instance="another")
    assert await other.pod(pod.uid) is None
    with pytest.raises(EngineError, match=r"another program has a container named k8s_POD_web.*docker rm -f"):
        await other.create_sandbox(SandboxSpec(pod))
    everybody = DockerEngine(docker_endpoint)
    assert await everybody.pod(pod.uid) is None
    await other.aclose()
    await everybody.aclose()
    assert (await docker_engine.pod(pod.uid)) is not None


async def test_an_image_that_is_not_there(docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str) -> None:
    assert await docker_engine.image_present(busybox_image)
    assert not await docker_engine.image_present("edgecore.test/nothing:1")
    with pytest.raises(EngineError, match=r"container main of pod prod/web: .*not on this machine"):
        await run(docker_engine, pod, "edgecore.test/nothing:1", "true")


async def test_a_working_directory_or_user_that_cannot_be(
    docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str
) -> None:
    with pytest.raises((ContainerStartFailed, EngineError), match="nobody-known"):
        await run(docker_engine, pod, busybox_image, "true", user="nobody-known")


async def test_out_of_memory(docker_engine: DockerEngine, pod: PodIdentity, busybox_image: str) -> None:
    key = await run(docker_engine, pod, busybox_image, "x=$(seq 1 9000000); echo survived", resources=Resources(memory=16 << 20))
    limit = (await inspect(docker_engine, key))["HostConfig"]["Memory"]
    found = await ended(docker_engine, pod)
    if limit != 16 << 20:
        pytest.fail("docker has not taken the memory limit")
    assert found.exit_code != 0
    if (await inspect(docker_engine, key))["State"]["OOMKilled"]:  # some kernels refuse the memory instead
        assert (found.exit_code, found.reason) == (137, "OOMKilled")


class _Registry(BaseHTTPRequestHandler):
    """Asks for a password and, given the right one, has no images."""

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(b"me:right").decode()
        allowed = self.headers.get("Authorization") == expected
        code = "MANIFEST_UNKNOWN" if allowed else "UNAUTHORIZED"
        text = "manifest unknown" if allowed else "authentication required"
        body = json.dumps({"errors": [{"code": code, "message": text}]}).encode()
        if allowed and self.path == "/v2/":
            self.send_response(200)
        else:
            self.send_response(404 if allowed else 401)
        if not allowed:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_pulling_with_and_without_the_right_password(docker_engine: DockerEngine, registry: str) -> None:
    image = f"{registry}/team/app:1"
    with pytest.raises(ImagePullFailed, match="imagePullSecrets are missing or wrong"):
        await docker_engine.pull_image(image)
    with pytest.raises(ImagePullFailed, match="imagePullSecrets"):
        await docker_engine.pull_image(image, [Credentials("me", "wrong", registry)])
    with pytest.raises(ImagePullFailed, match="has no team/app with tag 1"):
        await docker_engine.pull_image(image, [Credentials("me", "right", registry)])
    with pytest.raises(ImagePullFailed, match="imagePullSecrets"):  # those of another registry are not shown to this one
        await docker_engine.pull_image(image, [Credentials("me", "right", "example.org")])


async def test_an_unreachable_registry_is_called_so(docker_engine: DockerEngine) -> None:
    image = f"127.0.0.1:{free_port()}/app"
    with pytest.raises(
        ImagePullFailed, match=r"the registry 127\.0\.0\.1:\d+ cannot be reached: it refuses connections"
    ) as caught:
        await docker_engine.pull_image(image)
    assert caught.value.reason == "RegistryUnavailable"


async def test_many_stops_at_once_do_not_wait_for_each_other(docker_engine: DockerEngine, busybox_image: str) -> None:
    pods = [PodIdentity("prod", f"web-{number}", f"uid-{secrets.token_hex(6)}") for number in range(4)]
    for pod in pods:
        await run(docker_engine, pod, busybox_image, "trap '' TERM; while :; do sleep 0.2; done")
    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            for listed in await docker_engine.list_pods():
                nursery.start_soon(docker_engine.stop_container, listed.containers[0].id, 2)
    states = [listed.containers[0].state for listed in await docker_engine.list_pods()]
    assert states == [State.EXITED] * 4
