"""The subresource ``scale``: how many there shall be, how many there are. Kubernetes 1.32: autoscaling/v1 Scale."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cloudcore.apiserver import body, patching
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.kinds import Kind, ScalePaths
from cloudcore.apiserver.request import Request, Target
from cloudcore.apiserver.response import Response, json_response
from kube import field_errors, selectors, status
from kube.objects import Object
from kube.resources import SCALES


async def answer(api: Api, kind: Kind, request: Request, target: Target, read: Callable[[], Awaitable[bytes]]) -> Response:
    """Of a kind that has a scale. Raises ApiError."""
    paths = kind.scale or ScalePaths()
    where = target.namespace, target.name
    match request.method:
        case "GET" | "HEAD":
            return json_response(200, of(kind.shown(api.get(kind, *where)).obj, paths))
        case "PUT" | "PATCH":
            patch, data = request.method == "PATCH", await read()
            media = patching.check_media(kind, request.media_type) if patch else request.media_type
            wanted = patching.decode(media, data) if patch else body.decode(data, media)

            def change(present: Object) -> Object:
                shown = wanted
                if patch:
                    shown = patching.apply(kind, media, of(present, paths), wanted)
                return _applied(kind, target.name, present, paths, body.shaped("Scale", shown)[0])

            entry = await api.update(kind, *where, change, dry_run=request.dry_run)
            return json_response(200, of(kind.shown(entry).obj, paths))
    raise status.no_such_method()


def of(obj: Object, paths: ScalePaths) -> Object:
    """The Scale of an object."""
    found = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    told: Object = {"replicas": _at(obj, paths.present) or 0}
    selector = _at(obj, paths.selector)
    if isinstance(selector, dict):
        selector = str(selectors.from_object(selector))
    if selector:
        told["selector"] = selector
    replicas = _at(obj, paths.replicas)
    return {
        "kind": SCALES.kind,
        "apiVersion": SCALES.api_version,
        "metadata": {key: found[key] for key in kept if key in found},
        "spec": {"replicas": replicas} if replicas else {},
        "status": told,
    }


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj if path else None
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _applied(kind: Kind, name: str, present: Object, paths: ScalePaths, wanted: Object) -> Object:
    replicas = wanted.get("spec", {}).get("replicas", 0)
    found = wanted.get("metadata", {})
    if found.get("name", name) != name:
        text = f"the name of the object ({found['name']}) does not match the name on the URL ({name})"
        raise status.bad_request(text)
    if found.get("resourceVersion", present["metadata"]["resourceVersion"]) != present["metadata"]["resourceVersion"]:
        raise status.conflict(kind.resource, name)
    if replicas < 0:
        fault = field_errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid(SCALES, name, [fault])
    holder = present
    for part in paths.replicas[:-1]:
        holder = holder.setdefault(part, {})
    holder[paths.replicas[-1]] = replicas
    return present
