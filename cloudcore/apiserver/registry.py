"""Which kinds the embedded API serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from cloudcore.apiserver.apps.kinds import ControllerRevisionKind, DaemonSetKind, DeploymentKind, ReplicaSetKind
from cloudcore.apiserver.crd.definition_kind import DefinitionKind
from cloudcore.apiserver.data_kinds import ConfigMapKind, SecretKind, ServiceAccountKind
from cloudcore.apiserver.kinds import EventKind, Kind, LeaseKind, NamespaceKind
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
    "serviceaccounts": ServiceAccountKind,
    "events": EventKind,
    "controllerrevisions.apps": ControllerRevisionKind,
    "daemonsets.apps": DaemonSetKind,
    "deployments.apps": DeploymentKind,
    "replicasets.apps": ReplicaSetKind,
    "leases.coordination.k8s.io": LeaseKind,
    "customresourcedefinitions.apiextensions.k8s.io": DefinitionKind,
}
_DEFINED: Final = frozenset({resources.OBJECT_SYNCS, resources.CLUSTER_OBJECT_SYNCS})
"""Resources that are known by name, and served because their definitions are in cloudcore/crds."""


_Place: TypeAlias = tuple[str, str, str]
_RELEASED: Final = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v2beta1, v1beta2, v1alpha1, then all else by name.

    Kubernetes 1.32: apimachinery/pkg/version/helpers.go.
    """
    found = _RELEASED.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (stage, -int(found[1]), -int(found[3] or 0), "")


class Registry:
    """The kinds by their place in the API: those that are built in, and those that definitions add and take away."""

    def __init__(self) -> None:
        self._built_in = {_place(kind): kind for kind in _built_in()}
        self._added: dict[str, dict[_Place, Kind]] = {}
        self.generation = 0
        """Grows with every change, so that what is made of the kinds may be kept until then."""

    def __iter__(self) -> Iterator[Kind]:
        """Every version of every kind."""
        yield from list(self._built_in.values())
        for kinds in list(self._added.values()):
            yield from kinds.values()

    def stored(self) -> list[Kind]:
        """Each kind of stored object once."""
        return list({kind.key: kind for kind in self}.values())

    def install(self, key: str, kinds: Iterable[Kind]) -> None:
        """Serves the versions of one defined kind, ``key`` in the store, instead of those that were served until now."""
        self._retire(key)
        self._added[key] = {_place(kind): kind for kind in kinds}
        self.generation += 1

    def remove(self, key: str) -> None:
        """Serves a defined kind no longer."""
        self._retire(key)
        if self._added.pop(key, None) is not None:
            self.generation += 1

    def _retire(self, key: str) -> None:
        for kind in self._added.get(key, {}).values():
            kind.retire()

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        place = (group, version, plural)
        if (kind := self._built_in.get(place)) is not None:
            return kind
        return self._added.get(f"{plural}.{group}", {}).get(place)

    def of(self, resource: Resource) -> Kind:
        """The kind of a built-in resource."""
        return self._built_in[(resource.group, resource.version, resource.plural)]

    @property
    def group_versions(self) -> list[tuple[str, str]]:
        """(group, version), the core group first; the versions of one group stand together, the preferred one first."""
        found = {(kind.resource.group, kind.resource.version) for kind in self}
        return sorted(found, key=lambda place: (place[0], version_order(place[1])))


def _built_in() -> Iterator[Kind]:
    for resource in resources.ALL:
        if resource not in _DEFINED:
            yield _BEHAVIOUR.get(resource.qualified, Kind)(resource)


def _place(kind: Kind) -> _Place:
    return kind.resource.group, kind.resource.version, kind.resource.plural
