"""HTTP requests on objects and collections."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec
import trio

from cloudcore.apiserver import body, heavy, listing, options, patching, subresources, tables, watch
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.kinds import Kind
from cloudcore.apiserver.request import Form, Request, Target
from cloudcore.apiserver.response import Response, json_response
from kube import status
from kube.objects import Object, timestamp

ReadBody = Callable[[], Awaitable[bytes]]

_AT_ONCE: Final = 64
"""Deletions of one collection that wait for the same commit."""
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
            case "GET":
                return self._watch(kind, request, target) if request.flag("watch") else self._list(kind, request, target)
            case "POST" if target.namespace or not kind.resource.namespaced:
                return await self._create(kind, request, target, await read())
            case "DELETE" if "deletecollection" in kind.resource.verbs and (target.namespace or not kind.resource.namespaced):
                return await self._delete_collection(kind, request, target, await read())
        raise status.no_such_method()

    async def _object(self, kind: Kind, request: Request, target: Target, read: ReadBody) -> Response | Stream:
        match request.method:
            case "GET":
                return self._get(kind, request, target)
            case "PUT":
                return await self._replace(kind, request, target, await read())
            case "PATCH":
                return await self._patch(kind, request, target, await read())
            case "DELETE" if not target.subresource:
                return await self._delete(kind, request, target, await read())
        raise status.no_such_method()

    # -- reading -----------------------------------------------------------------------------------------------------

    def _get(self, kind: Kind, request: Request, target: Target) -> Response:
        version = request.query.get("resourceVersion", "")
        if version and not (version.isascii() and version.isdigit() and len(version) < 19):
            raise status.unexplained(500, listing.unreadable(version))
        listing.check_reached(self._api.store, int(version or 0))
        return self._one(kind, request, 200, self._api.get(kind, target.namespace, target.name))

    def _one(self, kind: Kind, request: Request, code: int, entry: Entry, warnings: tuple[str, ...] = ()) -> Response:
        form = request.form
        if form == "object":
            return Response(code, kind.shown(entry).raw, warnings=warnings)
        return json_response(code, _rendered(kind, form, entry, request), warnings=warnings)

    def _matcher(self, kind: Kind, request: Request, target: Target) -> Callable[[Entry], bool]:
        labels, fields = request.selectors()
        for key in sorted(fields.keys - kind.fields - _COMMON_FIELDS):
            if kind.fields or kind.unstructured:
                raise status.bad_request(f"field label not supported: {key}")
            raise status.bad_request(f'"{key}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        name, namespace = target.name, target.namespace

        def matches(entry: Entry) -> bool:
            found = entry.obj["metadata"]
            if (namespace and found.get("namespace") != namespace) or (name and found["name"] != name):
                return False
            return (not labels or labels.matches(entry.obj)) and (not fields or fields.matches(entry.obj))

        return matches

    def _list(self, kind: Kind, request: Request, target: Target) -> Response:
        form, matches = request.form, self._matcher(kind, request, target)
        options.check_list(request)
        page = listing.page(self._api.store, kind, target.namespace, request, matches)
        if kind.unstructured and form == "object":
            page.metadata.setdefault("continue", "")
        found = [kind.shown(entry) for entry in page.entries]
        if form == "table":
            include = request.query.get("includeObject", "Metadata")
            objects = (entry.obj for entry in found)
            return json_response(200, tables.table(kind, objects, include=include, list_metadata=page.metadata))
        if form == "partial":
            items: list[Any] = [tables.partial(entry.obj) for entry in found]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        else:
            items = [_item(kind, entry) for entry in found]
            head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version}
        return json_response(200, {**head, "metadata": page.metadata, "items": items})

    def _watch(self, kind: Kind, request: Request, target: Target) -> Stream:
        form, matches = request.form, self._matcher(kind, request, target)
        options.check_list(request)
        version = request.query.get("resourceVersion", "")
        if version and not (version.isascii() and version.isdigit() and len(version) < 19):
            raise status.unexplained(500, listing.unreadable(version))
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
        obj, warnings = await self._received(kind, request, target, data, options.check_write(request, "CreateOptions"))
        with _warned(warnings):
            entry = await self._api.create(kind, target.namespace, obj, dry_run=request.dry_run, size=len(data))
        return self._one(kind, request, 201, entry, warnings)

    async def _replace(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        obj, warnings = await self._received(kind, request, target, data, options.check_write(request, "UpdateOptions"))
        sent = msgspec.json.encode(obj)

        def change(_present: Object) -> Object:
            found: Object = msgspec.json.decode(sent)
            return found

        with _warned(warnings):
            entry = await self._update(kind, request, target, change, size=len(data))
        return self._one(kind, request, 200, entry, warnings)

    async def _update(
        self, kind: Kind, request: Request, target: Target, change: Callable[[Object], Object], *, size: int, patch: bool = False
    ) -> Entry:
        where = kind, target.namespace, target.name
        subresource, dry_run = target.subresource, request.dry_run
        return await self._api.update(*where, change, subresource=subresource, dry_run=dry_run, patch=patch, size=size)

    async def _received(
        self, kind: Kind, request: Request, target: Target, data: bytes, validation: str
    ) -> tuple[Object, tuple[str, ...]]:
        """What the body says, and warnings about it. Raises ApiError."""

        def read() -> tuple[Object, tuple[str, ...]]:
            received = body.decode(data, request.media_type)
            twice = body.duplicates(data, request.media_type) if validation != "Ignore" else ()
            return body.clean(kind, received, validation, twice)

        obj, warnings = await heavy.beside(len(data), read)
        _check_place(obj, target)
        return obj, warnings

    async def _patch(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        media = patching.check_media(kind, request.media_type)
        validation = options.check_write(request, "PatchOptions")
        patch = await heavy.beside(len(data), partial(patching.decode, media, data))
        warnings: tuple[str, ...] = ()

        def change(present: Object) -> Object:
            nonlocal warnings
            obj, warnings = patching.patched(kind, media, present, patch, validation)
            with _warned(warnings):
                _check_place(obj, target)
            return obj

        entry = await self._update(kind, request, target, change, size=len(data), patch=True)
        return self._one(kind, request, 200, entry, warnings)

    async def _delete(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        wanted = options.deletion(request, data)
        result = await self._api.delete(kind, target.namespace, target.name, **wanted)
        if result.after is not None:
            return self._one(kind, request, 200, result.after)
        removed = result.removed or result.before
        if kind.returns_deleted and removed is not None:
            return self._one(kind, request, 200, _ended(kind, removed))
        uid = removed.obj["metadata"]["uid"] if removed is not None else ""
        return json_response(200, status.success(kind.resource, target.name, uid))

    async def _delete_collection(self, kind: Kind, request: Request, target: Target, data: bytes) -> Response:
        wanted, matches = options.deletion(request, data), self._matcher(kind, request, target)
        found = [entry for entry in self._api.store.entries(kind.key, target.namespace) if matches(entry)]
        room = trio.CapacityLimiter(_AT_ONCE)
        gone: list[Entry] = []

        async def remove(entry: Entry) -> None:
            namespace, name = listing.place(entry)
            async with room:
                with suppress(status.NotFound, status.Conflict):
                    await self._api.delete(kind, namespace, name, **{**wanted, "uid": entry.obj["metadata"]["uid"]})
                    gone.append(entry)

        async with trio.open_nursery() as nursery:
            for entry in found:
                nursery.start_soon(remove, entry)
        head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version}
        metadata = {"resourceVersion": str(self._api.store.revision)} | ({"continue": ""} if kind.unstructured else {})
        items = [_item(kind, kind.shown(entry)) for entry in sorted(gone, key=listing.place)]
        return json_response(200, {**head, "metadata": metadata, "items": items})


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
    if target.namespace and (found.get("namespace") or target.namespace) != target.namespace:
        raise status.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if target.name:
        name = found.get("name", "")
        if not name:
            why = "name must be provided"
            raise status.bad_request(f"the name of the object ({target.name} based on URL) was undeterminable: {why}")
        if name != target.name:
            raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")


@contextmanager
def _warned(warnings: tuple[str, ...]) -> Iterator[None]:
    """A refusal tells the warnings, too."""
    try:
        yield
    except status.ApiError as error:
        error.warnings = warnings
        raise


def _item(kind: Kind, entry: Entry) -> msgspec.Raw:
    """An object in a list: the list has told its kind already, except for custom resources."""
    start = kind.item_start
    if start and entry.raw.startswith(start):
        return msgspec.Raw(b"{" + entry.raw[len(start) :])
    return msgspec.Raw(entry.raw)


def _ended(kind: Kind, removed: Entry) -> Entry:
    """The last state of an object as the answer to its deletion shows it: if it may have grace, as deleted without."""
    if not kind.counts_generations:
        return removed
    obj = msgspec.json.decode(removed.raw)
    found = obj["metadata"]
    if "deletionTimestamp" not in found:
        found["generation"] = found.get("generation", 0) + 1
    found.setdefault("deletionTimestamp", timestamp())
    found["deletionGracePeriodSeconds"] = 0
    return Entry(removed.revision, obj, msgspec.json.encode(obj))
