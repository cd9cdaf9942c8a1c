"""The ASGI application: who asks, for what, and what becomes of errors."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Any

import trio

from beehive.sqlite import StoreError
from cloudcore.apiserver import body, discovery, openapi, openapi_v2
from cloudcore.apiserver.accounts import Accounts
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.authn import authenticate, authorize
from cloudcore.apiserver.request import Request, target
from cloudcore.apiserver.resources import Resources, Stream
from cloudcore.apiserver.response import JSON, Receive, Response, Send, error_response, json_response
from cloudcore.apiserver.reviews import review
from kube import status
from kube.status import ApiError
from viaduct.http_server import BodyIncomplete, BodyTooLarge, read_body

log = logging.getLogger(__name__)

_TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
_STREAM = [(b"content-type", JSON.encode()), (b"cache-control", b"no-cache, private")]
_OPEN = ("/healthz", "/livez", "/readyz", "/version")


class Application:
    """One per server."""

    def __init__(self, api: Api, accounts: Accounts) -> None:
        self._api = api
        self._accounts = accounts
        self._resources = Resources(api)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except ApiError as error:
            answer = error_response(error)
        except BodyTooLarge:
            answer = error_response(status.too_large(body.LIMIT))
        except BodyIncomplete:
            return
        except StoreError as error:
            answer = error_response(status.internal(str(error)))
        except Exception as error:
            log.exception("%s %s failed", scope["method"], scope["path"])
            answer = error_response(status.internal(f"{type(error).__name__}: see the log of the server"))
        if isinstance(answer, Stream):
            await _send_stream(answer, send)
        else:
            await answer.send(send, head=scope["method"] == "HEAD")

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Response | Stream:
        request = Request.from_scope(scope)
        path = request.path.rstrip("/") or "/"
        if request.method in ("GET", "HEAD") and "/" + (path + "/").split("/")[1] in _OPEN:
            return self._open(path)
        user = authenticate(request, self._accounts)

        async def read() -> bytes:
            return await read_body(receive, body.LIMIT)

        if (document := self._document(request, path)) is not None:
            return document
        if (answer := await review(user, request, read)) is not None:
            return answer
        wanted = target(path)
        if wanted is None:
            raise status.no_such_resource()
        authorize(user, request, wanted)
        if (wanted.plural, wanted.subresource, request.method) == ("serviceaccounts", "token", "POST"):
            return json_response(201, self._accounts.issue(wanted, body.decode(await read(), request.media_type)))
        if (request.method, path) == ("POST", _TOKEN_REVIEWS):
            return json_response(201, self._accounts.review(body.decode(await read(), request.media_type)))
        return await self._resources.answer(request, wanted, read)

    def _open(self, path: str) -> Response:
        if path == "/version":
            return json_response(200, discovery.version())
        return Response(200, b"ok", "text/plain; charset=utf-8")

    def _document(self, request: Request, path: str) -> Response | None:
        if request.method not in ("GET", "HEAD"):
            return None
        registry = self._api.registry
        if path in ("/api", "/apis"):
            return _groups(self._api, request, path)
        if path == "/openapi/v3":
            return json_response(200, openapi.index(registry))
        if path == "/openapi/v2":
            return Response(200, openapi_v2.document(registry), openapi_v2.MEDIA_TYPE)
        found = None
        if path.startswith("/openapi/v3/"):
            found = openapi.document(registry, path.removeprefix("/openapi/v3/"))
        elif path.startswith(("/api/", "/apis/")):
            parts = path.strip("/").split("/")
            match parts:
                case ["api", version]:
                    found = discovery.resource_list(registry, "", version)
                case ["apis", group, version]:
                    found = discovery.resource_list(registry, group, version)
                case ["apis", group]:
                    versions = [version for name, version in registry.group_versions if name == group]
                    found = discovery.group(group, versions) if versions else None
        return None if found is None else json_response(200, found)


def _groups(api: Api, request: Request, path: str) -> Response:
    accept = request.headers.get("accept", "")
    if "as=APIGroupDiscoveryList" in accept and "v=v2;" in accept + ";":
        found = discovery.aggregated(api.registry, core=path == "/api")
        answer = json_response(200, found)
        media = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        return Response(200, answer.body, media, headers={"Vary": "Accept", "Cache-Control": "public"})
    found = discovery.core_versions() if path == "/api" else discovery.groups(api.registry)
    return json_response(200, found)


async def _send_stream(stream: Stream, send: Send) -> None:
    headers = [(b"content-type", JSON.encode()), (b"cache-control", b"no-cache, private")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # An empty piece makes the headers go out now: clients wait for them before they count a watch as begun.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    with trio.move_on_after(stream.seconds) as scope, stream.kind.watched(scope):
        async with aclosing(stream.lines) as lines:
            async for line in lines:
                if line:
                    await send({"type": "http.response.body", "body": line, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
