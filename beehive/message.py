"""The message that travels between cloud and edge, and between the modules of each half.

The JSON form is fixed by the protocol (KubeEdge 1.23: staging/src/github.com/kubeedge/beehive/pkg/core/model/message.go).
The content stays undecoded bytes until somebody has to look inside; a relay never does.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

NULL: Final = msgspec.Raw(b"null")
OK: Final = msgspec.Raw(b'"OK"')


class Operation:
    """The words of ``route.operation``. ``config``, ``ping`` and ``pong`` are reserved by the transport: never use them."""

    INSERT: Final = "insert"
    UPDATE: Final = "update"
    DELETE: Final = "delete"
    QUERY: Final = "query"
    PATCH: Final = "patch"
    RESPONSE: Final = "response"
    ERROR: Final = "error"
    KEEPALIVE: Final = "keepalive"
    UPLOAD: Final = "upload"


class MalformedMessage(Exception):
    """Bytes from a peer are not a message. The text says what was expected and where it was missed."""


def _absent_string() -> str:
    """Default of a field that is written even when empty (msgspec omits only plain defaults)."""
    return ""


def _absent_number() -> int:
    return 0


class Header(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"id": "msg_id", "parent_id": "parent_msg_id", "resource_version": "resourceversion"},
):
    """Who a message is and what it answers.

    id: UUIDv4, lower case. parent_id: the id of the message that this one answers or acknowledges.
    timestamp: milliseconds since the epoch. resource_version: of the object in the content.
    """

    id: str = msgspec.field(default_factory=_absent_string)
    parent_id: str = ""
    timestamp: int = msgspec.field(default_factory=_absent_number)
    resource_version: str = ""
    sync: bool = False
    type: str = ""


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a message comes from, where it goes, and what it asks for."""

    source: str = ""
    destination: str = ""
    group: str = ""
    operation: str = ""
    resource: str = ""


class Message(msgspec.Struct, frozen=True):
    """One message. ``content`` is JSON text that nobody has looked into yet."""

    header: Header = Header()
    route: Route = Route()
    content: msgspec.Raw = NULL

    @property
    def id(self) -> str:
        return self.header.id

    @property
    def parent_id(self) -> str:
        return self.header.parent_id

    @property
    def operation(self) -> str:
        return self.route.operation

    @property
    def resource(self) -> str:
        return self.route.resource

    def decode(self, type_: type[T]) -> T:
        """The content as ``type_``.

        Raises MalformedMessage when the content does not fit.
        """
        try:
            return msgspec.json.decode(self.content, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedMessage(f"content of {self.operation} {self.resource!r}: {error}") from error

    def with_resource(self, resource: str) -> Message:
        """The same message (same id) about another resource path: how the hub adds and removes ``node/<name>/``."""
        return msgspec.structs.replace(self, route=msgspec.structs.replace(self.route, resource=resource))

    def is_response(self) -> bool:
        return self.operation == Operation.RESPONSE


def raw(content: object) -> msgspec.Raw:
    """JSON text of any content that msgspec can encode; an already raw content passes through."""
    if isinstance(content, msgspec.Raw):
        return content
    return msgspec.Raw(msgspec.json.encode(content))


def new_id() -> str:
    return str(uuid.uuid4())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def build(
    *,
    source: str,
    group: str,
    operation: str,
    resource: str,
    content: object = None,
    resource_version: str = "",
    parent_id: str = "",
) -> Message:
    """A new message with an id and a timestamp of its own."""
    return Message(
        Header(id=new_id(), parent_id=parent_id, timestamp=now_ms(), resource_version=resource_version),
        Route(source=source, group=group, operation=operation, resource=resource),
        raw(content),
    )


def respond(request: Message, content: object, *, source: str = "", group: str = "", resource_version: str = "") -> Message:
    """The answer to ``request``: new id, parent set, route copied (KubeEdge 1.23: Message.NewRespByMessage)."""
    return build(
        source=source or request.route.source,
        group=group or request.route.group,
        operation=Operation.RESPONSE,
        resource=request.resource,
        content=content,
        resource_version=resource_version,
        parent_id=request.id,
    )


def acknowledge(delivered: Message) -> Message:
    """Says that ``delivered`` is on disk here (protocol message U2: content ``"OK"``, parent = the delivered id)."""
    return respond(delivered, OK)


def fail(request: Message, text: str, *, source: str = "", group: str = "") -> Message:
    """A failure answer: operation ``error``, plain text content. It never counts as an acknowledgement."""
    return build(
        source=source or request.route.source,
        group=group or request.route.group,
        operation=Operation.ERROR,
        resource=request.resource,
        content=text,
        parent_id=request.id,
    )


_decoder: Final = msgspec.json.Decoder(Message)
_encoder: Final = msgspec.json.Encoder()


def decode(data: bytes | str) -> Message:
    """Parses one JSON document.

    Raises MalformedMessage for anything else: not JSON, ``null``, a wrong type in any field, or nested too deeply.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(str(error)) from error


def encode(message: Message) -> bytes:
    """One line of compact JSON, without a line end."""
    return _encoder.encode(message)


def content_text(message: Message) -> str | None:
    """The content if it is a JSON string, else None."""
    if not bytes(message.content).lstrip().startswith(b'"'):
        return None
    value: Any = message.decode(str)
    return str(value)
