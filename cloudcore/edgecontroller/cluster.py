"""The objects of the cluster that matter to edges, in memory, and who needs which."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from beehive.resource import Resource as Path
from beehive.supervise import supervise
from cloudcore.edgecontroller import compare
from cloudcore.edgecontroller.location import CLUSTER, CONFIG_MAP, NODE, POD, SECRET, Location, node_of, pod_path
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.reflector import Reflector
from kube.resources import CONFIG_MAPS, NODES, PODS, SECRETS
from kube.status import NotFound

EDGE_LABEL: Final = "node-role.kubernetes.io/edge"
DEADLINE: Final = 10.0
"""Seconds for one look past memory."""
CATCHING_UP: Final = 0.05
"""Seconds between two looks at how far the watch has come."""
WATCHED: Final = {POD: PODS, NODE: NODES, CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}


def is_edge(node: Object | None) -> bool:
    """A node gets pods from here when it carries the label with an empty value (KubeEdge 1.23)."""
    return node is not None and objects.labels(node).get(EDGE_LABEL) == ""


class Cluster:
    """Lists and watches; reads are from memory."""

    def __init__(self, client: Client, changed: Callable[[str, Path, Object | None], None]) -> None:
        """changed(node, path, last): look again; ``last`` is the newest version of an object that was just deleted."""
        self.location = Location()
        self._client = client
        self._tell = changed
        self._reflectors = {
            type_: Reflector(client, resource, on_change=self._handler(type_)) for type_, resource in WATCHED.items()
        }

    def _handler(self, type_: str) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            some = new if new is not None else old
            if some is not None:
                self._changed(type_, compare.path_of(type_, some), old, new)

        return changed

    def _changed(self, type_: str, path: Path, old: Object | None, new: Object | None) -> None:
        last = old if new is None else None
        if type_ == POD:
            for node, touched in self.location.update(path, new):
                self._tell(node, touched, last if touched == path else None)
        elif type_ == NODE:
            self._tell(path.name, path, last)
            if is_edge(old) != is_edge(new):
                for touched in self.location.paths(path.name):
                    self._tell(path.name, touched, None)
        else:
            for node in self.location.nodes(path):
                self._tell(node, path, last)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lists and watches; reports started when everything has been listed once."""
        async with trio.open_nursery() as nursery:
            for reflector in self._reflectors.values():
                nursery.start_soon(supervise, f"watch of {reflector.resource.plural}", reflector.run)
            for reflector in self._reflectors.values():
                await reflector.synced.wait()
            task_status.started()

    def get(self, path: Path) -> Object | None:
        """The object as last heard of."""
        space = "" if path.namespace == CLUSTER else path.namespace
        reflector = self._reflectors.get(path.type)
        return reflector.store.get((space, path.name)) if reflector else None

    async def at_this_moment(self, path: Path) -> Object | None:
        """The object from the API, whatever is in memory; None when it is not there. Raises ApiError, trio.TooSlowError."""
        space = "" if path.namespace == CLUSTER else path.namespace
        with trio.fail_after(DEADLINE):
            try:
                return await self._client.get(WATCHED[path.type], path.name, namespace=space)
            except NotFound:
                return None

    async def caught_up(self, node: str) -> None:
        """Returns when memory is no older, as to the pods of this node, than the moment of the call: another cloudcore may have
        served the node until now, and have heard more. Raises ApiError, trio.TooSlowError."""
        with trio.fail_after(DEADLINE):
            listing = await self._client.list(PODS, field_selector=f"spec.nodeName={node}", limit=0)
            pods = self._reflectors[POD]
            wanted = {pod_path(pod): (objects.uid(pod), objects.resource_version(pod)) for pod in listing.items}
            behind = partial(objects.is_older, than=listing.resource_version)
            # What moves the watch on need not be about a pod of this node, so there is no event to wait for.
            while behind(pods.resource_version or "0") and wanted != self._bound(node):  # noqa: ASYNC110
                await trio.sleep(CATCHING_UP)

    def _bound(self, node: str) -> dict[Path, tuple[str, str]]:
        """By path: uid and version of the pods bound to ``node``."""
        found = ((path, self.get(path)) for path in self.location.pods(node))
        return {path: (objects.uid(pod), objects.resource_version(pod)) for path, pod in found if pod is not None}

    def nodes(self) -> set[str]:
        return {name for _, name in self._reflectors[NODE].store}

    def wanted(self, node: str, path: Path) -> Object | None:
        """The object if ``node`` should have it."""
        obj = self.get(path)
        if obj is None or path.type == NODE:
            return obj if path.name == node else None
        if path.type == POD:
            return obj if node_of(obj) == node else None
        return obj if self.location.holds(node, path) else None

    def paths(self, node: str) -> set[Path]:
        """Everything that ``node`` may have to hear of."""
        return self.location.paths(node) | {Path(CLUSTER, NODE, node)}
