"""Which kinds the embedded API serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloudcore.apiserver.data_kinds import ConfigMapKind, SecretKind
from cloudcore.apiserver.kinds import CustomKind, EventKind, Kind, LeaseKind, NamespaceKind
from cloudcore.apiserver.node_kind import NodeKind
from cloudcore.apiserver.pod_kind import PodKind
from kube import resources
from kube.resources import Resource

_BEHAVIOUR: Final[dict[str, type[Kind]]] = {
    "pods": PodKind,
    "nodes": NodeKind,
    "namespaces": NamespaceKind,
    "configmaps": ConfigMapKind,
    "secrets": SecretKind,
    "events": EventKind,
    "leases.coordination.k8s.io": LeaseKind,
    "objectsyncs.reliablesyncs.kubeedge.io": CustomKind,
    "clusterobjectsyncs.reliablesyncs.kubeedge.io": CustomKind,
}


class Registry:
    """The kinds by their place in the API."""

    def __init__(self) -> None:
        self._kinds = {
            (resource.group, resource.version, resource.plural): _BEHAVIOUR.get(resource.qualified, Kind)(resource)
            for resource in resources.ALL
        }

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def of(self, resource: Resource) -> Kind:
        """The kind of a resource that is served for certain."""
        return self._kinds[(resource.group, resource.version, resource.plural)]

    @property
    def group_versions(self) -> list[tuple[str, str]]:
        """(group, version), the core group first."""
        return sorted({(group, version) for group, version, _ in self._kinds})
