"""The node's lease: the heartbeat that keeps the node Ready. Pure; node_agent.py sends it."""

from __future__ import annotations

from typing import Final

from edgecore.edged.settings import EdgedSettings
from kube import objects
from kube.objects import Object

NAMESPACE: Final = "kube-node-lease"
RENEW_FRACTION: Final = 0.25
"""Of the lease's duration (Kubernetes 1.32: pkg/kubelet/kubelet.go)."""

GIVE_UP_FRACTION: Final = 0.5
"""Of the lease's duration: so long a renewal may wait for its answer."""


def new_lease(settings: EdgedSettings, node: Object | None, now: float) -> Object:
    """A lease held by this node, owned by its Node object if that is known."""
    metadata: Object = {"name": settings.node_name, "namespace": NAMESPACE}
    if node is not None and objects.uid(node):
        owner = {"apiVersion": "v1", "kind": "Node", "name": settings.node_name, "uid": objects.uid(node)}
        metadata["ownerReferences"] = [owner]
    spec = {
        "holderIdentity": settings.node_name,
        "leaseDurationSeconds": settings.lease_duration,
        "renewTime": objects.micro_timestamp(now),
    }
    return {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "spec": spec}


def renewed(known: Object, settings: EdgedSettings, node: Object | None, now: float) -> Object:
    """The known lease (its resource version is the precondition) with a new time; an owner that vanished is replaced."""
    fresh = new_lease(settings, node, now)
    metadata = dict(objects.metadata(known))
    metadata.pop("managedFields", None)
    if "ownerReferences" in fresh["metadata"]:
        metadata["ownerReferences"] = fresh["metadata"]["ownerReferences"]
    return {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": metadata,
        "spec": objects.spec(known) | fresh["spec"],
    }
