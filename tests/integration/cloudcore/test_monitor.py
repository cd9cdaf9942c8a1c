"""Probes and metrics of a running cloudcore."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
from clouds.standalone import Cloud, StartCloud, config_for
from ports import free_port

from beehive.supervise import fatal_cause
from cloudcore.monitor import PATIENCE, Monitor
from kube.client import Client
from kube.status import ApiUnreachable, NotFound


async def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and body, over a connection of its own."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def metric(port: int, line: str) -> float:
    status, page = await get(port, "/metrics")
    assert status == 200
    (value,) = [found.rpartition(" ")[2] for found in page.splitlines() if found.rpartition(" ")[0] == line]
    return float(value)


async def test_probes_and_metrics_of_a_serving_cloudcore(cloud: Cloud) -> None:
    port = cloud.running.monitor_port
    for path in ("/livez", "/readyz", "/healthz"):
        assert await get(port, path) == (200, "ok\n")
    assert await get(port, "/readyz", "HEAD") == (200, "")
    assert (await get(port, "/"))[0] == 404
    assert (await get(port, "/metrics", "POST"))[0] == 405
    assert await metric(port, "cloudcore_ready") == 1
    assert await metric(port, "process_resident_memory_bytes") > 1_000_000
    assert await metric(port, 'rest_client_requests_total{code="200",method="GET"}') > 4
    assert await metric(port, 'rest_client_request_duration_seconds_count{verb="GET"}') > 4


async def test_edges_are_counted(cloud: Cloud) -> None:
    port = cloud.running.monitor_port
    edge = await cloud.joined()
    assert await metric(port, "KubeEdge_CloudHub_connected_nodes") == 0
    async with edge.connected() as session:
        await session.register()
        assert await metric(port, "KubeEdge_CloudHub_connected_nodes") == 1
        assert await metric(port, "cloudcore_cloudhub_messages_received_total") >= 1
        assert await metric(port, "cloudcore_cloudhub_messages_sent_total") >= 1


async def test_an_address_that_somebody_set_must_be_had(tmp_path: Path, start_cloud: StartCloud) -> None:
    config = config_for(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.common_config.monitor_server.bind_address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BaseExceptionGroup) as error:
            async with start_cloud(config):
                pytest.fail("it started")
    assert "for monitoring (commonConfig.monitorServer) is in use" in str(fatal_cause(error.value))


async def test_it_can_be_switched_off(tmp_path: Path, start_cloud: StartCloud) -> None:
    config = config_for(tmp_path)
    config.common_config.monitor_server.bind_address = ""
    async with start_cloud(config) as cloud:
        assert cloud.running.monitor_port == 0


async def test_ready_only_while_the_api_answers(autojump_clock: trio.testing.MockClock) -> None:
    monitor = Monitor()
    assert monitor.faults() == ["starting: nothing is served yet"]
    monitor.serving = True
    monitor.api("GET", 0, 0.1)
    assert monitor.faults() == []
    await trio.sleep(PATIENCE + 1)
    monitor.api("GET", 0, 0.1)
    assert monitor.faults() == ["the Kubernetes API has not answered for 31 s"]
    monitor.api("GET", 403, 0.1)
    assert monitor.faults() == []


async def test_the_client_tells_how_its_requests_end(cloud: Cloud) -> None:
    told: list[tuple[str, int]] = []

    def observe(method: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        told.append((method, code))

    async with Client(f"http://127.0.0.1:{free_port()}", tls=None, observe=observe) as client:
        with pytest.raises(ApiUnreachable):
            await client.request("GET", "/version")
    monitor = f"http://127.0.0.1:{cloud.running.monitor_port}"
    async with Client(monitor, tls=None, observe=observe) as client:
        await client.request_bytes("GET", "/livez")
        with pytest.raises(NotFound):
            await client.request_bytes("GET", "/nothing")
    assert told == [("GET", 0), ("GET", 200), ("GET", 404)]
