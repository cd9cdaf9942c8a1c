"""After the local store was lost (a corrupt file set aside, a wiped disk): gets everything back without hurting what runs.

The protocol has no "send me my pods", and a real cloudcore believes that everything recorded in its ObjectSyncs is here. So:

1. While pods run here that the store does not know, ``pods()`` is an error, not an empty list: nobody removes them.
2. Each of them is asked for with a status patch that changes nothing: every cloudcore answers a patch with the whole pod
   (protocol U10), or says that it is gone.
3. ``query null/podlist/<node>`` asks for all the rest. Ours forgets what it believes about this node and sends everything
   again; a real cloudcore logs the unknown type and drops it. Its other pods come back when they next change, or at once
   after ``kubectl delete objectsyncs`` of this node and a restart of cloudcore.
4. ConfigMaps and Secrets are asked for when a pod needs them, as always.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.message import Operation, build
from beehive.resource import CLUSTER_SCOPE, Resource
from edgecore.edged.runtime.engine import Engine, EngineError, PodIdentity
from edgecore.edgehub.outbox import Outbox
from edgecore.metamanager.client import NotFound, Offline, Refused
from edgecore.store import Store

log = logging.getLogger(__name__)

FILLED: Final = "filled"
_NOT_YET: Final = "no"
_GONE: Final = (404, 409, 422)
_PODLIST_TIMEOUT: Final = 10.0

Recover = Callable[[PodIdentity], Awaitable[None]]


class Refill:
    """recover: asks the cloud for one pod; raises as MetaClient's calls do."""

    def __init__(self, store: Store, outbox: Outbox, node: str, recover: Recover) -> None:
        self._store = store
        self._outbox = outbox
        self._node = node
        self._recover = recover
        self._lost: set[PodIdentity] = set()
        self._begun = trio.Event()
        self._surveyed = trio.Event()
        self._linked = trio.Event()
        self.needed = False
        """The store does not know yet what the cloud wants here."""

    @property
    def guarding(self) -> bool:
        """Whether pods run here of which the store does not know whether they are wanted."""
        if not self._begun.is_set():
            return True
        return self.needed and (not self._surveyed.is_set() or bool(self._lost))

    async def _begin(self) -> None:
        """Finds out whether the store is new."""

        def look() -> bool:
            state = self._store.state(FILLED)
            if state is None and not self._store.keys("pod") and not self._store.keys("node"):
                self._store.set_state(FILLED, _NOT_YET)  # a kill while it is filled must not make it count as full
                return True
            return state == _NOT_YET

        self.needed = await self._store.database.write(look)
        self._begun.set()

    async def survey(self, engine: Engine) -> None:
        """Remembers which pods run here. Returns at once unless the store is new."""
        await self._begun.wait()
        delays = Backoff(first=1.0, limit=10.0)
        while self.needed and not self._surveyed.is_set():
            try:
                self._lost = {pod.pod for pod in await engine.list_pods()}
                self._surveyed.set()
                break
            except EngineError as error:
                log.warning("cannot find out which pods run here: %s", error)
            await trio.sleep(delays.next())
        if self.guarding:
            log.error(
                "the local store is new, but %d pods run here: they are left alone until the cloud was asked", len(self._lost)
            )

    async def skip_survey(self) -> None:
        """Nobody here runs or removes pods."""
        self._surveyed.set()
        await self._begun.wait()

    def on_connection(self, connected: bool) -> None:
        if connected:
            self._linked.set()
        else:
            self._linked = trio.Event()

    async def run(self) -> None:
        """Returns when the store is filled. Raises StoreError; start it again then."""
        await self._begin()
        delays = Backoff(first=1.0, limit=30.0)
        while self.needed:
            await self._linked.wait()
            try:
                await self._fill()
            except (Offline, Refused) as error:
                log.warning("the local store is not filled yet: %s", error)
                await trio.sleep(delays.next())

    async def _fill(self) -> None:
        await self._surveyed.wait()
        for identity in sorted(self._lost, key=lambda pod: (pod.namespace, pod.name)):
            await self._recover_one(identity)
        await self._ask_for_everything()
        await self._store.database.write(lambda: self._store.set_state(FILLED, "yes"))
        self.needed = False
        log.info("the local store is filled from the cloud")

    async def _recover_one(self, identity: PodIdentity) -> None:
        try:
            await self._recover(identity)
            log.info("pod %s/%s is wanted: it goes on", identity.namespace, identity.name)
        except NotFound:
            log.info("pod %s/%s is not wanted any more", identity.namespace, identity.name)
        except Refused as error:
            if error.code not in _GONE:
                raise
            log.info("pod %s/%s is not wanted any more: %s", identity.namespace, identity.name, error)
        self._lost.discard(identity)

    async def _ask_for_everything(self) -> None:
        place = Resource(CLUSTER_SCOPE, "podlist", self._node)
        question = build(source="metamanager", group="meta", operation=Operation.QUERY, resource=str(place))
        try:
            answer = await self._outbox.request(question, timeout=_PODLIST_TIMEOUT)
        except Offline:
            if not self._outbox.connected:
                raise
            log.info("this cloud does not send everything again on request; what changes comes anyway")
            return
        if bytes(answer.content).strip() != b'"OK"':
            log.info("this cloud does not send everything again on request; what changes comes anyway")
