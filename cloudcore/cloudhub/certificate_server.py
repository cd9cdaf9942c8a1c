"""The HTTPS service that a node joins through (port 10002): ``/ca.crt``, ``/edge.crt``, ``/node/<name>``.

KubeEdge 1.23: cloud/pkg/cloudhub/servers/httpserver. Certificates and requests travel as DER; ``/edge.crt`` is a GET with a body.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from kube.client import Client
from kube.resources import NODES
from kube.status import ApiError, NotFound
from viaduct import token
from viaduct.certificates import Authority, CertificateError
from viaduct.http_server import BodyIncomplete, BodyTooLarge, PeerCertificate, Receive, Scope, Send, read_body

log = logging.getLogger(__name__)

REQUEST_LIMIT: Final = 1024 * 1024
"""Bytes of a certificate request."""
LOOKUP: Final = 10.0
"""Seconds for a look into the Kubernetes API."""
LOOKUPS: Final = 8
"""At the same time: whoever asks is not known, and must not take the connections that nodes need."""
NODE_PREFIX: Final = "system:node:"
NODES_GROUP: Final = "system:nodes"
CLIENT_AUTH: Final = 2
"""Go's number of the extended key usage."""

_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def _text(status: int, text: str) -> Answer:
    return Answer(status, text.encode())


def _der(body: bytes) -> Answer:
    return Answer(200, body, "application/octet-stream")


class CertificateServer:
    """An ASGI application. days: how long a node's certificate is valid."""

    def __init__(self, client: Client, authority: Authority, *, days: int) -> None:
        self._client = client
        self._authority = authority
        self._days = days
        self._lookups = trio.CapacityLimiter(LOOKUPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except BodyTooLarge as error:
            answer = _text(413, str(error))
        except BodyIncomplete:
            return
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path: str = scope["path"]
        route = _ROUTES.get(path) or (CertificateServer._node if path.startswith("/node/") else None)
        if route is None:
            return _text(404, "404 page not found\n")
        if scope["method"] not in ("GET", "HEAD"):
            return _text(405, "only GET is served here\n")
        return await route(self, scope, receive)

    async def _ca(self, scope: Scope, receive: Receive) -> Answer:
        return _der(self._authority.certificate_der)

    async def _edge(self, scope: Scope, receive: Receive) -> Answer:
        headers = _headers(scope)
        node = headers.get("nodename", "")
        if not _NODE_NAME.fullmatch(node):
            return _text(400, f"the NodeName header must be a node's name, it is {node!r}")
        peer: PeerCertificate | None = scope.get("state", {}).get("peer")
        if (why := self._unauthorized(node, peer, headers.get("authorization", ""))) is not None:
            log.warning("node %s from %s gets no certificate: %s", node, _address(scope), why)
            return _text(401, why)
        if not _wants_client(headers.get("extkeyusages", "")):
            return _text(400, "only certificates for client authentication are issued here")
        request = await read_body(receive, REQUEST_LIMIT)  # of nobody who is not let in: it would be kept for a minute
        try:
            der = self._authority.sign_request(request, node=node, days=self._days)
        except CertificateError as error:
            log.warning("node %s from %s gets no certificate: %s", node, _address(scope), error)
            return _text(500, str(error))
        log.info("issued a certificate for node %s at %s, %s", node, _address(scope), "renewal" if peer else "by token")
        return _der(der)

    def _unauthorized(self, node: str, peer: PeerCertificate | None, authorization: str) -> str | None:
        """Why a request is refused; None when it is in order. A certificate counts before a token."""
        if peer is not None:
            if peer.common_name == NODE_PREFIX + node and NODES_GROUP in peer.organizations:
                return None
            return f"the client certificate is for {peer.common_name!r}, the request for node {node!r}"
        try:
            token.verify(token.bearer(authorization), self._authority.key_der)
        except token.TokenError as error:
            return str(error)
        return None

    async def _node(self, scope: Scope, receive: Receive) -> Answer:
        """``keadm join`` goes on only with 404: no other machine has this name."""
        name = scope["path"].removeprefix("/node/")
        if not _NODE_NAME.fullmatch(name):
            return _text(404, f'nodes "{name[:253]}" not found')
        try:
            with trio.fail_after(LOOKUP):
                async with self._lookups:
                    await self._client.get(NODES, name)
        except NotFound as error:
            return _text(404, str(error))
        except (ApiError, trio.TooSlowError) as error:
            return _text(500, f"cannot tell whether node {name} exists: {error or 'the Kubernetes API is too slow'}")
        return _text(200, f"node {name} exists")


_Route = Callable[[CertificateServer, Scope, Receive], Awaitable[Answer]]
_ROUTES: Final[dict[str, _Route]] = {"/ca.crt": CertificateServer._ca, "/edge.crt": CertificateServer._edge}


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _wants_client(header: str) -> bool:
    """ExtKeyUsages is a JSON array of Go's numbers. Server certificates are not given to nodes: every edge would trust them."""
    if not header.strip():
        return True
    try:
        return CLIENT_AUTH in msgspec.json.decode(header, type=list[int])
    except msgspec.DecodeError:
        return False


def _address(scope: Scope) -> Any:
    client = scope.get("client")
    return client[0] if client else "?"
