"""One request of a node, and what its handlers may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from beehive.message import MalformedMessage, Message
from beehive.resource import Resource as Path
from cloudcore.edgecontroller.cluster import Cluster
from cloudcore.edgecontroller.location import POD
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import PODS
from kube.status import bad_request

T = TypeVar("T")


async def _nothing(*_: object) -> None:
    """There is no node to tell anything."""


@dataclass(frozen=True)
class World:
    """What handlers work with. address: cloudcore's own, which becomes an annotation of each node.

    refill(node): send everything to this node again, whatever it is believed to have. stray(node, path, uid): the node has a pod
    that the API does not have. Both raise ApiError.
    """

    client: Client
    cluster: Cluster
    address: str = ""
    refill: Callable[[str], Awaitable[None]] = _nothing
    stray: Callable[[str, Path, str], Awaitable[None]] = _nothing

    def known_pod(self, namespace: str, name: str) -> Object | None:
        return self.cluster.get(Path(namespace, POD, name))

    async def pod(self, path: Path, uid: str = "") -> Object:
        """The pod from memory, or, since memory may lag, from the API: also when it is not the one with this uid, which the
        node may have got through another cloudcore. Raises ApiError."""
        found = self.known_pod(path.namespace, path.name)
        if found is not None and uid in ("", objects.uid(found)):
            return found
        return await self.client.get(PODS, path.name, namespace=path.namespace)


@dataclass(frozen=True)
class Request:
    """``path`` is the parsed resource of ``message``; ``node`` is the certificate's, not the message's."""

    node: str
    message: Message
    path: Path

    def decode(self, type_: type[T]) -> T:
        """The content. Raises ApiError (BadRequest) when it is something else."""
        try:
            return self.message.decode(type_)
        except MalformedMessage as error:
            raise bad_request(str(error)) from error

    def object(self) -> Object:
        """The content as a Kubernetes object. Raises ApiError."""
        found: Any = self.decode(dict[str, Any])
        return dict(found)

    def embedded(self, type_: type[T]) -> T:
        """The content of a patch message: a JSON *string* that holds JSON; plain JSON is accepted too. Raises ApiError."""
        content = bytes(self.message.content).lstrip()
        text = self.decode(str).encode() if content.startswith(b'"') else content
        try:
            return msgspec.json.decode(text, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise bad_request(f"content of {self.message.operation} {self.message.resource!r}: {error}") from error

    def named(self, obj: Object) -> None:
        """Checks that an object in the content is the one of the path. Raises ApiError."""
        if objects.name(obj) != self.path.name:
            raise bad_request(f"the object in the content is {objects.name(obj)!r}, the message is about {self.path.name!r}")
