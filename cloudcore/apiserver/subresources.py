"""Binding, eviction, finalize: what is done to an object beside reading and writing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cloudcore.apiserver import body, scale
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.request import Request, Target
from cloudcore.apiserver.response import Response, json_response
from kube import status
from kube.objects import Object, timestamp

_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def answer(api: Api, kind: Kind, request: Request, target: Target, read: Callable[[], Awaitable[bytes]]) -> Response:
    """Raises ApiError, also for subresources that there are not."""
    match (kind.key, target.subresource, request.method):
        case ("pods", "binding", "POST"):
            binding, _ = body.shaped("Binding", body.decode(await read(), request.media_type))
            await bind(api, kind, target.namespace, target.name, binding)
            return json_response(201, _SUCCESS)
        case ("pods", "eviction", "POST"):
            eviction, _ = body.shaped("Eviction", body.decode(await read(), request.media_type))
            await _evict(api, kind, target, eviction, dry_run=request.dry_run)
            return json_response(201, _SUCCESS)
        case (_, "scale", _) if kind.scale is not None:
            return await scale.answer(api, kind, request, target, read)
        case ("namespaces", "finalize", "PUT"):
            return await _finalize(api, kind, target, await read())
        case ("pods", "log" | "exec" | "attach" | "portforward", _):
            api.get(kind, target.namespace, target.name)
            why = f"{target.subresource} is not served by the embedded Kubernetes API yet"
            raise status.make(501, "NotImplemented", f'pods "{target.name}": {why}')
    if kind.unstructured:
        raise status.not_found(kind.resource, target.name)
    raise status.no_such_resource()


async def _evict(api: Api, kind: Kind, target: Target, eviction: Object, *, dry_run: bool) -> None:
    """Marks a pod as evicted, then deletes it. There are no disruption budgets, so nothing stands against it."""
    named = eviction.get("metadata", {}).get("name", target.name)
    if named != target.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    options = eviction.get("deleteOptions", {})
    conditions = options.get("preconditions", {})
    dry_run = dry_run or bool(options.get("dryRun"))
    condition = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp()}
    condition |= {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}

    def mark(pod: Object) -> Object:
        known = pod.setdefault("status", {}).setdefault("conditions", [])
        if not any(one.get("type") == "DisruptionTarget" and one.get("status") == "True" for one in known):
            known[:] = [one for one in known if one.get("type") != "DisruptionTarget"] + [condition]
        return pod

    if not conditions and not dry_run:
        await api.update(kind, target.namespace, target.name, mark, subresource="eviction")
    await api.delete(
        kind,
        target.namespace,
        target.name,
        grace_seconds=options.get("gracePeriodSeconds"),
        uid=conditions.get("uid", ""),
        resource_version=conditions.get("resourceVersion", ""),
        dry_run=dry_run,
    )


async def bind(api: Api, kind: Kind, namespace: str, name: str, binding: Object) -> None:
    """Gives a pod to a node.

    Raises ApiError: the pod is absent, bound already, or going away.
    """
    goal = binding.get("target", {})
    node, uid = goal.get("name", ""), binding.get("metadata", {}).get("uid", "")
    if not node or goal.get("kind", "Node") not in ("", "Node"):
        raise status.bad_request("target.name: Required value: the name of a node")

    def assign(pod: Object) -> Object:
        if uid and uid != pod["metadata"]["uid"]:
            raise status.uid_conflict(kind.resource, name, uid, pod["metadata"]["uid"])
        if pod["metadata"].get("deletionTimestamp"):
            raise status.conflict(kind.resource, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if pod["spec"].get("nodeName"):
            raise status.conflict(kind.resource, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
        pod["spec"]["nodeName"] = node
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [condition for condition in conditions if condition.get("type") != "PodScheduled"]
        conditions.append({"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp()})
        return pod

    await api.update(kind, namespace, name, assign, subresource="binding")


async def _finalize(api: Api, kind: Kind, target: Target, data: bytes) -> Response:
    wanted, _ = body.clean(kind, body.decode(data), "Ignore")

    def change(present: Object) -> Object:
        present["spec"] = {"finalizers": wanted.get("spec", {}).get("finalizers", [])}
        return present

    entry = await api.update(kind, "", target.name, change, subresource="finalize")
    return Response(200, entry.raw)
