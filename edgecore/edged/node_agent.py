"""Keeps the Node object and its lease true in the cloud: registers (again if it vanished), patches the status, renews."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from beehive.backoff import Backoff
from beehive.sqlite import StoreError
from edgecore.edged import lease, node, node_facts
from edgecore.edged.node import EngineHealth
from edgecore.edged.node_facts import MachineFacts
from edgecore.edged.room import Room
from edgecore.edged.runtime.engine import EngineError
from edgecore.metamanager.client import MetaError, NotFound, Offline, Refused
from kube import objects
from kube.objects import Object

log = logging.getLogger(__name__)


class NodeAgent:
    """``wake`` and ``on_connection`` never block."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.object: Object | None = None
        """The Node as last heard; None before the first answer of a new node."""
        self._facts: MachineFacts | None = None
        self._health = EngineHealth()
        self._registered = False
        self._push = True
        self._reported = float("-inf")
        self._lease: Object | None = None
        self._status_wake = trio.Event()
        self._lease_wake = trio.Event()
        self._introduced = trio.Event()
        self._complaints: dict[str, str] = {}
        self._looking = trio.CapacityLimiter(1)

    def wake(self) -> None:
        """The stored Node may have changed."""
        self._status_wake.set()

    def on_connection(self, connected: bool) -> None:
        """Online again: status and lease go out at once."""
        if connected:
            self._push = True
            self._status_wake.set()
            self._lease_wake.set()

    async def observe(self) -> None:
        """Looks at the machine, the engine and the stored Node."""
        settings = self._room.settings
        self._facts = await trio.to_thread.run_sync(
            lambda: node_facts.observe(settings.root, node_ip=settings.node_ip, interface=settings.interface),
            limiter=self._looking,
        )
        try:
            info = await self._room.engine.info()
            self._health = EngineHealth(f"{info.name}://{info.version}")
        except EngineError as error:
            self._health = EngineHealth(self._health.runtime, str(error))
        view = self._room.node
        view.engine_trouble = self._health.trouble
        view.host_ip, view.memory_capacity = self._facts.address, self._facts.memory
        view.allocatable = node.allocatable(settings, self._facts)
        self._complain("engine", self._health.trouble, "the container engine does not answer")

    def _complain(self, subject: str, text: str, what: str) -> None:
        """One line when a trouble begins or changes its cause, one when it is over."""
        before = self._complaints.get(subject, "")
        if text and text != before:
            log.warning("%s: %s", what, text)
        elif before and not text:
            log.info("over: %s", what)
        self._complaints[subject] = text

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_status)
            nursery.start_soon(self._keep_lease)

    # registration and status

    async def _keep_status(self) -> None:
        while True:
            self._status_wake = trio.Event()
            await self.observe()
            try:
                self._remember(await self._room.meta.node())
                self._complain("store", "", "the Node cannot be read from the store")
            except StoreError as error:
                self._complain("store", str(error), "the Node cannot be read from the store")
            if self._room.meta.connected:
                await self._guard("node", self._bring_up_to_date)
                self._introduced.set()
            with trio.move_on_after(self._room.settings.status_update_frequency):
                await self._status_wake.wait()
                await trio.sleep(0.2)  # several changes of the stored Node at once are one

    def _remember(self, stored: Object | None) -> None:
        """Takes the stored Node over. One that has gone (somebody deleted it) is asked for at once."""
        if stored is None and self.object is not None and self._registered:
            self._push = True
        self.object = stored or self.object

    async def _guard(self, subject: str, task: Callable[[], Awaitable[None]], *, within: float = float("inf")) -> None:
        """Says once per cause why it does not work. within: seconds after which it is given up."""
        what = f"the cloud does not take the {subject}, tried again in 10 s"
        try:
            with trio.fail_after(within):
                await task()
            self._complain(subject, "", f"the cloud does not take the {subject}")
        except trio.TooSlowError:
            self._complain(subject, f"there is a link, but no answer within {within:.0f} s", what)
        except Offline as error:
            if self._room.meta.connected:
                self._complain(subject, str(error), what)
            log.debug("%s: no link, it is sent when there is one", subject)
        except (MetaError, StoreError) as error:
            self._complain(subject, str(error), what)

    async def _bring_up_to_date(self) -> None:
        if not self._registered:
            await self._register()
        try:
            await self._patch_status()
        except (NotFound, Refused) as error:
            gone = isinstance(error, NotFound) or error.code == 404 or error.reason == "NotFound"
            if not gone or not self._room.settings.register_node:
                raise
            await self._register_again()

    async def _register(self) -> None:
        if not self._room.settings.register_node:
            self._registered = True
            return
        assert self._facts is not None  # noqa: S101 - observe() ran
        wanted = node.node_object(self._room.settings, self._facts, self._wanted_status({}))
        try:
            self.object = await self._room.meta.register_node(wanted)
            self._registered, self._push, self._reported = True, False, trio.current_time()
            log.info("node %s is registered", self._room.settings.node_name)
            return
        except Refused as error:
            if error.reason != "AlreadyExists":
                raise
            log.info("node %s exists in the cloud already and is taken over", self._room.settings.node_name)
            self.object = await self._room.meta.node() or self.object
        self._registered = True
        self._push = True

    async def _register_again(self) -> None:
        log.warning("node %s is gone in the cloud; it is registered again", self._room.settings.node_name)
        self._registered, self._lease, self.object = False, None, None
        await self._register()
        await self._patch_status()
        self._lease_wake.set()
        self._room.statuses.look_again()

    def _wanted_status(self, old: Object) -> Object:
        assert self._facts is not None  # noqa: S101 - observe() ran
        return node.node_status(self._room.settings, self._facts, self._health, old, self._room.clock())

    async def _patch_status(self) -> None:
        """Only if something but heartbeat times changed, or five minutes have passed, or the link is new."""
        assert self._facts is not None  # noqa: S101 - observe() ran
        known = self.object or {}
        old = objects.status(known)
        settings = self._room.settings
        due = self._push or trio.current_time() - self._reported >= settings.status_report_frequency
        patch = node.status_patch(old, self._wanted_status(old), heartbeat=due)
        content: Object = {"status": patch} if patch else {}
        if known and settings.register_node and (lacking := node.missing_metadata(settings, self._facts, known)):
            content = {"metadata": lacking, "status": patch}
        if not content:
            return
        self.object = await self._room.meta.patch_node_status(content)
        self._push = False
        self._reported = trio.current_time()

    # lease

    async def _keep_lease(self) -> None:
        pause = self._room.settings.lease_duration * lease.RENEW_FRACTION
        # One whose answer got lost must be sent anew before the cloud takes the node for dead.
        within = self._room.settings.lease_duration * lease.GIVE_UP_FRACTION
        delays = Backoff(first=1.0, limit=7.0)
        await self._introduced.wait()  # the lease belongs to the Node, which therefore comes first
        while True:
            self._lease_wake = trio.Event()
            wait = pause
            if self._room.meta.connected:
                before = self._lease
                await self._guard("lease", self._renew, within=within)
                failed = self._lease is None or self._lease is before
                wait = min(pause, delays.next()) if failed else pause
                if not failed:
                    delays.reset()
            with trio.move_on_after(wait):
                await self._lease_wake.wait()

    async def _renew(self) -> None:
        settings, meta, now = self._room.settings, self._room.meta, self._room.clock()
        known = self._lease
        if known is None:
            try:
                known = await meta.lease(settings.node_name)
            except NotFound:
                self._lease = await meta.create_lease(lease.new_lease(settings, self.object, now))
                return
        try:
            self._lease = await meta.update_lease(lease.renewed(known, settings, self.object, now))
        except (NotFound, Refused):
            self._lease = None  # read or made anew in a moment
            raise
