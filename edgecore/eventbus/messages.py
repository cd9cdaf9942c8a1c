"""MQTT messages as messages to the cloud, and messages of the cloud as what is to be done with MQTT.

Source: KubeEdge 1.23: edge/pkg/eventbus/eventbus.go, mqtt/handler.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from beehive.message import MalformedMessage, Message, Operation, build

SOURCE = "bus"
GROUP = "user"
ROUTER = "router_eventbus"
"""Where messages of the cloud for the bus come from."""


def upload(topic: str, payload: bytes) -> Message:
    """For the cloud's router. A payload is text there: what is no UTF-8 is replaced."""
    return build(
        source=SOURCE, group=GROUP, operation=Operation.UPLOAD, resource=topic, content=payload.decode("utf-8", "replace")
    )


@dataclass(frozen=True, slots=True)
class Publication:
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    filter: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    filter: str


Order: TypeAlias = Publication | Subscribe | Unsubscribe


def order(message: Message, node: str) -> Order | None:
    """What a message asks the bus to do; None: nothing (a notice of the connection).

    Raises MalformedMessage.
    """
    match message.operation:
        case "publish":
            return Publication(message.resource, _payload(message))
        case "subscribe":
            return Subscribe(message.resource)
        case "unsubscribe":
            return Unsubscribe(message.resource)
        case "message":
            return _enclosed(message)
        case "get_result":
            if message.resource != "auth_info":
                raise MalformedMessage(f"get_result of {message.resource!r}: only auth_info is known")
            return Publication(f"$hw/events/node/{node}/authInfo/get/result", _payload(message))
        case "connect":
            return None
        case other:
            raise MalformedMessage(f"the operation {other!r} is not for the event bus")


def _payload(message: Message) -> bytes:
    """The text of a JSON string, nothing for null, any other JSON as it is."""
    content = bytes(message.content).strip()
    if content.startswith(b'"'):
        return message.decode(str).encode("utf-8", "surrogatepass")
    return b"" if content in (b"", b"null") else content


def _enclosed(message: Message) -> Publication:
    """``{"message": {"topic": ...}}``: the inner object is published, as JSON, on the topic that it names."""
    import msgspec

    inner = message.decode(dict[str, Any]).get("message")
    topic = inner.get("topic") if isinstance(inner, dict) else None
    if not isinstance(topic, str):
        raise MalformedMessage("content of message: an object with message.topic was expected")
    return Publication(topic, msgspec.json.encode(inner))
