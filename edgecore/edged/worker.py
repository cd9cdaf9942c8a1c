"""One worker per pod uid: it compares the pod with the engine and acts until they agree, then waits to be woken.

Everything it decides is in plan.py; everything it says is in status.py. It keeps nothing that the engine or the pod could not
tell again after a restart, but for recent failures.
"""

from __future__ import annotations

import logging
import random
from typing import Final

import trio

from beehive.logs import cause
from edgecore.edged import garbage, killing, pods, sources, termination
from edgecore.edged.container_status import Observation
from edgecore.edged.plan import (
    SANDBOX,
    VOLUMES,
    Action,
    CreateSandbox,
    Plan,
    Problem,
    StartContainer,
    StopContainer,
    StopPod,
    deadline,
    is_initialized,
    plan,
    ready_sandbox,
)
from edgecore.edged.room import Room
from edgecore.edged.runtime.engine import EngineError, EngineUnavailable, PodInfo
from edgecore.edged.spec import hash_of, sandbox_spec
from edgecore.edged.starting import start_container
from edgecore.edged.status import Verdict, pod_status
from edgecore.edged.volumes import mounter
from edgecore.edged.volumes.payload import Material
from kube import objects
from kube.objects import Object

log = logging.getLogger(__name__)

SPEC: Final = "/spec"
"""Under which what was said of the spec is kept, beside what was said of containers."""
AWAY: Final = "the engine is away"
AWAY_FOR: Final = 30.0
"""Seconds; by then the node has asked the engine, too."""
ROUNDS: Final = 50
"""Plans in one go; a pod that still wants more is looked at again a second later."""
RETRY_FIRST: Final = 10.0
RETRY_LIMIT: Final = 300.0
SANDBOX_RETRY_FIRST: Final = 2.0
"""Engines refuse sandboxes for passing reasons, too, when many start at once."""
REJECT_AFTER: Final = 5.0
"""Seconds in which a pod that does not fit may still begin to fit: a node label or a host port may be on its way."""


class PodWorker:
    """``update``, ``forget`` and ``wake`` never block; ``run`` returns when nothing of a forgotten pod is left."""

    def __init__(self, pod: Object, room: Room, *, forgotten: bool = False) -> None:
        self.pod = pod
        self.uid = objects.uid(pod)
        self.keys = sources.keys(pod)
        self.forgotten = forgotten
        self.ended = False
        """Nothing of it runs or stands here any more."""
        self.admitted = False
        self.verdict: Verdict | None = None
        self._room = room
        self._wake = trio.Event()
        self._patience = trio.CancelScope()
        self._problems: dict[str, Problem] = {}
        self._messages: dict[str, str] = {}
        self._material: Material | None = None
        self._stale = True
        self._first_seen: float | None = None
        self._complaint = ""
        self._failing_since = float("-inf")
        self._said: dict[str, str] = {}
        self._outdated: frozenset[str] = frozenset()

    # what others call

    def update(self, pod: Object) -> None:
        """A newer form of the same pod."""
        if (why := pods.malformed(pod)) is not None and pods.malformed(self.pod) is None:
            if self._said.get(SPEC) != why:
                log.error("%s: its new spec is not used: %s", pods.described(pod), why)
            self._said[SPEC] = why
            pod = pod | {"spec": self.pod["spec"]}
        urgent = self.is_ending != (objects.is_deleting(pod) or self.forgotten) or pods.grace(pod) < pods.grace(self.pod)
        if objects.spec(pod) != objects.spec(self.pod):
            self._stale = True
            self._problems.clear()
        elif (objects.labels(pod), objects.annotations(pod)) != (objects.labels(self.pod), objects.annotations(self.pod)):
            self._stale = True
        self.pod, self.keys = pod, sources.keys(pod)
        self.wake(urgent=urgent)

    def forget(self) -> None:
        """The cloud does not know the pod any more, or another uid has its name."""
        if not self.forgotten:
            self.forgotten = True
            self.wake(urgent=True)

    def wake(self, *, urgent: bool = False, stale: bool = False) -> None:
        """Look again. urgent: also give up what can be given up (a pull, a grace period). stale: objects it uses changed."""
        if stale:
            self._stale = True
        if urgent:
            self._patience.cancel()
        self._wake.set()

    # the loop

    async def run(self) -> None:
        while not (self.forgotten and self.ended):
            self._wake = trio.Event()
            try:
                delay = await self._step()
                self._complaint = ""
            except* (EngineError, OSError) as group:
                delay = self._complain(_first(group))
            if not (self.forgotten and self.ended):
                with trio.move_on_after(delay):
                    await self._wake.wait()

    def _complain(self, error: BaseException) -> float:
        text = str(error)
        now = trio.current_time()
        if self._complaint == "":
            self._failing_since = now
        settled = now - self._failing_since > AWAY_FOR and not self._room.node.engine_trouble
        if isinstance(error, EngineUnavailable) and not settled:
            self._complaint = AWAY  # the node says so, once; this pod only if it stays so while the engine answers others
        elif cause(text) != cause(self._complaint):
            log.warning("%s: %s; it is looked at again", pods.described(self.pod), text)
            self._complaint = text
        return random.uniform(2.0, 6.0)  # noqa: S311 - jitter

    @property
    def is_ending(self) -> bool:
        """It is being deleted, or not wanted here any more."""
        return self.forgotten or objects.is_deleting(self.pod)

    async def _step(self) -> float:
        if self.ended:
            return float("inf")
        if self.is_ending:
            return await self._end()
        if self.verdict or pods.is_terminal(self.pod):
            return await self._rest()
        if not self.admitted and (delay := await self._admit()) is not None:
            return delay
        return await self._sync()

    async def _admit(self) -> float | None:
        """None: it may run. A pod that has containers here was admitted before."""
        if (why := pods.malformed(self.pod)) is not None:
            log.error("%s is rejected: %s", pods.described(self.pod), why)
            self.verdict = Verdict("UnexpectedAdmissionError", f"Pod was rejected: {why}")
            return 0.0
        if await self._room.engine.pod(self.uid) is None and (verdict := self._room.admit(self.pod)) is not None:
            now = trio.current_time()
            self._first_seen = now if self._first_seen is None else self._first_seen
            if verdict.temporary or now < self._first_seen + REJECT_AFTER:
                return 1.0
            log.warning("%s is rejected: %s: %s", pods.described(self.pod), verdict.reason, verdict.message)
            self.verdict = verdict
            return 0.0
        self.admitted = True
        return None

    # a pod that shall run

    async def _sync(self) -> float:
        await self._prepare()
        for _ in range(ROUNDS):
            info = await self._room.engine.pod(self.uid)
            now = self._room.clock()
            if (end := deadline(self.pod)) is not None and now >= end:
                self.verdict = Verdict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
                return 0.0
            todo = plan(self.pod, info, now, hash_of=hash_of, problems=self._problems)
            await self._publish(info, todo)
            if not todo.actions:
                return await self._settle(info, todo, now)
            for action in todo.actions:
                if self.is_ending or not await self._do(action, info):
                    break
            if self.is_ending:
                return 0.0
        return 1.0

    async def _settle(self, info: PodInfo | None, todo: Plan, now: float) -> float:
        """Nothing to do now: tidies up and tells how long it may sleep."""
        if info is not None:
            for container_id in garbage.dead_containers(info):
                await self._room.engine.remove_container(container_id)
            for sandbox_id in garbage.dead_sandboxes(info):
                await self._room.engine.remove_sandbox(sandbox_id)
        pause = self._room.settings.sync_frequency * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
        retries = [p.retry_at - now for p in self._problems.values() if p.retry_at > now]
        if todo.wake_at is not None:
            retries.append(todo.wake_at - now)
        if min(retries, default=pause) >= pause:
            self._stale = True
        return max(0.05, min([pause, *retries]))

    async def _prepare(self) -> None:
        """Brings objects and volumes to their newest state, if something may have changed."""
        trouble = self._problems.get(VOLUMES)
        if not self._stale and not (trouble and trouble.retry_at <= self._room.clock()):
            return
        self._stale = False
        self._problems = {k: p for k, p in self._problems.items() if k == VOLUMES or p.reason != "CreateContainerConfigError"}
        self._patience = trio.CancelScope()
        if self.is_ending:  # since this step began: nobody will cancel the new scope for it
            self._patience.cancel()
        with self._patience:
            found = await sources.gather(self.pod, self._room.meta)
            tokens, no_token = await sources.tokens(self.pod, self._room.meta)
        if self._patience.cancelled_caught:
            self._stale = True
            return
        self._material = Material(found, self._room.node.facts(self._pod_ip()), tokens)
        try:
            complaints = await self._room.on_disk(mounter.set_up, self.pod, self._material, self._room.settings)
        except (mounter.VolumeError, OSError) as error:
            self._note(VOLUMES, "ContainerCreating", no_token or str(error))
            return
        self._problems.pop(VOLUMES, None)
        for text in complaints:
            if text not in self._outdated:
                log.warning("%s: %s; its old content stays", pods.described(self.pod), text)
        self._outdated = frozenset(complaints)

    def _pod_ip(self) -> str:
        known = self._room.statuses.status(self.uid) or objects.status(self.pod)
        return str(known.get("podIP") or "")

    async def _do(self, action: Action, info: PodInfo | None) -> bool:
        """Carries out one step; False when it failed and the reason was noted."""
        if isinstance(action, CreateSandbox):
            return await self._create_sandbox(action)
        if isinstance(action, StopContainer):
            log.info("%s: container %s is stopped: %s", pods.described(self.pod), action.name, action.reason)
            self._patience = trio.CancelScope()
            with self._patience:
                await self._room.engine.stop_container(action.id, pods.grace(self.pod))
            return not self._patience.cancelled_caught
        if isinstance(action, StopPod):
            log.info("%s is stopped: %s", pods.described(self.pod), action.reason)
            return info is None or await self._stop(info)
        return await self._start(action, info)

    async def _create_sandbox(self, action: CreateSandbox) -> bool:
        try:
            await self._room.engine.create_sandbox(sandbox_spec(self.pod, action.attempt, self._room.settings))
        except EngineError as error:
            self._note(SANDBOX, "ContainerCreating", f"Failed to create pod sandbox: {error}")
            return False
        self._problems.pop(SANDBOX, None)
        return True

    async def _start(self, action: StartContainer, info: PodInfo | None) -> bool:
        sandbox = ready_sandbox(self.pod, info)
        if sandbox is None or self._material is None:
            return False
        self._patience = trio.CancelScope()
        problem = await start_container(self.pod, action, sandbox, self._material, self._room, patience=self._patience)
        if problem is None:
            self._problems.pop(action.name, None)
            self._said.pop(action.name, None)
            return True
        if self._patience.cancelled_caught:
            return False
        if problem.retry_at:
            self._problems[action.name] = problem
        else:
            self._note(action.name, problem.reason, problem.message)
        self._say(action.name, problem)
        return False

    def _say(self, name: str, problem: Problem) -> None:
        """Once for each cause, however often it is tried; that a pull backs off is no other cause."""
        if problem.reason == "ImagePullBackOff" and name in self._said:
            return
        if self._said.get(name) != cause(problem.message):
            log.warning("%s: container %s: %s: %s", pods.described(self.pod), name, problem.reason, problem.message)
        self._said[name] = cause(problem.message)

    def _note(self, name: str, reason: str, message: str) -> None:
        """Remembers a failure, with a growing delay while it stays the same."""
        before = self._problems.get(name)
        same = before is not None and (before.reason, cause(before.message)) == (reason, cause(message))
        failures = before.failures + 1 if before and same else 1
        first = SANDBOX_RETRY_FIRST if name == SANDBOX else RETRY_FIRST
        delay = min(RETRY_LIMIT, first * 2.0 ** min(failures - 1, 16))
        if name == VOLUMES or reason == "CreateContainerConfigError":
            delay = RETRY_FIRST
        if name in (VOLUMES, SANDBOX) and not same:
            log.warning("%s waits: %s", pods.described(self.pod), message)
        self._problems[name] = Problem(reason, message, self._room.clock() + delay * random.uniform(1.0, 1.2), failures)  # noqa: S311

    async def _publish(
        self, info: PodInfo | None, todo: Plan | None = None, *, stopping: bool = False, ended: bool = False
    ) -> None:
        await termination.collect(info, self._messages, self._room)
        waits = todo.crash_waits if todo else {}
        now = self._room.clock()
        problems = {k: p for k, p in self._problems.items() if k not in waits or p.retry_at > now}
        seen = Observation(
            info,
            is_initialized(self.pod, info, ready_sandbox(self.pod, info)),
            waits,
            problems,
            messages=self._messages,
            stopping=stopping,
            ended=ended,
        )
        status = pod_status(self.pod, seen, host_ip=self._room.node.host_ip, now=now, verdict=self.verdict)
        if not self.forgotten:
            self._room.statuses.set(self.pod, status)

    # a pod that shall not run

    async def _stop(self, info: PodInfo) -> bool:
        """True when it is still; False when the grace period was cut short: look again."""
        self._patience = trio.CancelScope()
        with self._patience:
            await killing.stop_pod(self.pod, info, self._room.engine, pods.grace(self.pod))
        return not self._patience.cancelled_caught

    async def _rest(self) -> float:
        """Succeeded, Failed or rejected: nothing runs, the ended containers stay for their logs until the pod is deleted."""
        info = await self._room.engine.pod(self.uid)
        if info is not None and not killing.is_still(info):
            await self._publish(info)
            if not await self._stop(info):
                return 0.0
            info = await self._room.engine.pod(self.uid)
        await self._publish(info, stopping=True)
        return self._room.settings.sync_frequency

    async def _end(self) -> float:
        """Deleted or forgotten: everything of it goes away here, whether or not the cloud can be told."""
        info = await self._room.engine.pod(self.uid)
        if info is not None and not killing.is_still(info):
            await self._publish(info, stopping=False)
            log.info("%s is stopped, with %.0f s of grace", pods.described(self.pod), pods.grace(self.pod))
            if not await self._stop(info):
                return 0.0
            info = await self._room.engine.pod(self.uid)
            if not killing.is_still(info):
                return 1.0
        await self._publish(info, stopping=True, ended=True)
        await killing.remove_pod(info, self._room.engine)
        await self._room.on_disk(mounter.tear_down, self.pod, self._room.settings)
        self.ended = True
        log.info("%s: nothing of it is left on this node", pods.described(self.pod))
        if not self.forgotten:
            self._room.statuses.end(self.pod)
        return float("inf")


def _first(group: BaseException) -> BaseException:
    """The first cause inside."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
