"""What edged asks of the rest of the edge half. It is served by the MetaManager; tests serve it from a dictionary."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from kube.objects import Object


class ObjectKey(NamedTuple):
    """An object that may have changed. ``type`` is the word of the resource path: pod, configmap, secret, node."""

    type: str
    namespace: str
    name: str


class MetaError(Exception):
    """A question to the MetaManager could not be answered. The text names the object and the cause."""


class Offline(MetaError):
    """It needs the cloud, and there is no link now, or the link broke, or no answer came in time."""


class NotFound(MetaError):
    """The cloud (or, offline, the local store) says that there is no such object."""


class Refused(MetaError):
    """The cloud answered with a failure. ``code`` and ``reason`` are those of the Kubernetes Status."""

    def __init__(self, text: str, *, code: int, reason: str) -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class MetaClient(Protocol):
    """Reads never need the cloud when the local store can answer; writes go to the cloud and raise Offline without it."""

    @property
    def connected(self) -> bool: ...

    async def pods(self) -> list[Object]:
        """Every pod that is bound to this node, as last heard from the cloud. Raises beehive.sqlite.StoreError: never an
        empty list because of an error."""

    async def pod(self, namespace: str, name: str) -> Object | None: ...

    async def node(self) -> Object | None:
        """This node as the cloud last sent it."""

    async def config_map(self, namespace: str, name: str) -> Object:
        """Local store first, else the cloud (then stored). Raises NotFound, Offline, Refused."""

    async def secret(self, namespace: str, name: str) -> Object:
        """As ``config_map``."""

    async def service_account_token(self, namespace: str, account: str, request: Object) -> Object:
        """A TokenRequest with its status filled in; stored per request, handed out from the store when offline."""

    async def register_node(self, node: Object) -> Object:
        """Creates the Node. Raises Refused with reason AlreadyExists, Offline."""

    async def patch_node_status(self, patch: Object) -> Object:
        """Strategic merge patch of the Node's status, ``{"status": ...}``; the result is stored and returned."""

    async def patch_pod_status(self, namespace: str, name: str, patch: Object) -> Object:
        """Strategic merge patch ``{"metadata": {"uid": ...}, "status": ...}``; the result is stored and returned."""

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Tells the cloud that the pod has ended here (grace 0, uid precondition). NotFound counts as done."""

    async def lease(self, name: str) -> Object:
        """The node's lease. Raises NotFound, Offline."""

    async def create_lease(self, lease: Object) -> Object: ...

    async def update_lease(self, lease: Object) -> Object:
        """Raises Refused with reason Conflict when the resource version is stale."""

    async def report_event(self, event: Object) -> None:
        """Sends an Event if there is a link; drops it (counted) otherwise."""
