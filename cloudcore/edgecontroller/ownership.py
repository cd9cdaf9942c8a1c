"""Rule R6: what a node may ask for and change. Each check returns quietly or raises a Forbidden ApiError that says why.

The rules are those of the Kubernetes Node authorizer and NodeRestriction, as far as the nodes' requests reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from beehive.resource import Resource as Path
from cloudcore.edgecontroller.location import node_of, referenced
from kube import objects
from kube.objects import Object
from kube.resources import Resource
from kube.status import ApiError, forbidden

LEASE_NAMESPACE: Final = "kube-node-lease"
RESTRICTED: Final = "node-restriction.kubernetes.io"
MIRROR: Final = "kubernetes.io/config.mirror"


def refuse(node: str, resource: Resource, name: str, why: str) -> ApiError:
    return forbidden(resource, name, f"node {node!r} {why}")


def own_node(node: str, resource: Resource, name: str) -> None:
    if name != node:
        raise refuse(node, resource, name, "may only access the object that carries its own name")


def own_lease(node: str, resource: Resource, path: Path) -> None:
    if path.namespace != LEASE_NAMESPACE or path.name != node:
        raise refuse(node, resource, path.name, f"may only access its own lease, {LEASE_NAMESPACE}/{node}")


def own_pod(node: str, resource: Resource, pod: Object) -> None:
    if node_of(pod) != node:
        raise refuse(node, resource, objects.name(pod), "may only access pods that are bound to it")


def mirror_pod(node: str, resource: Resource, pod: Object, path: Path) -> None:
    """A node may create only mirrors of its static pods, bound to itself, which name nothing secret."""
    own_pod(node, resource, pod)
    if (objects.namespace(pod) or path.namespace, objects.name(pod)) != (path.namespace, path.name):
        raise refuse(node, resource, path.name, "sent a pod of another name than the message says")
    if not is_mirror(pod):
        raise refuse(node, resource, path.name, f"may only create mirror pods, which have the annotation {MIRROR}")
    if why := _refers_to(pod):
        raise refuse(node, resource, path.name, f"may not create pods that refer to {why}")


def is_mirror(pod: Object) -> bool:
    """A mirror was made by its node: nothing that it says gives its node a right."""
    return MIRROR in objects.annotations(pod)


def _refers_to(pod: Object) -> str:
    """What a mirror must not name, because the right to read it would follow; "" when there is none of it.

    Kubernetes: plugin/pkg/admission/noderestriction, admitPodCreate, and plugin/pkg/admission/serviceaccount.
    """
    spec = objects.spec(pod)
    if referenced(pod):
        return "Secrets or ConfigMaps"
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        return "service accounts"
    if spec.get("resourceClaims"):
        return "resource claims"
    volumes = spec.get("volumes")
    found = (_volume_refers_to(volume) for volume in volumes) if isinstance(volumes, list) else iter(())
    return next((why for why in found if why), "")


def _volume_refers_to(volume: object) -> str:
    if not isinstance(volume, dict):
        return "volumes that are none"
    if volume.get("persistentVolumeClaim") or volume.get("ephemeral"):
        return "persistent volume claims"
    projected = volume.get("projected")
    sources = projected.get("sources") if isinstance(projected, dict) else None
    found = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    return "service account tokens" if any(source.get("serviceAccountToken") for source in found) else ""


def without_restricted(labels: dict[str, str]) -> dict[str, str]:
    """Labels that isolate workloads from nodes are never set by a node itself."""
    return {key: value for key, value in labels.items() if not _restricted(key)}


def _restricted(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    return domain == RESTRICTED or domain.endswith("." + RESTRICTED)


def token_request(
    node: str, resource: Resource, path: Path, request: Object, pod_of: Callable[[str, str], Object | None]
) -> None:
    """A token is for a pod of the node that runs under that service account; it must be bound to that pod."""
    bound = objects.spec(request).get("boundObjectRef")
    if not isinstance(bound, dict) or bound.get("kind") != "Pod":
        raise refuse(node, resource, path.name, "may only request tokens that are bound to a pod")
    pod = pod_of(path.namespace, str(bound.get("name")))
    if pod is None or node_of(pod) != node or objects.uid(pod) != bound.get("uid"):
        raise refuse(
            node, resource, path.name, f"requested a token bound to pod {bound.get('name')!r}, which is not one of its own"
        )
    if is_mirror(pod) or (objects.spec(pod).get("serviceAccountName") or "default") != path.name:
        raise refuse(node, resource, path.name, f"has pod {bound.get('name')!r} under another service account")


def event(node: str, event_: Object, pod_of: Callable[[str, str], Object | None]) -> bool:
    """Whether an event is about the node itself or one of its pods (one that is gone already counts too)."""
    about = event_.get("involvedObject")
    if not isinstance(about, dict):
        return False
    if about.get("kind") == "Node":
        return about.get("name") == node
    if about.get("kind") != "Pod" or about.get("namespace") != objects.namespace(event_):
        return False
    pod = pod_of(str(about.get("namespace")), str(about.get("name")))
    return pod is None or node_of(pod) == node
