"""What a node says of its pods: status, end, mirrors (protocol messages U10..U13), and events about them (U19)."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import msgspec

from beehive.message import NULL, Operation
from beehive.resource import Resource as Path
from cloudcore.edgecontroller import ownership
from cloudcore.edgecontroller.location import POD
from cloudcore.edgecontroller.request import Request, World
from kube import objects
from kube.objects import Object
from kube.resources import EVENTS, PODS
from kube.status import ApiError, Conflict, NotFound, bad_request

log = logging.getLogger(__name__)

GONE: Final = (404, 409, 422)
"""How the API says that the pod with this uid is not there: no pod, or another one (by whether the patch names the uid)."""
_UID: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""It becomes part of a record's name."""


class _PatchMetadata(msgspec.Struct):
    uid: str = ""


class _StatusPatch(msgspec.Struct):
    metadata: _PatchMetadata | None = None
    status: msgspec.Raw = NULL


async def patch_status(world: World, request: Request) -> Object:
    """U10: the content is a string that holds a strategic merge patch; its uid must be that of the living pod."""
    path = request.path
    sent = request.embedded(_StatusPatch)
    if sent.status == NULL:
        raise bad_request("a status patch needs a status")
    uid = sent.metadata.uid if sent.metadata is not None else ""
    pod = await _reported_pod(world, request.node, path, uid)
    ownership.own_pod(request.node, PODS, pod)
    # With a uid always: what is changed must be the pod that was looked at, not one that takes its name meanwhile.
    uid = uid or objects.uid(pod)
    patch: dict[str, Any] = {"metadata": {"uid": uid}, "status": sent.status}
    return await world.client.patch(PODS, path.name, patch, namespace=path.namespace, kind="strategic", subresource="status")


async def _reported_pod(world: World, node: str, path: Path, uid: str) -> Object:
    """The pod of this name. A node that reports on one that the API does not have runs what nobody will ever delete: it is told.

    Raises ApiError.
    """
    try:
        pod = await world.pod(path, uid)
    except NotFound:
        await _tell_stray(world, node, path, uid)
        raise
    if uid != objects.uid(pod):
        await _tell_stray(world, node, path, uid)
    return pod


async def _tell_stray(world: World, node: str, path: Path, uid: str) -> None:
    if _UID.fullmatch(uid):
        await world.stray(node, path._replace(type=POD), uid)


class _Preconditions(msgspec.Struct):
    uid: str | None = None


class _DeleteOptions(msgspec.Struct):
    preconditions: _Preconditions | None = None


async def delete(world: World, request: Request) -> Object:
    """U12: the pod has ended on the node. A pod that is gone, or is another one by now, is a success."""
    path = request.path
    uid = _uid_to_delete(request)
    try:
        pod = await world.pod(path, uid)
        if uid and objects.uid(pod) != uid:
            return {}
        ownership.own_pod(request.node, PODS, pod)
        await world.client.delete(PODS, path.name, namespace=path.namespace, grace_seconds=0, uid=objects.uid(pod))
    except (NotFound, Conflict):
        return {}
    return {}


def _uid_to_delete(request: Request) -> str:
    """From DeleteOptions, or, as edges before 1.10 send it, the bare uid."""
    if bytes(request.message.content).lstrip().startswith(b'"'):
        return request.decode(str)
    options = request.decode(_DeleteOptions | None)  # type: ignore[arg-type]
    return (options.preconditions.uid or "") if options is not None and options.preconditions is not None else ""


async def create_mirror(world: World, request: Request) -> Object:
    """U13: the mirror of a static pod."""
    pod = request.object()
    ownership.mirror_pod(request.node, PODS, pod, request.path)
    return await world.client.create(PODS, {"apiVersion": "v1", "kind": "Pod"} | pod, namespace=request.path.namespace)


class _OldStatus(msgspec.Struct):
    UID: str
    Name: str
    Status: dict[str, Any]


async def old_status(world: World, request: Request) -> Object:
    """U11, of edges before 1.10: one status or an array of them, each whole."""
    array = bytes(request.message.content).lstrip().startswith(b"[")
    for one in request.decode(list[_OldStatus]) if array else [request.decode(_OldStatus)]:
        path = request.path._replace(name=one.Name)
        try:
            pod = await _reported_pod(world, request.node, path, one.UID)
            ownership.own_pod(request.node, PODS, pod)
            if objects.uid(pod) == one.UID:
                patch = {"metadata": {"uid": one.UID}, "status": one.Status}
                await world.client.patch(PODS, one.Name, patch, namespace=path.namespace, kind="strategic", subresource="status")
        except ApiError as error:
            if error.code not in GONE:
                raise
            log.debug("node %s reports on %s, which is gone", request.node, path)
    return {}


class _EventPatch(msgspec.Struct):
    event: dict[str, Any]
    patchData: str  # noqa: N815 - the name on the wire


async def event(world: World, request: Request) -> Object:
    """U19: best effort and never answered."""
    path = request.path
    try:
        body, patch = _event_in(request)
        if objects.namespace(body) != path.namespace or not await _is_own(world, request, body):
            log.warning("node %s sent an event that is about none of its own objects: %s; dropped", request.node, path)
            return {}
        if patch is not None:
            await _patch_event(world, path.namespace, body, patch)
        elif request.message.operation == Operation.UPDATE:
            await world.client.replace(EVENTS, path.name, body, namespace=path.namespace)
        else:
            await world.client.create(EVENTS, body, namespace=path.namespace)
    except ApiError as error:
        log.debug("event %s of node %s is not written: %s", path, request.node, error)
    return {}


def _event_in(request: Request) -> tuple[Object, Object | None]:
    """The event, and what of it has changed if that is all that counts. Raises ApiError."""
    patch = None
    if request.message.operation == Operation.PATCH:
        sent = request.decode(_EventPatch)
        body = sent.event
        try:
            patch = msgspec.json.decode(sent.patchData, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise bad_request(f"patchData: {error}") from error
    else:
        body = request.object()
    request.named(body)
    return {"apiVersion": "v1", "kind": "Event"} | body, patch


async def _is_own(world: World, request: Request, body: Object) -> bool:
    """Whether the event is about the node, and does not take the place of one that is about another."""
    if not ownership.event(request.node, body, world.known_pod):
        return False
    if request.message.operation not in (Operation.UPDATE, Operation.PATCH):
        return True
    try:
        stored = await world.client.get(EVENTS, request.path.name, namespace=request.path.namespace)
    except NotFound:
        return True
    return ownership.event(request.node, stored, world.known_pod)


async def _patch_event(world: World, namespace: str, body: Object, patch: Object) -> None:
    allowed = {key: patch[key] for key in ("count", "lastTimestamp", "message", "series") if key in patch}
    try:
        await world.client.patch(EVENTS, objects.name(body), allowed, namespace=namespace, kind="merge")
    except NotFound:
        kept = {key: value for key, value in objects.metadata(body).items() if key in ("name", "namespace")}
        await world.client.create(EVENTS, body | {"metadata": kept}, namespace=namespace)
