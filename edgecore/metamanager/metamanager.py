"""The MetaManager: what the cloud says is committed, then acknowledged, then shown to edged.

Everything from the cloud goes through one ordered pipeline: pushes and answers are applied in the order of their arrival, a
batch per transaction, so that a late answer can never undo a deletion that came after it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Any, Final

import msgspec
import trio

from beehive.message import Message, Operation, build
from beehive.resource import CLUSTER_SCOPE, Resource
from beehive.sqlite import StoreError
from beehive.supervise import supervise
from edgecore.edged.runtime.engine import Engine, PodIdentity
from edgecore.edgehub.outbox import Outbox
from edgecore.metamanager import answers, tokens
from edgecore.metamanager.client import NotFound, ObjectKey, Offline, Refused
from edgecore.metamanager.intake import Intake, Outcome
from edgecore.metamanager.refill import Refill
from edgecore.store import Store
from kube import objects
from kube.objects import Object

log = logging.getLogger(__name__)

_BATCH: Final = 256
_LEASES: Final = "kube-node-lease"
_DELETED: Final = {"gracePeriodSeconds": 0}


class MetaManager:
    """Implements ``edgecore.metamanager.client.MetaClient``; feed it with ``deliver``, run it with ``run``."""

    def __init__(self, store: Store, outbox: Outbox, node: str, *, query_timeout: float = 60.0) -> None:
        self._store = store
        self._outbox = outbox
        self._node = node
        self._timeout = query_timeout
        self._intake = Intake(store, node, time.monotonic)
        self._send, self._receive = trio.open_memory_channel[Message](_BATCH)
        self._notify: list[Callable[[ObjectKey], None]] = []
        self._refill = Refill(store, outbox, node, self._recover)
        self._trouble = ""
        self._old_tokens: frozenset[tuple[str, str]] = frozenset()
        """Of which tokens it was said that they are old."""

    def subscribe(self, notify: Callable[[ObjectKey], None]) -> None:
        """``notify(key)`` is called after the commit of each change."""
        self._notify.append(notify)

    def on_connection(self, connected: bool) -> None:
        """The link came up, or went."""
        self._refill.on_connection(connected)

    async def protect(self, engine: Engine | None) -> None:
        """Must be called before anybody removes pods: with a new store, what runs here may be wanted all the same.

        None: nobody here removes pods.
        """
        if engine is None:
            await self._refill.skip_survey()
        else:
            await self._refill.survey(engine)

    @property
    def refilling(self) -> bool:
        """Whether the store is new and the cloud was not asked yet for what should be in it."""
        return self._refill.needed

    @property
    def connected(self) -> bool:
        return self._outbox.connected

    # -- from the cloud ----------------------------------------------------------------------------------------------

    async def deliver(self, message: Message) -> None:
        """Takes a message of group ``resource`` or ``func``. Waits when the disk is slower than the cloud."""
        await self._send.send(message)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The pipeline. It survives a failing database: the cloud is not told "OK", and sends again."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, "refill", self._refill.run)
            await self._pipeline()

    async def _pipeline(self) -> None:
        while True:
            batch = [await self._receive.receive()]
            try:
                while len(batch) < _BATCH:
                    batch.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                pass
            await self._apply(batch)

    async def _apply(self, batch: list[Message]) -> None:
        try:
            outcomes = await self._store.database.write(lambda: [self._intake.apply(message) for message in batch])
            self._say_trouble("")
        except Exception as error:
            self._say_trouble(f"what the cloud sends cannot be stored, and is not acknowledged: {error}")
            outcomes = [Outcome(error=str(error), answer=bool(message.parent_id)) for message in batch]
        for message, outcome in zip(batch, outcomes, strict=True):
            if outcome.acknowledge:
                await self._outbox.acknowledge(message)
            elif outcome.error:
                await self._outbox.refuse(message, outcome.error)
            if outcome.answer and not self._outbox.resolve(message):
                log.debug("nobody waits for the answer about %s any more", message.resource)
            if outcome.notify is not None:
                self._tell(outcome.notify)

    def _say_trouble(self, text: str) -> None:
        if text and text != self._trouble:
            log.error("%s", text)
        elif self._trouble and not text:
            log.info("the database takes writes again")
        self._trouble = text

    def _tell(self, key: ObjectKey) -> None:
        for notify in self._notify:
            notify(key)

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _ask(self, operation: str, place: Resource, content: object = None, *, newest_wins: Hashable = None) -> Message:
        message = build(source="edged", group="meta", operation=operation, resource=str(place), content=content)
        return await self._outbox.request(message, newest_wins=newest_wins, timeout=self._timeout)

    async def _row(self, key: str) -> Object | None:
        text = await self._store.database.read(lambda: self._store.get(key))
        return None if text is None else _object(key, text)

    # -- MetaClient: reads -------------------------------------------------------------------------------------------

    async def pods(self) -> list[Object]:
        """Every stored pod. A row that cannot be read is reported, and left out alone."""
        if self._refill.guarding:
            raise StoreError("the local store was lost, and the cloud has not said yet which of the pods here are wanted")
        rows = await self._store.database.read(lambda: self._store.rows("pod"))
        found = [_object(row.key, row.value) for row in rows]
        return [pod for pod in found if pod is not None and objects.spec(pod).get("nodeName") == self._node]

    async def pod(self, namespace: str, name: str) -> Object | None:
        return await self._row(str(Resource(namespace, "pod", name)))

    async def node(self) -> Object | None:
        return await self._row(str(Resource(CLUSTER_SCOPE, "node", self._node)))

    async def config_map(self, namespace: str, name: str) -> Object:
        return await self._local_first(Resource(namespace, "configmap", name))

    async def secret(self, namespace: str, name: str) -> Object:
        return await self._local_first(Resource(namespace, "secret", name))

    async def _recover(self, pod: PodIdentity) -> None:
        """Asks for a pod that is not stored, by a patch that changes nothing."""
        key = str(Resource(pod.namespace, "pod", pod.name))
        self._intake.expected.add(key)
        try:
            await self.patch_pod_status(pod.namespace, pod.name, {"metadata": {"uid": pod.uid}, "status": {}})
        finally:
            self._intake.expected.discard(key)

    async def _local_first(self, place: Resource) -> Object:
        found = await self._row(str(place))
        if found is not None and "ErrStatus" not in found and objects.metadata(found):
            return found
        answer = await self._ask(Operation.QUERY, place)
        return answers.bare(f"{place.type} {place.namespace}/{place.name}", answer)

    async def service_account_token(self, namespace: str, account: str, request: Object) -> Object:
        key = tokens.key(namespace, account, request)
        stored = await self._row(key)
        state = tokens.freshness(stored, time.time()) if stored is not None else tokens.Freshness.EXPIRED
        if stored is not None and state is tokens.Freshness.GOOD:
            return stored
        what = f"token of service account {namespace}/{account}"
        try:
            answer = await self._ask(Operation.QUERY, Resource(namespace, tokens.TYPE, account), request)
            fresh = answers.bare(what, answer)
        except (Offline, Refused) as error:
            if stored is None or (isinstance(error, Refused) and error.code < 500):
                raise
            if (state.value, key) not in self._old_tokens:
                log.warning("%s: it cannot be renewed (%s); the stored one is handed out (%s)", what, error, state.value)
                self._old_tokens = (self._old_tokens if len(self._old_tokens) < _BATCH else frozenset()) | {(state.value, key)}
            return stored
        self._old_tokens -= {(each.value, key) for each in tokens.Freshness}
        text = msgspec.json.encode(fresh).decode()
        await self._store.database.write(lambda: self._store.put(key, tokens.TYPE, text))
        return fresh

    # -- MetaClient: writes ------------------------------------------------------------------------------------------

    async def register_node(self, node: Object) -> Object:
        answer = await self._ask(Operation.INSERT, Resource(CLUSTER_SCOPE, "node", self._node), node)
        return answers.wrapped(f"register node {self._node}", answer)

    async def patch_node_status(self, patch: Object) -> Object:
        place = Resource(CLUSTER_SCOPE, "nodepatch", self._node)
        answer = await self._ask(Operation.PATCH, place, _text(patch), newest_wins=place)
        return answers.wrapped(f"status of node {self._node}", answer)

    async def patch_pod_status(self, namespace: str, name: str, patch: Object) -> Object:
        place = Resource(namespace, "podpatch", name)
        answer = await self._ask(Operation.PATCH, place, _text(patch), newest_wins=(place, objects.uid(patch)))
        return answers.wrapped(f"status of pod {namespace}/{name}", answer)

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        options: dict[str, Any] = {**_DELETED, "preconditions": {"uid": uid}} if uid else dict(_DELETED)
        answer = await self._ask(Operation.DELETE, Resource(namespace, "pod", name), options, newest_wins=("delete", uid or name))
        try:
            answers.done(f"delete pod {namespace}/{name}", answer)
        except NotFound:
            log.debug("pod %s/%s was gone in the cloud already", namespace, name)

    async def lease(self, name: str) -> Object:
        answer = await self._ask(Operation.QUERY, Resource(_LEASES, "lease", name))
        return answers.wrapped(f"lease {name}", answer)

    async def create_lease(self, lease: Object) -> Object:
        return await self._write_lease(Operation.INSERT, lease)

    async def update_lease(self, lease: Object) -> Object:
        return await self._write_lease(Operation.UPDATE, lease)

    async def _write_lease(self, operation: str, lease: Object) -> Object:
        place = Resource(_LEASES, "lease", objects.name(lease))
        answer = await self._ask(operation, place, lease, newest_wins=place)
        return answers.wrapped(f"lease {place.name}", answer)

    async def report_event(self, event: Object) -> None:
        place = Resource(objects.namespace(event) or "default", "event", objects.name(event))
        self._outbox.post(build(source="edged", group="meta", operation=Operation.INSERT, resource=str(place), content=event))


def _text(patch: Object) -> str:
    """A patch travels as a JSON string that holds JSON (protocol U7, U10)."""
    return msgspec.json.encode(patch).decode()


def _object(key: str, text: str) -> Object | None:
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.error("row %s of the local store cannot be read and counts as absent: %s", key, error)
        return None
    return found
