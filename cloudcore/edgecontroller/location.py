"""Which ConfigMap and which Secret belongs on which node: those that a pod of the node refers to, and no longer.

KubeEdge 1.23 (cloud/pkg/edgecontroller/manager/location.go) ignores init containers and never forgets; this one counts both.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from beehive.resource import Resource
from kube import objects
from kube.objects import Object
from kube.references import pod_references

POD: Final = "pod"
NODE: Final = "node"
CONFIG_MAP: Final = "configmap"
SECRET: Final = "secret"  # noqa: S105 - a word of the resource path
CLUSTER: Final = "null"


def pod_path(pod: Object) -> Resource:
    return Resource(objects.namespace(pod), POD, objects.name(pod))


def node_of(pod: Object) -> str:
    """The node that a pod is bound to; "" while it is not."""
    found = objects.spec(pod).get("nodeName")
    return found if isinstance(found, str) else ""


def referenced(pod: Object) -> frozenset[Resource]:
    """The ConfigMaps and Secrets that a pod names, as resource paths."""
    found = pod_references(pod)
    space = objects.namespace(pod)
    return frozenset(Resource(space, CONFIG_MAP, name) for name in found.config_maps) | frozenset(
        Resource(space, SECRET, name) for name in found.secrets
    )


class Location:
    """Counts references per node. Fed with every change of every pod."""

    def __init__(self) -> None:
        self._pods: dict[Resource, tuple[str, frozenset[Resource]]] = {}
        self._users: dict[Resource, dict[str, set[Resource]]] = defaultdict(dict)
        self._of_node: dict[str, set[Resource]] = defaultdict(set)

    def update(self, path: Resource, pod: Object | None) -> set[tuple[str, Resource]]:
        """Takes the newest version of a pod (None: deleted).

        Returns the (node, path) pairs whose desired state may be another now, the pod itself included.
        """
        node = node_of(pod) if pod is not None else ""
        now = referenced(pod) if pod is not None and node else frozenset[Resource]()
        before, was = self._pods.pop(path, ("", frozenset[Resource]()))
        touched = {(name, path) for name in (before, node) if name}
        if node:
            self._pods[path] = (node, now)
            self._of_node[node].add(path)
        if before and before != node:
            self._forget_pod(before, path)
        gone = was if before != node else was - now
        touched.update((before, ref) for ref in gone if self._release(before, ref, path))
        new = now if before != node else now - was
        touched.update((node, ref) for ref in new if self._hold(node, ref, path))
        return touched

    def _forget_pod(self, node: str, path: Resource) -> None:
        pods = self._of_node[node]
        pods.discard(path)
        if not pods:
            del self._of_node[node]

    def _hold(self, node: str, ref: Resource, pod: Resource) -> bool:
        holders = self._users[ref].setdefault(node, set())
        holders.add(pod)
        return len(holders) == 1

    def _release(self, node: str, ref: Resource, pod: Resource) -> bool:
        nodes = self._users[ref]
        holders = nodes.get(node, set())
        holders.discard(pod)
        if holders:
            return False
        nodes.pop(node, None)
        if not nodes:
            del self._users[ref]
        return True

    def nodes(self, ref: Resource) -> list[str]:
        """The nodes on which some pod refers to ``ref``."""
        return list(self._users.get(ref, ()))

    def holds(self, node: str, ref: Resource) -> bool:
        """Whether a pod of ``node`` refers to ``ref``."""
        return node in self._users.get(ref, ())

    def pods(self, node: str) -> set[Resource]:
        """The pods bound to ``node``."""
        return set(self._of_node.get(node, ()))

    def paths(self, node: str) -> set[Resource]:
        """All that ``node`` should have besides itself: its pods and what they refer to."""
        pods = self.pods(node)
        out = set(pods)
        for pod in pods:
            out |= self._pods[pod][1]
        return out
