"""An edge without an engine: it joins, registers, renews its lease, stores what it is sent, reports pods as running, and ends
them on request, over the real certificate server, WebSocket and TLS. Many of them fit into one process.

It keeps book: what it has, and everything that must not happen to a node (``problems``).
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import trio
from edges.scripted import PROJECT, ScriptedEdge, node_object

from beehive.backoff import Backoff
from beehive.keyedqueue import KeyedQueue
from beehive.message import Message, Operation, acknowledge, build
from viaduct import tls, websocket
from viaduct.enrol import EnrolError
from viaduct.link import Link, LinkClosed, LinkError

Object = dict[str, Any]
LEASE_SECONDS = 40
RENEW_EVERY = 10.0
KEEPALIVE_EVERY = 15.0
STATUS_EVERY = 300.0
ANSWER_WITHIN = 30.0
AGAIN_AFTER = 10.0
"""Seconds after which a request that failed is made again, as edged does."""
SENDERS = 4
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation")


class Door(NamedTuple):
    """One cloudcore: certificate server and hub."""

    https: str
    wss: str


class Offline(Exception):
    """No link, or no answer."""


class Refused(Exception):
    """The cloud said no. code: as Kubernetes counts."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def essence(obj: Object) -> str:
    """A fingerprint of everything that a node has to know of an object."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in _BOOKKEEPING}
    rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata", "status")}
    return hashlib.sha256(json.dumps([meta, rest], sort_keys=True).encode()).hexdigest()[:16]


def container_id(uid: str) -> str:
    """Of the one container that an edge makes of a pod."""
    return f"simulated://{hashlib.sha256(uid.encode()).hexdigest()}"


@dataclass
class _Pod:
    """A pod that this node was given. told: the phase that the cloud has acknowledged."""

    resource: str
    told: str = ""
    deleted: bool = False


@dataclass
class _Answer:
    came: trio.Event = field(default_factory=trio.Event)
    message: Message | None = None


class SimulatedEdge:
    """``stored`` is its disk: wire resource -> object. It survives reconnections."""

    def __init__(self, name: str, folder: Path, doors: Sequence[Door], seed: int) -> None:
        self.name = name
        self.stored: dict[str, Object] = {}
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.connected = False
        self._folder = folder
        self._doors = doors
        self._random = random.Random(f"{seed} {name}")
        self._link: Link | None = None
        self._asked: dict[str, _Answer] = {}
        self._pods: dict[str, _Pod] = {}
        self._gone: set[str] = set()
        self._versions: dict[str, int] = {}
        self._work: KeyedQueue[str, None] = KeyedQueue()
        self._lease: Object | None = None
        self._doubted = trio.Event()

    # ------------------------------------------------------------------------------------------------- life

    async def run(self, token: str) -> None:
        """Joins, then keeps a session with one cloudcore or another until cancelled."""
        delays = Backoff(first=1.0, limit=15.0, rng=self._random)
        await self._join(token, delays)
        number = self._random.randrange(len(self._doors))
        while True:
            try:
                await self._session(self._doors[number % len(self._doors)], delays)
            except* (LinkError, OSError, Offline):
                pass
            self.connected, self._link = False, None
            self.counts["sessions ended"] += 1
            number += 1
            await trio.sleep(delays.next())

    async def _join(self, token: str, delays: Backoff) -> None:
        while True:
            door = self._random.choice(self._doors)
            try:
                await ScriptedEdge(self.name, self._folder, door.https, door.wss).join(token)
                return
            except EnrolError:
                await trio.sleep(delays.next())

    async def _session(self, door: Door, delays: Backoff) -> None:
        context = tls.client_context(
            ca=self._folder / "ca.crt", certificate=self._folder / "node.crt", key=self._folder / "node.key"
        )
        url = f"{door.wss}/{PROJECT}/{self.name}/events"
        async with websocket.connect(url, tls=context, node=self.name, project=PROJECT) as link, trio.open_nursery() as nursery:
            self._link, self.connected = link, True
            self.counts["sessions"] += 1
            delays.reset()
            nursery.start_soon(self._read, link)
            nursery.start_soon(self._keep_alive)
            nursery.start_soon(self._be_a_node)
            for _ in range(SENDERS):
                nursery.start_soon(self._report)
            self._look_again()

    async def _read(self, link: Link) -> None:
        while True:
            message = await link.receive()
            if message.parent_id:
                if (asked := self._asked.pop(message.parent_id, None)) is not None:
                    asked.message = message
                    asked.came.set()
                continue
            self.counts["pushes"] += 1
            self._take(message)
            await link.send(acknowledge(message))

    async def _keep_alive(self) -> None:
        while True:
            await self._send(
                build(source="websocket", group="resource", operation=Operation.KEEPALIVE, resource="node", content="ping")
            )
            await trio.sleep(KEEPALIVE_EVERY)

    def told(self) -> dict[str, str]:
        """Pod uid -> the phase that the cloud has taken."""
        return {uid: pod.told for uid, pod in self._pods.items()}

    # ------------------------------------------------------------------------------------------------- what it is told

    def _take(self, message: Message) -> None:
        """Stores or removes, before it is acknowledged."""
        content: Object = json.loads(bytes(message.content))
        uid, resource = content["metadata"]["uid"], message.resource
        old = self.stored.get(resource)
        if message.operation == Operation.DELETE:
            self.counts["deletions"] += 1
            if old is not None and old["metadata"]["uid"] == uid:
                del self.stored[resource]
            if (pod := self._pods.pop(uid, None)) is not None and not pod.deleted and "deletionTimestamp" in content["metadata"]:
                self.counts["pods gone before they ended"] += 1
            if "/pod/" in resource:
                self._gone.add(uid)
            return
        if uid in self._gone:
            self.problems.append(f"{self.name}: {message.operation} of {resource} ({uid}), whose deletion was acknowledged")
        version = int(content["metadata"]["resourceVersion"])
        if version == self._versions.get(uid):
            self.counts["repeated"] += 1
        elif version < self._versions.get(uid, 0):
            self.counts["older"] += 1
            return
        self._store(resource, content)

    def _store(self, resource: str, content: Object) -> None:
        uid = content["metadata"]["uid"]
        self._versions[uid] = int(content["metadata"]["resourceVersion"])
        self.stored[resource] = content
        if resource == f"null/node/{self.name}" and _ready(content) != "True":
            self._doubted.set()
        if "/pod/" not in resource:
            return
        for other in [one for one, pod in self._pods.items() if pod.resource == resource and one != uid]:
            self.problems.append(f"{self.name}: {resource} came as {uid} before {other} was deleted")
            del self._pods[other]
        pod = self._pods.setdefault(uid, _Pod(resource))
        if pod.told == "Running" and _ready(content) != "True" and "deletionTimestamp" not in content["metadata"]:
            self.counts["pods doubted"] += 1
            pod.told = "Pending"
        self._work.put(uid, None)

    def _answered(self, resource: str, content: Object) -> None:
        """The answer to a status holds the pod as it then was; a push may have overtaken it."""
        uid = content["metadata"]["uid"]
        if uid in self._pods and int(content["metadata"]["resourceVersion"]) > self._versions.get(uid, 0):
            self._store(resource, content)

    # ------------------------------------------------------------------------------------------------- what it says

    def _look_again(self) -> None:
        for uid in self._pods:
            self._work.put(uid, None)

    async def _report(self) -> None:
        while True:
            async with self._work.take() as (uid, _):
                pod = self._pods.get(uid)
                if pod is None:
                    continue
                try:
                    await self._bring_forward(uid, pod)
                except (Offline, Refused) as error:
                    if isinstance(error, Refused) and error.code == 404:
                        pod.told, pod.deleted = "gone", True
                        continue
                    self.counts["reports to repeat"] += 1
                    self._later(uid)

    def _later(self, uid: str) -> None:
        """After a while without holding up a sender."""

        async def wait() -> None:
            await trio.sleep(AGAIN_AFTER * self._random.uniform(0.5, 1.5))
            self._work.put(uid, None)

        trio.lowlevel.spawn_system_task(wait)

    async def _bring_forward(self, uid: str, pod: _Pod) -> None:
        """Pending, Running, and when it is being deleted: ended, then gone."""
        meta = self.stored[pod.resource]["metadata"]
        if "deletionTimestamp" in meta:
            if pod.told != "Succeeded":
                await self._tell(uid, pod, "Succeeded")
            if not pod.deleted:
                options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
                await self._ask(Operation.DELETE, pod.resource, options)
                pod.deleted = True
        elif pod.told == "":
            await self._tell(uid, pod, "Pending")
            await trio.sleep(self._random.uniform(0.1, 0.5))
            await self._tell(uid, pod, "Running")
        elif pod.told == "Pending":
            await self._tell(uid, pod, "Running")

    async def _tell(self, uid: str, pod: _Pod, phase: str) -> None:
        spec = self.stored[pod.resource]["spec"] if pod.resource in self.stored else {"containers": []}
        patch = {"metadata": {"uid": uid}, "status": pod_status(uid, spec["containers"], phase)}
        self.counts["pod statuses"] += 1
        answer = await self._ask(Operation.PATCH, pod.resource.replace("/pod/", "/podpatch/"), json.dumps(patch))
        pod.told = phase
        self._answered(pod.resource, answer)

    async def _be_a_node(self) -> None:
        """Registers, says that it is Ready, and renews its lease."""
        due = 0.0
        while True:
            try:
                if trio.current_time() >= due or self._doubted.is_set():
                    self._doubted = trio.Event()
                    await self._introduce()
                    due = trio.current_time() + STATUS_EVERY
                await self._renew()
                delay = RENEW_EVERY
            except (Offline, Refused) as error:
                self._lease = None
                self.counts[f"node: {error}" if isinstance(error, Refused) and error.code < 500 else "node: later"] += 1
                delay = RENEW_EVERY / 2
            with trio.move_on_after(delay * self._random.uniform(0.9, 1.1)):
                await self._doubted.wait()
                await trio.sleep(1)

    async def _introduce(self) -> None:
        try:
            await self._ask(Operation.INSERT, f"null/node/{self.name}", node_object(self.name))
        except Refused as error:
            if error.code != 409:
                raise
        now = timestamp()
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now}
        await self._ask(Operation.PATCH, f"null/nodepatch/{self.name}", json.dumps({"status": {"conditions": [ready]}}))

    async def _renew(self) -> None:
        place = f"kube-node-lease/lease/{self.name}"
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": timestamp(micro=True)}
        if self._lease is None:
            try:
                self._lease = await self._ask(Operation.QUERY, place)
            except Refused as error:
                if error.code != 404:
                    raise
                meta = {"name": self.name, "namespace": "kube-node-lease"}
                self._lease = await self._ask(Operation.INSERT, place, {"metadata": meta, "spec": spec})
                return
        meta = {key: value for key, value in self._lease["metadata"].items() if key != "managedFields"}
        self._lease = await self._ask(Operation.UPDATE, place, {"metadata": meta, "spec": spec})

    # ------------------------------------------------------------------------------------------------- the link

    async def _send(self, message: Message) -> None:
        if self._link is None:
            raise Offline("no link")
        self.counts["sent"] += 1
        try:
            await self._link.send(message)
        except LinkClosed as error:
            raise Offline(str(error)) from error

    async def _ask(self, operation: str, resource: str, content: object = None) -> Object:
        """The answer's object. Raises Offline, Refused."""
        message = build(source="edged", group="meta", operation=operation, resource=resource, content=content)
        waiting = self._asked[message.id] = _Answer()
        try:
            await self._send(message)
            with trio.move_on_after(ANSWER_WITHIN):
                await waiting.came.wait()
        finally:
            self._asked.pop(message.id, None)
        if waiting.message is None:
            raise Offline("no answer")
        return _object(json.loads(bytes(waiting.message.content)))


def _ready(obj: Object) -> str:
    conditions = obj.get("status", {}).get("conditions", [])
    return {one["type"]: str(one["status"]) for one in conditions}.get("Ready", "")


def _object(answer: Any) -> Object:
    """What an answer holds, whatever its style. Raises Refused."""
    if answer == "OK":
        return {}
    if not isinstance(answer, dict):
        raise Refused(500, str(answer))
    error = answer if "ErrStatus" in answer else answer.get("Err")
    if error is not None:
        status = error.get("ErrStatus", error)
        raise Refused(int(status.get("code", 500)), str(status.get("reason") or status.get("message")))
    return dict(answer.get("Object", answer))


def timestamp(*, micro: bool = False) -> str:
    now = time.time()
    fraction = f".{int(now % 1 * 1e6):06d}" if micro else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + fraction + "Z"


def pod_status(uid: str, containers: Sequence[Object], phase: str) -> Object:
    """As a kubelet reports it: every container waits, runs, or has ended."""
    now = timestamp()
    running = phase == "Running"
    state: Object = {"waiting": {"reason": "ContainerCreating"}}
    if running:
        state = {"running": {"startedAt": now}}
    elif phase == "Succeeded":
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "containerID": container_id(uid), "finishedAt": now}}
    ready = "True" if running else "False"
    conditions = [{"type": "Initialized", "status": "True", "lastTransitionTime": now}]
    conditions += [{"type": kind, "status": ready, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
    statuses = [
        {
            "name": one["name"],
            "image": one["image"],
            "imageID": "",
            "ready": running,
            "started": running,
            "restartCount": 0,
            "containerID": "" if phase == "Pending" else container_id(uid),
            "state": state,
            "lastState": {},
        }
        for one in containers
    ]
    return {"phase": phase, "conditions": conditions, "containerStatuses": statuses, "hostIP": "127.0.0.1", "startTime": now}
