"""The Node object and its lease: registered, patched, renewed, registered again."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from engines.edge import Edge, memory_edge
from trio.testing import MockClock

from edgecore.metamanager.client import Refused
from kube import objects
from kube.objects import Object

NODE = ("node", "", "edge-1")
LEASE = ("lease", "kube-node-lease", "edge-1")


def conditions(edge: Edge) -> dict[str, Object]:
    return {entry["type"]: entry for entry in edge.meta.stored[NODE]["status"]["conditions"]}


async def test_the_first_registration(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        await edge.until(lambda: LEASE in edge.meta.stored)
    sent = edge.meta.written("register_node")[0]
    assert sent["kind"] == "Node" and sent["apiVersion"] == "v1"
    labels = sent["metadata"]["labels"]
    assert labels["node-role.kubernetes.io/edge"] == labels["node-role.kubernetes.io/agent"] == ""
    assert labels["kubernetes.io/hostname"] == "edge-1" and labels["kubernetes.io/os"] == "linux"
    assert labels["beta.kubernetes.io/arch"] == labels["kubernetes.io/arch"]
    assert sent["metadata"]["annotations"] == {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    status = sent["status"]
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10350}}
    assert status["nodeInfo"]["kubeletVersion"] == "v1.32.10-kubeedge-v0.1.0"
    assert status["nodeInfo"]["containerRuntimeVersion"] == "memory://1.0"
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "Hostname", "address": "edge-1"},
    ]
    assert [entry["type"] for entry in status["conditions"]] == ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
    assert conditions(edge)["Ready"]["reason"] == "EdgeReady"
    lease = edge.meta.stored[LEASE]
    assert lease["spec"]["holderIdentity"] == "edge-1" and lease["spec"]["leaseDurationSeconds"] == 40


async def test_a_known_node_is_taken_over(edge: Edge, virtual_clock: MockClock) -> None:
    known: Object = {"metadata": {"name": "edge-1", "uid": "old", "labels": {"mine": "x"}}, "status": {}}
    edge.meta.put("node", known)
    async with edge.running():
        await edge.until(lambda: edge.meta.written("patch_node_status"))
    node = edge.meta.stored[NODE]
    assert objects.uid(node) == "old"
    assert node["metadata"]["labels"]["mine"] == "x"
    assert node["metadata"]["labels"]["node-role.kubernetes.io/edge"] == ""
    assert conditions(edge)["Ready"]["status"] == "True"
    assert "daemonEndpoints" not in edge.meta.written("patch_node_status")[0]["status"]


async def test_the_lease_is_renewed_every_ten_seconds_and_the_status_every_five_minutes(
    edge: Edge, virtual_clock: MockClock
) -> None:
    async with edge.running():
        await edge.until(lambda: LEASE in edge.meta.stored and NODE in edge.meta.stored)
        await trio.sleep(1)
        leases, patches = len(edge.meta.written("update_lease")), len(edge.meta.written("patch_node_status"))
        await trio.sleep(290)
        assert 28 <= len(edge.meta.written("update_lease")) - leases <= 30
        changed = [p for p in edge.meta.written("patch_node_status")[patches:] if "conditions" in p["status"]]
        assert changed == []  # heartbeat times alone are no news for five minutes
        await trio.sleep(25)
        assert "conditions" in edge.meta.written("patch_node_status")[-1]["status"]


async def test_the_owner_of_the_lease_is_the_node(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        await trio.sleep(15)
    owner = edge.meta.stored[LEASE]["metadata"]["ownerReferences"][0]
    assert owner == {"apiVersion": "v1", "kind": "Node", "name": "edge-1", "uid": "node-uid"}


async def test_a_vanished_node_is_registered_again(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        await edge.until(lambda: LEASE in edge.meta.stored and NODE in edge.meta.stored)
        edge.meta.drop(*NODE)
        edge.meta.drop(*LEASE)
        await edge.until(lambda: NODE in edge.meta.stored and LEASE in edge.meta.stored, 60)
        assert len(edge.meta.written("register_node")) == 2


async def test_a_stale_lease_is_read_again(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        await edge.until(lambda: LEASE in edge.meta.stored)
        edge.meta.put("lease", edge.meta.stored[LEASE])
        before = edge.meta.stored[LEASE]["spec"]["renewTime"]
        await edge.until(lambda: edge.meta.stored[LEASE]["spec"]["renewTime"] > before, 25)


async def test_offline_is_calm_and_back_online_is_immediate(
    edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    edge.meta.cut()
    async with edge.running():
        await trio.sleep(600)
        assert edge.meta.calls == []
        edge.meta.connect()
        await edge.until(lambda: LEASE in edge.meta.stored and NODE in edge.meta.stored, 2)
        edge.meta.cut()
        await trio.sleep(100)
        patches, renewals = len(edge.meta.written("patch_node_status")), len(edge.meta.written("update_lease"))
        edge.meta.connect()
        await edge.until(
            lambda: len(edge.meta.written("patch_node_status")) > patches and len(edge.meta.written("update_lease")) > renewals, 2
        )
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_the_clouds_unknown_is_corrected_at_once(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        await trio.sleep(30)
        node = edge.meta.stored[NODE]
        for entry in node["status"]["conditions"]:
            entry |= {"status": "Unknown", "reason": "NodeStatusUnknown"}
        edge.meta.put("node", node)
        await edge.until(lambda: conditions(edge)["Ready"]["status"] == "True", 2)


async def test_a_refusal_is_said_once(edge: Edge, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    edge.meta.failures["register_node"] = Refused("nodes is forbidden", code=403, reason="Forbidden")
    async with edge.running():
        await trio.sleep(300)
        told = [record for record in caplog.records if "forbidden" in record.getMessage()]
        assert len(told) == 1
        edge.meta.failures.clear()
        await edge.until(lambda: NODE in edge.meta.stored, 15)


async def test_a_lease_whose_answer_was_lost_is_sent_anew_in_time(edge: Edge, virtual_clock: MockClock) -> None:
    async with edge.running():
        await edge.until(lambda: edge.meta.written("create_lease"))
        update, renewals = edge.meta.update_lease, []

        async def lose_one(lease: Object) -> Object:
            renewals.append(trio.current_time())
            if len(renewals) == 1:
                await trio.sleep_forever()
            return await update(lease)

        edge.meta.update_lease = lose_one  # type: ignore[method-assign]
        await edge.until(lambda: len(renewals) >= 2, 200)
        assert renewals[1] - renewals[0] < 30


async def test_a_node_that_may_not_be_registered_is_missed_quietly(
    tmp_path: Path, virtual_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    edge = memory_edge(tmp_path, register_node=False)
    async with edge.running():
        await trio.sleep(300)
    assert not edge.meta.written("register_node")
    assert caplog.text.count("WARNING") == 1
    assert "the cloud does not take the node" in caplog.text
