"""Nodes that fall silent, come back, or are deleted. Kubernetes 1.32: pkg/controller/nodelifecycle and podgc.

Unlike Kubernetes, pods on a silent node are neither deleted nor marked: an edge without its cloud goes on running them.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from cloudcore.apiserver import controller
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.events import Recorder
from cloudcore.apiserver.kinds import Kind
from kube.objects import Object, is_deleting, metadata, name, namespace, resource_version, spec, status, timestamp, uid
from kube.resources import LEASES, NODES, PODS
from kube.status import ApiError

log = logging.getLogger(__name__)

SILENCE: Final = 40.0
"""Seconds without a renewed lease or a new status after which a node counts as unreachable."""
QUARANTINE: Final = 40.0
"""Seconds for which a deleted node may come back before its pods are removed."""
LEASE_NAMESPACE: Final = "kube-node-lease"
_EVERY: Final = 5.0
_GAP: Final = 0.5
"""A look goes over every node and pod, and nothing here is urgent."""
_NOT_READY: Final = "node.kubernetes.io/not-ready"
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_CONDITIONS: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class NodeLifecycle:
    """Silence is measured by our own clock, from what we see change: the clocks of edges are not to be trusted."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._recorder = Recorder(api, "node-controller")
        self._heard: dict[str, tuple[str, float]] = {}
        self._missing: dict[str, float] = {}

    async def run(self) -> None:
        # Leases are looked at every few seconds only: with many nodes one of them changes all the time.
        await controller.run(self._api.store, (NODES.qualified, PODS.qualified), self.reconcile, every=_EVERY, gap=_GAP)

    async def reconcile(self) -> None:
        """One look at every node and at the pods of nodes that are gone."""
        nodes = [entry.obj for entry in self._api.store.entries(NODES.qualified)]
        for node in nodes:
            try:
                await self._judge(node, silent=self._silent(node))
            except ApiError as error:
                log.debug("node %s changed meanwhile: %s", name(node), error)
        names = {name(node) for node in nodes}
        self._heard = {node: heard for node, heard in self._heard.items() if node in names}
        await self._remove_leases({uid(node) for node in nodes})
        await self._remove_pods(names)

    def _silent(self, node: Object) -> bool:
        lease = self._api.store.get(LEASES.qualified, LEASE_NAMESPACE, name(node))
        # Marking a node as unknown leaves these times alone, so that it does not look like a sign of life.
        beats = [str(c.get("lastHeartbeatTime")) for c in status(node).get("conditions", [])]
        sign = f"{uid(node)} {resource_version(lease.obj) if lease else ''} {' '.join(beats)}"
        last = self._heard.get(name(node))
        if last is None or last[0] != sign:
            self._heard[name(node)] = (sign, trio.current_time())
            return False
        return trio.current_time() - last[1] > SILENCE

    async def _judge(self, node: Object, *, silent: bool) -> None:
        ready: Object = next((c for c in status(node).get("conditions", []) if c.get("type") == "Ready"), {})
        kind = self._api.registry.of(NODES)
        if silent and ready.get("status") != "Unknown":
            log.warning("node %s has been silent for more than %d s: NotReady", name(node), SILENCE)
            await self._api.update(kind, "", name(node), _mark_unknown, subresource="status")
            message = f"Node {name(node)} status is now: NodeNotReady"
            await self._recorder.record(node, kind="Node", type_="Normal", reason="NodeNotReady", message=message)
        state = "Unknown" if silent else ready.get("status", "Unknown")
        wanted = {"True": None, "False": _NOT_READY}.get(state, _UNREACHABLE if ready else _NOT_READY)
        taints = spec(node).get("taints") or []
        if {t.get("key") for t in taints if t.get("key") in (_NOT_READY, _UNREACHABLE)} != ({wanted} if wanted else set()):
            await self._api.update(kind, "", name(node), lambda present: _taint(present, wanted))

    async def _remove_leases(self, uids: set[str]) -> None:
        kind = self._api.registry.of(LEASES)
        for entry in self._api.store.entries(kind.key, LEASE_NAMESPACE):
            owners = [owner for owner in metadata(entry.obj).get("ownerReferences", []) if owner.get("kind") == "Node"]
            if owners and not any(owner.get("uid") in uids for owner in owners):
                await self._remove(kind, entry.obj)

    async def _remove_pods(self, nodes: set[str]) -> None:
        kind, now = self._api.registry.of(PODS), trio.current_time()
        missing = {}
        for entry in self._api.store.entries(kind.key):
            pod, node = entry.obj, spec(entry.obj).get("nodeName", "")
            if not node or node in nodes:
                continue
            since = missing[node] = self._missing.get(node, now)
            started = status(pod).get("phase") != "Pending"
            if is_deleting(pod) or (started and now - since > QUARANTINE):
                log.info("pod %s/%s: its node %s does not exist any more; removed", namespace(pod), name(pod), node)
                await self._remove(kind, pod)
        self._missing = missing

    async def _remove(self, kind: Kind, obj: Object) -> None:
        try:
            await self._api.delete(kind, namespace(obj), name(obj), grace_seconds=0, uid=uid(obj))
        except ApiError as error:
            log.debug("%s %s: %s", kind.resource.kind, name(obj), error)


def _mark_unknown(node: Object) -> Object:
    now = timestamp()
    conditions = node.setdefault("status", {}).setdefault("conditions", [])
    present = {condition.get("type") for condition in conditions}
    if "Ready" not in present:
        conditions.append({"type": "Ready", "lastHeartbeatTime": None})
    for condition in conditions:
        if condition.get("type") in _CONDITIONS:
            condition["status"] = "Unknown"
            condition["reason"] = "NodeStatusUnknown"
            condition["message"] = "Kubelet stopped posting node status."
            condition["lastTransitionTime"] = now
    return node


def _taint(node: Object, wanted: str | None) -> Object:
    taints = [taint for taint in spec(node).get("taints") or [] if taint.get("key") not in (_NOT_READY, _UNREACHABLE)]
    if wanted:
        taints.append({"key": wanted, "effect": "NoSchedule"})
        taints.append({"key": wanted, "effect": "NoExecute", "timeAdded": timestamp()})
    block = node.setdefault("spec", {})
    if taints:
        block["taints"] = taints
    else:
        block.pop("taints", None)
    return node
