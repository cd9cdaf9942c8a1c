"""HTTP requests on objects and collections."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import trio

from cloudcore.apiserver import body, subresources, tables, watch
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.patching import apply_patch
from cloudcore.apiserver.request import Form, Request, Target
from cloudcore.apiserver.response import Response, json_response
from kube import field_errors, status
from kube.objects import Object
from kube.resources import DELETE_OPTIONS

ReadBody = Callable[[], Awaitable[bytes]]

_AT_ONCE: Final = 64
"""Deletions of one collection that wait for the same commit."""
_POLICIES: Final = ("Foreground", "Background", "Orphan")
_COMMON_FIELDS: Final = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True)
class Stream:
    """An answer in lines, which ends after so many seconds if the client has not gone before."""

    lines: AsyncGenerator[bytes, None]
    seconds: float
    kind: Kind


class Resources:
    """Answers requests on the objects of the API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def answer(self, request: Request, target: Target, read: ReadBody) -> Response | Stream:
        """Raises ApiError."""
        kind = self._api.registry.find(target.group, target.version, target.plural)
        if kind is None:
            raise status.no_such_resource()
        if target.namespace and not kind.resource.namespaced:
            raise status.no_such_resource()
        answer = await self._answer(kind, request, target, read)
        if kind.warning and isinstance(answer, Response):
            return replace(answer, warnings=(kind.warning, *answer.warnings))
        return answer

    async def _answer(self, kind: Kind, request: Request, target: Target, read: ReadBody) -> Response | Stream:
        if target.subresource not in ("", "status") or (target.subresource == "status" and not kind.has_status):
            return await subresources.answer(self._api, kind, request, target, read)
        if not target.name:
            return await self._collection(kind, request, target, read)
        if kind.resource.namespaced and not target.namespace:
            raise status.no_such_resource()
        return await self._object(kind, request, target, read)

    async def _collection(self, kind: Kind, request: Request, target: Target, read: ReadBody) -> Response | Stream:
        match request.method:
            case "GET" | "HEAD":
                return self._watch(kind, request, target) if request.flag("watch") else self._list(kind, request, target)
            case "POST" if target.namespace or not kind.resource.namespaced:
                return await self._create(kind, request, target, await read())
            case "DELETE":
                return await self._delete_collection(kind, request, target, await read())
        raise status.method_not_supported(kind.resource, request.method)

    async def _object(self, kind: Kind, request: Request, target: Target, read: ReadBody) -> Response | Stream:
        match request.method:
            case "GET" | "HEAD":
                if request.flag("watch"):
                    return self._watch(kind, request, target)
                return self._one(kind, request, 200, self._api.get(kind, target.namespace, target.name))
            case "PUT":
                return await self._replace(kind, request, target, await read())
            case "PATCH":
                return await self._patch(kind, request, target, await read())
            case "DELETE" if not target.subresource:
                return await self._delete(kind, request, target, await read())
        raise status.method_not_supported(kind.resource, request.method)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _one(self, kind: Kind, request: Request, code: int, entry: Entry, warnings: tuple[str, ...] = ()) -> Response:
        form = request.form
        if form == "object":
            return Response(code, kind.shown(entry).raw, warnings=warnings)
        return json_response(code, _rendered(kind, form, entry, request), warnings=warnings)

    def _matcher(self, kind: Kind, request: Request, target: Target) -> Callable[[Entry], bool]:
        labels, fields = request.selectors()
        for key in sorted(fields.keys - kind.fields - _COMMON_FIELDS):
            shown = key if kind.unstructured else f'"{key}"'
            raise status.bad_request(f"field label not supported: {shown}")
        name, namespace = target.name, target.namespace

        def matches(entry: Entry) -> bool:
            found = entry.obj["metadata"]
            if (namespace and found.get("namespace") != namespace) or (name and found["name"] != name):
                return False
            return (not labels or labels.matches(entry.obj)) and (not fields or fields.matches(entry.obj))

        return matches

    def _list(self, kind: Kind, request: Request, target: Target) -> Response:
        form, matches = request.form, self._matcher(kind, request, target)
        limit, revision, start = request.integer("limit") or 0, self._api.store.revision, None
        if token := request.query.get("continue"):
            revision, start = _read_continue(token)
        found = [entry for entry in self._api.store.entries(kind.key, target.namespace, start) if matches(entry)]
        metadata: dict[str, Any] = {"resourceVersion": str(revision)}
        if 0 < limit < len(found):
            metadata["remainingItemCount"] = len(found) - limit
            found = found[:limit]
            metadata["continue"] = _write_continue(revision, _place(found[-1]))
        elif kind.unstructured and form == "object":
            metadata["continue"] = ""
        found = [kind.shown(entry) for entry in found]
        if form == "table":
            include = request.query.get("includeObject", "Metadata")
            objects = (entry.obj for entry in found)
            return json_response(200, tables.table(kind, objects, include=include, list_metadata=metadata))
        if form == "partial":
            items: list[Any] = [tables.partial(entry.obj) for entry in found]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        else:
            items = [msgspec.Raw(entry.raw) for entry in found]
            head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version}
        return json_response(200, {**head, "metadata": metadata, "items": items})

    def _watch(self, kind: Kind, request: Request, target: Target) -> Stream:
        form, matches = request.form, self._matcher(kind, request, target)
        version = request.query.get("resourceVersion", "")
        if not (version.isascii() and version.isdigit() and len(version) < 19) and version:
            raise status.bad_request(f'invalid resource version: "{version}"')
        initial = request.flag("sendInitialEvents") or version in ("", "0")
        wish = watch.Wish(
            kind=kind,
            since=None if initial else int(version),
            matches=matches,
            render=lambda entry, first: _rendered(kind, form, entry, request, columns=first),
            bookmarks=request.flag("allowWatchBookmarks"),
            announce_initial_end=request.flag("sendInitialEvents"),
        )
        return Stream(watch.stream(self._api.store, wish), request.watch_seconds, kind)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _create(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        obj, warnings = self._received(kind, request, target, data)
        entry = await self._api.create(kind, target.namespace, obj, dry_run=request.dry_run)
        return self._one(kind, request, 201, entry, warnings)

    async def _replace(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        obj, warnings = self._received(kind, request, target, data)
        entry = await self._api.update(
            kind, target.namespace, target.name, lambda _present: obj, subresource=target.subresource, dry_run=request.dry_run
        )
        return self._one(kind, request, 200, entry, warnings)

    def _received(self, kind: Kind, request: Request, target: Target, data: bytes) -> tuple[Object, tuple[str, ...]]:
        received = body.decode(data, request.media_type)
        obj, warnings = body.clean(kind, received, request.query.get("fieldValidation", "Warn"))
        _check_place(obj, target)
        return obj, warnings

    async def _patch(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        if request.media_type.startswith("application/apply-patch"):
            text = "server-side apply is not supported by the embedded Kubernetes API; use kubectl apply without --server-side"
            raise status.make(415, "UnsupportedMediaType", text)
        patch = body.decode(data, request.media_type)
        warnings: tuple[str, ...] = ()

        def change(present: Object) -> Object:
            nonlocal warnings
            patched = apply_patch(kind, request.media_type, present, patch)
            obj, warnings = body.clean(kind, patched, request.query.get("fieldValidation", "Warn"))
            _check_place(obj, target)
            return obj

        entry = await self._api.update(
            kind, target.namespace, target.name, change, subresource=target.subresource, dry_run=request.dry_run
        )
        return self._one(kind, request, 200, entry, warnings)

    async def _delete(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        options = _delete_options(request, data)
        result = await self._api.delete(kind, target.namespace, target.name, **options)
        if result.after is not None:
            return self._one(kind, request, 200, result.after)
        removed = result.removed or result.before
        if kind.returns_deleted and removed is not None:
            return self._one(kind, request, 200, removed)
        uid = removed.obj["metadata"]["uid"] if removed is not None else ""
        return json_response(200, status.success(kind.resource, target.name, uid))

    async def _delete_collection(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        if "deletecollection" not in kind.resource.verbs:
            raise status.method_not_supported(kind.resource, request.method)
        options, matches = _delete_options(request, data), self._matcher(kind, request, target)
        found = [entry for entry in self._api.store.entries(kind.key, target.namespace) if matches(entry)]
        room = trio.CapacityLimiter(_AT_ONCE)
        gone = []

        async def remove(entry: Entry) -> None:
            namespace, name = _place(entry)
            async with room:
                with suppress(status.NotFound, status.Conflict):
                    await self._api.delete(kind, namespace, name, **{**options, "uid": entry.obj["metadata"]["uid"]})
                    gone.append(msgspec.Raw(kind.shown(entry).raw))

        async with trio.open_nursery() as nursery:
            for entry in found:
                nursery.start_soon(remove, entry)
        head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version}
        metadata = {"resourceVersion": str(self._api.store.revision)} | ({"continue": ""} if kind.unstructured else {})
        return json_response(200, {**head, "metadata": metadata, "items": gone})


def _rendered(kind: Kind, form: Form, entry: Entry, request: Request, *, columns: bool = True) -> Any:
    entry = kind.shown(entry)
    if form == "object":
        return msgspec.Raw(entry.raw)
    if form == "partial":
        return tables.partial(entry.obj)
    include = request.query.get("includeObject", "Metadata")
    metadata = {"resourceVersion": str(entry.revision)}
    return tables.table(kind, [entry.obj], include=include, columns=columns, list_metadata=metadata)


def _check_place(obj: Object, target: Target) -> None:
    found = obj["metadata"]
    if target.namespace and found.get("namespace", target.namespace) != target.namespace:
        raise status.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if target.name:
        name = found.setdefault("name", target.name)
        if name != target.name:
            raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")


def _delete_options(request: Request, data: bytes) -> dict[str, Any]:
    options: Object = {}
    if data.strip():
        options, _ = body.shaped("DeleteOptions", body.decode(data, request.media_type))
    grace = options.get("gracePeriodSeconds", request.integer("gracePeriodSeconds"))
    conditions = options.get("preconditions", {})
    return {
        "grace_seconds": grace,
        "uid": conditions.get("uid", ""),
        "resource_version": conditions.get("resourceVersion", ""),
        "propagation": _propagation(request, options),
        "dry_run": request.dry_run or bool(options.get("dryRun")),
    }


def _propagation(request: Request, options: Object) -> str:
    """Raises ApiError (422)."""
    policy = options.get("propagationPolicy", request.query.get("propagationPolicy", ""))
    orphan = options.get("orphanDependents")
    if orphan is None and "orphanDependents" in request.query:
        orphan = request.flag("orphanDependents")
    fault = None
    if policy and orphan is not None:
        fault = field_errors.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
    elif policy and policy not in _POLICIES:
        fault = field_errors.not_supported("propagationPolicy", policy, (*_POLICIES, "nil"))
    if fault is not None:
        raise status.invalid(DELETE_OPTIONS, "", [fault])
    return policy if orphan is None else "Orphan" if orphan else "Background"


def _place(entry: Entry) -> tuple[str, str]:
    found = entry.obj["metadata"]
    return found.get("namespace", ""), found["name"]


def _write_continue(revision: int, place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([revision, *place])).decode().rstrip("=")


def _read_continue(token: str) -> tuple[int, tuple[str, str]]:
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        revision, namespace, name = msgspec.json.decode(data, type=tuple[int, str, str])
    except (binascii.Error, ValueError) as error:
        raise status.bad_request("continue key is not valid: it was not issued by this server") from error
    return revision, (namespace, name)
