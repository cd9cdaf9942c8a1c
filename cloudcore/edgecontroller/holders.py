"""Which cloudcore holds the connection of which node: one Lease per node in namespace ``kubeedge``, never renewed.

Several cloudcores may serve the same cluster, and a node may come to any of them while another one still takes its old,
half-open connection for alive. Whoever gets a connection writes its own identity into the Lease of the node, by compare-and-set;
the one that had it before sees this, ends its session and leaves the node's records alone. KubeEdge notes an address on the Node
instead; but two processes may have the same address, and a node that connects for the first time has no Node yet.

The Lease also remembers the certificate with which the node last connected, whichever cloudcore issued it: another one may be
that of another machine of the same name, of which no record is true.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio

from beehive.supervise import supervise
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.reflector import Reflector
from kube.resources import LEASES
from kube.status import AlreadyExists, Conflict, NotFound

log = logging.getLogger(__name__)

NAMESPACE: Final = "kubeedge"
NODE: Final = "edgecore.io/node"
"""Annotation: of which node the Lease is."""
CERTIFICATE: Final = "edgecore.io/certificate"
"""Annotation: SHA-256 of the certificate of the machine that the node's records are about."""
DEADLINE: Final = 10.0
"""Seconds for one call."""
LONGEST: Final = 253
"""Characters in the name of an object."""


class Claim(NamedTuple):
    """uid: of the Lease. number: how often it has changed hands; who claims later has the higher one."""

    uid: str
    number: int


class Claimed(NamedTuple):
    """moved: it may be that another process held the node before. known: the records are about this machine."""

    moved: bool
    known: bool


def lease_name(node: str) -> str:
    plain = f"node.{node}"
    return plain if len(plain) <= LONGEST else f"node.{hashlib.sha256(node.encode()).hexdigest()}"


class Holders:
    """The Leases of all nodes. lost(node) is called when a node that was ours is somebody else's.

    identity: of this process, like no other's at any time. alone: nobody else can serve this API.
    """

    def __init__(self, client: Client, identity: str, *, lost: Callable[[str], None], alone: bool = False) -> None:
        self.identity = identity
        self._client = client
        self._alone = alone
        self._lost = lost
        self._claims: dict[str, Claim] = {}
        self._leases = Reflector(client, LEASES, namespace=NAMESPACE, on_change=self._changed)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follows the Leases; reports started when they have been listed once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, "watch of who holds which node", self._leases.run)
            await self._leases.synced.wait()
            task_status.started()

    def nodes(self) -> set[str]:
        """Those that have a Lease."""
        return {objects.annotations(lease).get(NODE, "") for lease in self._leases} - {""}

    def holds(self, node: str) -> bool:
        """Whether the node is ours, as far as is known here."""
        return node in self._claims

    async def claim(self, node: str, certificate: str) -> Claimed:
        """From now on the node is ours, until somebody else says the same. Raises ApiError, trio.TooSlowError."""
        lease = self._leases.get(lease_name(node), NAMESPACE)
        with trio.fail_after(DEADLINE):
            while True:
                held = lease is not None and objects.spec(lease).get("holderIdentity") == self.identity
                known = lease is not None and objects.annotations(lease).get(CERTIFICATE) == certificate
                if lease is not None and held and self._alone:
                    written: Object | None = lease
                else:
                    written = await self._put(self._claiming(node, lease), lease)
                if written is not None:
                    break
                lease = await self._get(node)
        self._claims[node] = Claim(objects.uid(written), _number(written))
        # The news that somebody was faster still may have overtaken the answer to our call.
        self._changed(None, self._leases.get(lease_name(node), NAMESPACE))
        return Claimed(moved=not held and not self._alone, known=known)

    def _claiming(self, node: str, lease: Object | None) -> Object:
        spec: dict[str, Any] = {
            "holderIdentity": self.identity,
            "leaseTransitions": _number(lease) + 1,
            "acquireTime": objects.micro_timestamp(),
        }
        return _lease(node, lease, objects.annotations(lease or {}), spec)

    async def know(self, node: str, certificate: str) -> None:
        """Remembers that the records of the node are about the machine with this certificate. Raises ApiError (Conflict: the node
        is somebody else's by now), trio.TooSlowError."""
        with trio.fail_after(DEADLINE):
            lease = await self._client.get(LEASES, lease_name(node), namespace=NAMESPACE)
            if Claim(objects.uid(lease), _number(lease)) == self._claims.get(node):
                noted = objects.annotations(lease) | {CERTIFICATE: certificate}
                fresh = _lease(node, lease, noted, objects.spec(lease))
                await self._client.replace(LEASES, lease_name(node), fresh, namespace=NAMESPACE)

    async def forget(self, node: str) -> None:
        """Removes the Lease of a node that will not come back. Raises ApiError, trio.TooSlowError."""
        lease = self._leases.get(lease_name(node), NAMESPACE)
        if lease is None:
            return
        with trio.fail_after(DEADLINE):
            try:
                version = objects.resource_version(lease)
                await self._client.delete(LEASES, objects.name(lease), namespace=NAMESPACE, resource_version=version)
            except (NotFound, Conflict):
                log.debug("the Lease of node %s is gone, or somebody has claimed it", node)

    async def _get(self, node: str) -> Object | None:
        try:
            return await self._client.get(LEASES, lease_name(node), namespace=NAMESPACE)
        except NotFound:
            return None

    async def _put(self, lease: Object, seen: Object | None) -> Object | None:
        """Creates, or replaces what was seen and nothing else. None: somebody else was faster."""
        try:
            if seen is None:
                return await self._client.create(LEASES, lease, namespace=NAMESPACE)
            return await self._client.replace(LEASES, objects.name(lease), lease, namespace=NAMESPACE)
        except (AlreadyExists, Conflict, NotFound):
            return None

    def _changed(self, old: Object | None, new: Object | None) -> None:
        some = new or old
        if some is None:
            return
        node = objects.annotations(some).get(NODE, "")
        claim = self._claims.get(node)
        if claim is None:
            return
        same = new is not None and objects.uid(new) == claim.uid
        if same and new is not None and _number(new) <= claim.number:
            return
        if not same and (old is None or objects.uid(old) != claim.uid):
            return  # older news than our claim
        del self._claims[node]
        self._lost(node)


def _lease(node: str, seen: Object | None, annotations: dict[str, str], spec: dict[str, Any]) -> Object:
    kept = {key: value for key, value in objects.metadata(seen or {}).items() if key != "managedFields"}
    own = {"name": lease_name(node), "namespace": NAMESPACE, "annotations": annotations | {NODE: node}}
    return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": kept | own, "spec": spec}


def _number(lease: Object | None) -> int:
    found = objects.spec(lease or {}).get("leaseTransitions")
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
