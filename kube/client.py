"""A client for the Kubernetes API: a real kube-apiserver's or our embedded one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec
import trio

from kube.kubeconfig import Connection
from kube.objects import Object
from kube.resources import Resource
from kube.status import BadAnswer, Gone
from kube.throttle import Throttle
from kube.transport import Call, Limits, Observer, Transport
from kube.watch import LineSplitter, WatchEvent
from kube.watchstream import WatchStream

if TYPE_CHECKING:
    import ssl

PatchKind = Literal["json", "merge", "strategic", "apply"]

_CONTENT_TYPES: Final[Mapping[str, str]] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_MAX_PAGES: Final = 100_000
WATCH_MARGIN: Final = 15.0
"""Seconds that a watch may outlast the time asked for before it counts as dead."""


@dataclass(frozen=True)
class Listing:
    """All objects of a list, kind and apiVersion filled in, and the version to watch from."""

    items: tuple[Object, ...]
    resource_version: str


class _ListMeta(msgspec.Struct):
    version: str = msgspec.field(default="", name="resourceVersion")
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    items: list[dict[str, Any]] | None = None
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)


_page_decoder: Final = msgspec.json.Decoder(_Page)
_object_decoder: Final = msgspec.json.Decoder(dict[str, Any])


class Client:
    """One API server, one pool of connections. Use it as ``async with Client(...) as client``.

    server: ``https://host:6443``. tls: built by viaduct.tls; None only for ``http://``. token: a bearer token, or what
    returns the token of the moment. timeout: seconds that one request may take in all, except a watch. throttle: how many of
    them may leave; the wait for a turn comes before the timeout. observe: is told how each request ended.

    Every call raises ApiError (NotFound, Conflict, ...) for what the server refuses, and ApiUnreachable when there is no
    usable answer.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext | None,
        token: str | Callable[[], str] = "",
        user_agent: str = "edgecore",
        timeout: float = 30.0,
        server_name: str = "",
        limits: Limits = Limits(),  # noqa: B008 - immutable
        throttle: Throttle | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._transport = Transport(
            server,
            tls=tls,
            token=token,
            user_agent=user_agent,
            timeout=timeout,
            server_name=server_name,
            limits=limits,
            throttle=throttle,
            observe=observe,
        )
        self._limits = limits

    @classmethod
    def of(
        cls, connection: Connection, *, tls: ssl.SSLContext | None, user_agent: str = "edgecore", timeout: float = 30.0
    ) -> Self:
        """A client for what a kubeconfig says; ``tls`` is to be built from the same connection."""
        return cls(
            connection.server,
            tls=tls,
            token=connection.bearer,
            user_agent=user_agent,
            timeout=timeout,
            server_name=connection.server_name,
        )

    @property
    def server(self) -> str:
        return self._transport.server

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Object:
        """Any request whose answer is a JSON object; ``body`` is encoded as JSON."""
        answer = await self.request_bytes(method, path, query=query, body=body, content_type=content_type)
        try:
            return _object_decoder.decode(answer)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadAnswer(f"{method} {self.server}{path}: the answer is no Kubernetes object: {error}") from None

    async def request_bytes(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Any request, its answer as it came (logs, ``/healthz``)."""
        content = None if body is None else msgspec.json.encode(body)
        return await self._transport.request(Call(method, path, query or {}, content, content_type))

    async def get(self, resource: Resource, name: str, *, namespace: str = "", subresource: str = "") -> Object:
        """One object."""
        return _filled(await self.request("GET", resource.path(namespace, name, subresource)), resource, subresource)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        resource_version: str = "",
    ) -> Listing:
        """All objects, fetched in pages of ``limit`` (0: in one). A list that changes too fast for pages is fetched in one."""
        query = _selection(label_selector, field_selector)
        if resource_version:
            query |= {"resourceVersion": resource_version, "resourceVersionMatch": "NotOlderThan"}
        try:
            return await self._pages(resource, namespace, query, limit)
        except Gone:
            if not limit:
                raise
            return await self._pages(resource, namespace, query, 0)

    async def _pages(self, resource: Resource, namespace: str, query: dict[str, str], limit: int) -> Listing:
        path = resource.path(namespace)
        items: list[Object] = []
        query = query | ({"limit": str(limit)} if limit else {})
        for _ in range(_MAX_PAGES):
            answer = await self.request_bytes("GET", path, query=query)
            try:
                page = _page_decoder.decode(answer)
            except (msgspec.DecodeError, RecursionError) as error:
                raise BadAnswer(f"GET {self.server}{path}: the answer is no list: {error}") from None
            items += (_filled(item, resource) for item in page.items or ())
            token = page.metadata.continue_
            if not token:
                return Listing(tuple(items), page.metadata.version)
            if token == query.get("continue"):
                raise BadAnswer(f"GET {self.server}{path}: the list does not go on: the same page twice")
            query = {key: value for key, value in query.items() if not key.startswith("resourceVersion")} | {"continue": token}
        raise BadAnswer(f"GET {self.server}{path}: the list does not end")

    async def create(
        self, resource: Resource, obj: Object, *, namespace: str = "", name: str = "", subresource: str = ""
    ) -> Object:
        """A new object; with ``subresource`` (binding, eviction, token) that of the object ``name``."""
        path = resource.path(namespace, name, subresource)
        return _filled(await self.request("POST", path, body=obj), resource, subresource)

    async def replace(self, resource: Resource, name: str, obj: Object, *, namespace: str = "", subresource: str = "") -> Object:
        """The whole object; a resourceVersion in it must still be the current one, else Conflict."""
        path = resource.path(namespace, name, subresource)
        return _filled(await self.request("PUT", path, body=obj), resource, subresource)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: object,
        *,
        kind: PatchKind,
        namespace: str = "",
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """Changes parts; returns the object after it. ``field_manager`` is needed for kind "apply"."""
        path = resource.path(namespace, name, subresource)
        query = {"fieldManager": field_manager} if field_manager else {}
        answer = await self.request("PATCH", path, query=query, body=patch, content_type=_CONTENT_TYPES[kind])
        return _filled(answer, resource, subresource)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        grace_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: Literal["", "Background", "Foreground", "Orphan"] = "",
    ) -> Object:
        """Deletes, or begins to: the answer is the object while it is still there, else a Status.

        uid, resource_version: preconditions; Conflict when they do not hold.
        """
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
        if preconditions:
            body["preconditions"] = preconditions
        if propagation:
            body["propagationPolicy"] = propagation
        return await self.request("DELETE", resource.path(namespace, name), body=body)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        seconds: int | None = None,
        bookmarks: bool = True,
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Changes after ``resource_version`` ("" begins with all objects as ADDED)::

            async with client.watch(PODS, resource_version=listing.resource_version) as events:
                async for event in events: ...

        The iteration ends when the server ends the watch in good order, at the latest after ``seconds`` (None: five to ten
        minutes, drawn anew each time). It raises Gone when the version is too old, ApiUnreachable when the stream is
        cut or nothing ended it in time, ApiError for another ERROR event.
        """
        seconds = seconds if seconds is not None else random.randint(300, 600)  # noqa: S311 - spreads load, no secret
        query = {"watch": "true", "timeoutSeconds": str(seconds)} | _selection(label_selector, field_selector)
        if resource_version:
            query["resourceVersion"] = resource_version
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        path = resource.path(namespace)
        deadline = trio.current_time() + seconds + WATCH_MARGIN
        async with self._transport.stream(Call("GET", path, query)) as chunks:
            what = f"watch of {resource.qualified} at {self.server}"
            yield WatchStream(chunks, LineSplitter(self._limits.line), deadline, what)


def _selection(label_selector: str, field_selector: str) -> dict[str, str]:
    pairs = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    return {key: value for key, value in pairs if value}


def _filled(obj: Object, resource: Resource, subresource: str = "") -> Object:
    """Items of a list, and answers of some servers, leave out what they are."""
    if obj.get("kind") or subresource not in ("", "status"):
        return obj
    return {"kind": resource.kind, "apiVersion": resource.api_version} | obj
