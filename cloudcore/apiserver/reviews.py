"""Questions about oneself: ``kubectl auth whoami`` and ``kubectl auth can-i``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from cloudcore.apiserver import body
from cloudcore.apiserver.authn import User
from cloudcore.apiserver.credentials import ADMINISTRATORS
from cloudcore.apiserver.request import Request
from cloudcore.apiserver.response import Response, json_response
from kube import status
from kube.objects import Object

_WHO: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_MAY: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def review(user: User, request: Request, read: Callable[[], Awaitable[bytes]]) -> Response | None:
    """The answer, or None when the request is no such question. Raises ApiError."""
    if request.method != "POST" or request.path not in (_WHO, _MAY):
        return None
    asked = body.decode(await read(), request.media_type)
    if not isinstance(asked, dict):
        raise status.bad_request("expected a JSON object")
    answer: Object
    if request.path == _WHO:
        answer = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
    else:
        answer = {"allowed": ADMINISTRATORS in user.groups}
    return json_response(201, {**asked, "status": answer})
