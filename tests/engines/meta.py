"""A MetaClient whose cloud is a dictionary: what edged's tests talk to.

It behaves as the true one does: reads come from the store, also offline; writes raise Offline without the link; the results
of patches are stored; every change is told through ``notify``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import count
from typing import Any

import trio

from edgecore.metamanager.client import MetaError, NotFound, ObjectKey, Offline, Refused
from kube import objects
from kube.objects import Object
from kube.patch_errors import MalformedPatch
from kube.strategicpatch import strategic_merge
from kube.strategies import PLAIN, strategy_for


class MemoryMeta:
    """What a test may set or read.

    online: use ``connect`` and ``cut``. calls: (method, argument) of every write. failures: method name -> error of its next
    calls. stored: objects by (type, namespace, name): what the edge has. cloud_only: what must be fetched, by the same key.
    """

    def __init__(self, node: str = "edge-1") -> None:
        self.node_name = node
        self.online = True
        self.stored: dict[tuple[str, str, str], Object] = {}
        self.cloud_only: dict[tuple[str, str, str], Object] = {}
        self.calls: list[tuple[str, Any]] = []
        self.failures: dict[str, Exception] = {}
        self.listeners: list[Callable[[ObjectKey], None]] = []
        self.links: list[Callable[[bool], None]] = []
        self.statuses: list[Object] = []
        self.changed = trio.Event()
        self._versions = count(100)

    # what tests use

    def put(self, kind: str, obj: Object) -> Object:
        """The cloud sent this object."""
        obj = copy.deepcopy(obj)
        obj.setdefault("metadata", {})["resourceVersion"] = str(next(self._versions))
        key = (kind, objects.namespace(obj), objects.name(obj))
        self.stored[key] = obj
        self._tell(key)
        return obj

    def drop(self, kind: str, namespace: str, name: str) -> None:
        """The cloud said that this object is gone."""
        self.stored.pop((kind, namespace, name), None)
        self._tell((kind, namespace, name))

    def delete(self, namespace: str, name: str, grace: int = 30) -> None:
        """Somebody deleted the pod: it gets a deletionTimestamp."""
        pod = copy.deepcopy(self.stored["pod", namespace, name])
        pod["metadata"] |= {"deletionTimestamp": objects.timestamp(1.8e9), "deletionGracePeriodSeconds": grace}
        self.put("pod", pod)

    def seen(self, name: str, namespace: str = "default") -> Object:
        """The status that the cloud has of this pod."""
        return objects.status(self.stored.get(("pod", namespace, name), {}))

    def cut(self) -> None:
        self.online = False
        for link in self.links:
            link(False)

    def connect(self) -> None:
        self.online = True
        for link in self.links:
            link(True)

    def written(self, method: str) -> list[Any]:
        return [argument for called, argument in self.calls if called == method]

    # the MetaClient protocol

    @property
    def connected(self) -> bool:
        return self.online

    async def pods(self) -> list[Object]:
        await self._enter("pods")
        return [copy.deepcopy(obj) for key, obj in self.stored.items() if key[0] == "pod"]

    async def pod(self, namespace: str, name: str) -> Object | None:
        await self._enter("pod")
        return copy.deepcopy(self.stored.get(("pod", namespace, name)))

    async def node(self) -> Object | None:
        await self._enter("node")
        return copy.deepcopy(self.stored.get(("node", "", self.node_name)))

    async def config_map(self, namespace: str, name: str) -> Object:
        return await self._fetch("configmap", namespace, name)

    async def secret(self, namespace: str, name: str) -> Object:
        return await self._fetch("secret", namespace, name)

    async def service_account_token(self, namespace: str, account: str, request: Object) -> Object:
        await self._write("service_account_token", request)
        return request | {"status": {"token": f"token-of-{account}", "expirationTimestamp": "2030-01-01T00:00:00Z"}}

    async def register_node(self, node: Object) -> Object:
        await self._write("register_node", node)
        if ("node", "", self.node_name) in self.stored:
            raise Refused(f'nodes "{self.node_name}" already exists', code=409, reason="AlreadyExists")
        return self.put("node", node | {"metadata": node["metadata"] | {"uid": "node-uid"}})

    async def patch_node_status(self, patch: Object) -> Object:
        await self._write("patch_node_status", patch)
        return self._patch(("node", "", self.node_name), patch)

    async def patch_pod_status(self, namespace: str, name: str, patch: Object) -> Object:
        await self._write("patch_pod_status", (name, patch))
        known = self.stored.get(("pod", namespace, name))
        if known is not None and objects.uid(known) != patch["metadata"]["uid"]:
            raise Refused("the uid in the precondition does not match", code=409, reason="Conflict")
        result = self._patch(("pod", namespace, name), patch)
        self.statuses.append(objects.status(result))
        return result

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        await self._write("delete_pod", (name, uid))
        known = self.stored.get(("pod", namespace, name))
        if known is not None and objects.uid(known) == uid:
            self.drop("pod", namespace, name)

    async def lease(self, name: str) -> Object:
        await self._write("lease", name)
        return self._need("lease", "kube-node-lease", name)

    async def create_lease(self, lease: Object) -> Object:
        await self._write("create_lease", lease)
        return self.put("lease", lease)

    async def update_lease(self, lease: Object) -> Object:
        await self._write("update_lease", lease)
        known = self._need("lease", "kube-node-lease", objects.name(lease))
        if objects.resource_version(known) != objects.resource_version(lease):
            raise Refused("the object has been modified", code=409, reason="Conflict")
        return self.put("lease", lease)

    async def report_event(self, event: Object) -> None:
        await self._enter("report_event")
        self.calls.append(("report_event", event))

    # inside

    def _tell(self, key: tuple[str, str, str]) -> None:
        self.changed.set()
        self.changed = trio.Event()
        for listener in self.listeners:
            listener(ObjectKey(*key))

    async def _enter(self, method: str) -> None:
        await trio.lowlevel.checkpoint()
        if (error := self.failures.get(method)) is not None:
            raise error

    async def _write(self, method: str, argument: Any) -> None:
        await self._enter(method)
        if not self.online:
            raise Offline("there is no link to the cloud")
        self.calls.append((method, copy.deepcopy(argument)))

    async def _fetch(self, kind: str, namespace: str, name: str) -> Object:
        await self._enter(kind)
        key = (kind, namespace, name)
        if key not in self.stored:
            if not self.online:
                raise Offline("there is no link to the cloud")
            if key not in self.cloud_only:
                raise NotFound(f'{kind}s "{name}" not found')
            self.stored[key] = self.cloud_only[key]
        return copy.deepcopy(self.stored[key])

    def _need(self, kind: str, namespace: str, name: str) -> Object:
        if (kind, namespace, name) not in self.stored:
            raise NotFound(f'{kind}s "{name}" not found')
        return copy.deepcopy(self.stored[kind, namespace, name])

    def _patch(self, key: tuple[str, str, str], patch: Object) -> Object:
        if key not in self.stored:
            raise Refused(f'{key[0]}s "{key[2]}" not found', code=404, reason="NotFound")
        strategy = strategy_for("v1", "Pod" if key[0] == "pod" else "Node") or PLAIN
        try:
            merged = strategic_merge(self.stored[key], patch, strategy)
        except MalformedPatch as error:
            raise Refused(str(error), code=422, reason="Invalid") from error
        if not isinstance(merged, dict):
            raise MetaError("the patch makes no object")
        return copy.deepcopy(self.put(key[0], merged))
