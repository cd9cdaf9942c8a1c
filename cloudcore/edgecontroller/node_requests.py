"""What a node asks about itself: registration, status, labels, lease (protocol messages U4..U9)."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from beehive.message import NULL
from beehive.resource import Resource as Path
from cloudcore.edgecontroller import ownership
from cloudcore.edgecontroller.downstream import CLOUDCORE
from cloudcore.edgecontroller.location import CLUSTER, NODE
from cloudcore.edgecontroller.request import Request, World
from kube import objects
from kube.objects import Object
from kube.resources import LEASES, NODES

log = logging.getLogger(__name__)


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


async def register(world: World, request: Request) -> Object:
    """U4: creates the Node. KubeEdge creates it without the ``kubernetes.io`` labels and adds them with a second call, because
    it may impersonate the node; cloudcore acts in its own name, so one call does."""
    node = request.object()
    ownership.own_node(request.node, NODES, request.path.name)
    request.named(node)
    meta = objects.metadata(node)
    annotations = _strings(meta.get("annotations"))
    if world.address:
        annotations[CLOUDCORE] = world.address
    body: Object = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": request.node,
            "labels": ownership.without_restricted(_strings(meta.get("labels"))),
            "annotations": annotations,
        },
        "spec": objects.spec(node),
        "status": objects.status(node),
    }
    if world.cluster.get(Path(CLUSTER, NODE, request.node)) is None:
        # Before the Node is made: should we end in between, the edge asks another cloudcore, which finds no Node either.
        await world.refill(request.node)
    return await world.client.create(NODES, body)


async def everything_again(world: World, request: Request) -> Object:
    """``query null/podlist/<node>``: the edge has lost its store. KubeEdge knows the word and has no handler for it."""
    ownership.own_node(request.node, NODES, request.path.name)
    log.info("node %s asks for everything again", request.node)
    await world.refill(request.node)
    return {}


async def update(world: World, request: Request) -> Object:
    """U5: labels and annotations of the sent node are added or overwritten, never removed."""
    node = request.object()
    ownership.own_node(request.node, NODES, request.path.name)
    meta = objects.metadata(node)
    patch = {
        "metadata": {
            "labels": ownership.without_restricted(_strings(meta.get("labels"))),
            "annotations": _strings(meta.get("annotations")),
        }
    }
    return await world.client.patch(NODES, request.node, patch, kind="strategic")


async def query(world: World, request: Request) -> Object:
    """U6."""
    ownership.own_node(request.node, NODES, request.path.name)
    return await world.client.get(NODES, request.node)


class _StatusPatch(msgspec.Struct):
    metadata: dict[str, Any] | None = None
    status: msgspec.Raw = NULL


async def patch_status(world: World, request: Request) -> Object:
    """U7: the content is a string that holds a strategic merge patch. A kubelet that has nothing new sends ``{}``."""
    ownership.own_node(request.node, NODES, request.path.name)
    sent = request.embedded(_StatusPatch)
    patch: dict[str, Any] = {}
    if sent.status != NULL:
        patch["status"] = sent.status
    if meta := _metadata_patch(sent.metadata or {}):
        patch["metadata"] = meta
    if not patch:
        return await world.client.get(NODES, request.node)
    return await world.client.patch(NODES, request.node, patch, kind="strategic", subresource="status")


def _metadata_patch(meta: dict[str, Any]) -> dict[str, Any]:
    """The kubelet also patches its own annotations this way; nothing else of the metadata passes."""
    kept: dict[str, Any] = {}
    if isinstance(meta.get("uid"), str):
        kept["uid"] = meta["uid"]
    if isinstance(meta.get("annotations"), dict):
        kept["annotations"] = meta["annotations"]
    return kept


class _OldStatus(msgspec.Struct):
    Status: dict[str, Any]
    UID: str = ""


async def old_status(world: World, request: Request) -> Object:
    """U8, update, of edges before 1.10: the status whole."""
    ownership.own_node(request.node, NODES, request.path.name)
    sent = request.decode(_OldStatus)
    return await world.client.patch(NODES, request.node, {"status": sent.Status}, kind="strategic", subresource="status")


async def query_lease(world: World, request: Request) -> Object:
    """U9. NotFound makes the edge create it."""
    ownership.own_lease(request.node, LEASES, request.path)
    return await world.client.get(LEASES, request.path.name, namespace=request.path.namespace)


async def create_lease(world: World, request: Request) -> Object:
    return await world.client.create(LEASES, _lease(request), namespace=request.path.namespace)


async def update_lease(world: World, request: Request) -> Object:
    """The resourceVersion that the edge last saw must be the present one; Conflict makes the edge ask again."""
    return await world.client.replace(LEASES, request.path.name, _lease(request), namespace=request.path.namespace)


def _lease(request: Request) -> Object:
    ownership.own_lease(request.node, LEASES, request.path)
    lease = request.object()
    request.named(lease)
    return {"apiVersion": LEASES.api_version, "kind": LEASES.kind} | lease
