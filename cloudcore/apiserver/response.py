"""Answers, and the ASGI messages that carry them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from kube.objects import Object
from kube.status import ApiError

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]

JSON = "application/json"


@dataclass(frozen=True)
class Response:
    """A whole answer. warnings are shown to the user by kubectl."""

    code: int
    body: bytes
    media_type: str = JSON
    warnings: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, send: Send, *, head: bool = False) -> None:
        headers = [(b"content-type", self.media_type.encode()), (b"content-length", str(len(self.body)).encode())]
        if "Cache-Control" not in self.headers:
            headers.append((b"cache-control", b"no-cache, private"))
        headers += [(key.lower().encode(), value.encode("latin-1", "replace")) for key, value in self.headers.items()]
        for warning in self.warnings:
            text = "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in warning)
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            headers.append((b"warning", f'299 - "{quoted}"'.encode()))
        await send({"type": "http.response.start", "status": self.code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


def json_response(code: int, value: Object | msgspec.Raw, *, warnings: tuple[str, ...] = ()) -> Response:
    return Response(code, msgspec.json.encode(value), warnings=warnings)


def error_response(error: ApiError) -> Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(int(error.retry_after))
    return Response(error.code, msgspec.json.encode(error.to_status()), warnings=error.warnings, headers=headers)
