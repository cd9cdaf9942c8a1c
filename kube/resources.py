"""The kinds of objects that the project knows, and where the API serves them.

Names, short names and verbs as a Kubernetes 1.32 API server gives them in discovery.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One resource type, as discovery describes it. ``group`` is "" for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """What objects carry as ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def qualified(self) -> str:
        """As error messages name it: ``pods``, ``leases.coordination.k8s.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """As validation messages name it: ``Pod``, ``Lease.coordination.k8s.io``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object or of its subresource; "" as namespace means all of them.

        Raises ValueError for one object of a namespaced type without a namespace, or a subresource without a name.
        """
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.plural} {name!r}: a namespace is needed")
        if subresource and not name:
            raise ValueError(f"{self.plural}/{subresource}: a name is needed")
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(quote(subresource, safe="/"))
        return "/" + "/".join(parts)


PODS: Final = Resource(
    "", "v1", "Pod", "pods", "pod", True, ("po",), ("all",), subresources=("status", "binding", "eviction", "log", "exec")
)
NODES: Final = Resource("", "v1", "Node", "nodes", "node", False, ("no",), subresources=("status",))
NAMESPACES: Final = Resource(
    "",
    "v1",
    "Namespace",
    "namespaces",
    "namespace",
    False,
    ("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=("status", "finalize"),
)
CONFIG_MAPS: Final = Resource("", "v1", "ConfigMap", "configmaps", "configmap", True, ("cm",))
SECRETS: Final = Resource("", "v1", "Secret", "secrets", "secret", True)
EVENTS: Final = Resource("", "v1", "Event", "events", "event", True, ("ev",))
SERVICE_ACCOUNTS: Final = Resource(
    "", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", True, ("sa",), subresources=("token",)
)
LEASES: Final = Resource("coordination.k8s.io", "v1", "Lease", "leases", "lease", True)
DEPLOYMENTS: Final = Resource(
    "apps", "v1", "Deployment", "deployments", "deployment", True, ("deploy",), ("all",), subresources=("scale", "status")
)
REPLICA_SETS: Final = Resource(
    "apps", "v1", "ReplicaSet", "replicasets", "replicaset", True, ("rs",), ("all",), subresources=("scale", "status")
)
DAEMON_SETS: Final = Resource(
    "apps", "v1", "DaemonSet", "daemonsets", "daemonset", True, ("ds",), ("all",), subresources=("status",)
)
CONTROLLER_REVISIONS: Final = Resource("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision", True)
OBJECT_SYNCS: Final = Resource(
    "reliablesyncs.kubeedge.io", "v1alpha1", "ObjectSync", "objectsyncs", "objectsync", True, subresources=("status",)
)
CLUSTER_OBJECT_SYNCS: Final = Resource(
    "reliablesyncs.kubeedge.io",
    "v1alpha1",
    "ClusterObjectSync",
    "clusterobjectsyncs",
    "clusterobjectsync",
    False,
    subresources=("status",),
)
CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    subresources=("status",),
)

DELETE_OPTIONS: Final = Resource("meta.k8s.io", "v1", "DeleteOptions", "deleteoptions", "deleteoptions", False, verbs=())
TOKEN_REQUESTS: Final = Resource("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", "tokenrequest", True, verbs=())
SCALES: Final = Resource("autoscaling", "v1", "Scale", "scales", "scale", True, verbs=())
"""Not served by themselves: their names stand in messages."""

ALL: Final = (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    LEASES,
    OBJECT_SYNCS,
    CLUSTER_OBJECT_SYNCS,
    CUSTOM_RESOURCE_DEFINITIONS,
)


def by_kind(api_version: str, kind: str, *, among: Iterable[Resource] = ALL) -> Resource | None:
    """The resource whose objects carry these two fields, or None."""
    return next((found for found in among if found.api_version == api_version and found.kind == kind), None)


def by_plural(group: str, plural: str, *, among: Iterable[Resource] = ALL) -> Resource | None:
    """The resource of that name in that group ("" is the core group), or None."""
    return next((found for found in among if found.group == group and found.plural == plural), None)
