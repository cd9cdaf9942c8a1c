"""Runs duties while this process leads: the shell around ``election``."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from kube.client import Client
from kube.election import Election
from kube.objects import Object
from kube.resources import LEASES
from kube.status import AlreadyExists, ApiError, Conflict, NotFound

log = logging.getLogger(__name__)

RELEASE: Final = 3.0
"""Seconds for giving the Lease back at the end."""


class Leader:
    """Stands for one Lease."""

    def __init__(self, client: Client, election: Election) -> None:
        self._client = client
        self._election = election
        self._trouble = ""

    @property
    def leading(self) -> bool:
        return self._election.leads(trio.current_time())

    async def run(self, duties: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled: waits to lead, then runs ``duties`` for as long as that lasts, and again.

        duties is cancelled when the Lease could not be renewed in time, before anybody else may lead. It must not raise.
        """
        try:
            while True:
                await self._acquire()
                log.info("this cloudcore leads now: %s holds Lease %s", self._election.identity, self._name)
                await self._lead(duties)
                log.warning("this cloudcore does not lead any more; Lease %s: %s", self._name, self._why())
        finally:
            await self._release()

    @property
    def _name(self) -> str:
        return f"{self._election.namespace}/{self._election.name}"

    def _why(self) -> str:
        if self._election.holder not in ("", self._election.identity):
            return f"{self._election.holder} holds it"
        return self._trouble or "it could not be renewed in time"

    async def _acquire(self) -> None:
        terms = self._election.terms
        while True:
            await self._attempt()
            if self.leading:
                return
            await trio.sleep(terms.retry * (1 + random.uniform(0, terms.jitter)))  # noqa: S311 - spreads load, no secret

    async def _lead(self, duties: Callable[[], Awaitable[None]]) -> None:
        with trio.CancelScope(deadline=self._election.until) as term:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(duties)
                while self.leading:
                    await trio.sleep(self._election.terms.retry)
                    await self._attempt()
                    term.deadline = self._election.until

    async def _attempt(self) -> None:
        """One look, and one bid if there is something to gain. What fails is tried again later."""
        election = self._election
        holder = election.holder
        try:
            with trio.fail_after(election.terms.renew / 2):
                election.observe(await self._get(), trio.current_time())
                begun = trio.current_time()
                if (bid := election.bid(begun, time.time())) is not None:
                    election.won(await self._put(bid), begun)
            self._tell("")
        except (Conflict, AlreadyExists):
            log.debug("Lease %s: somebody else was faster", self._name)
        except (ApiError, trio.TooSlowError) as error:
            self._tell(str(error) or "the Kubernetes API is too slow")
        if election.holder not in (holder, election.identity):
            log.info("%s leads: it holds Lease %s", election.holder or "nobody", self._name)

    async def _get(self) -> Object | None:
        try:
            return await self._client.get(LEASES, self._election.name, namespace=self._election.namespace)
        except NotFound:
            return None

    async def _put(self, lease: Object) -> Object:
        space = self._election.namespace
        if lease["metadata"].get("resourceVersion"):
            return await self._client.replace(LEASES, self._election.name, lease, namespace=space)
        return await self._client.create(LEASES, lease, namespace=space)

    def _tell(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.warning("Lease %s, by which one cloudcore leads, is out of reach: %s", self._name, trouble)
        self._trouble = trouble

    async def _release(self) -> None:
        """Gives the Lease back, so that the next one need not wait for its end; best effort."""
        lease = self._election.resign(time.time())
        if lease is None:
            return
        with trio.move_on_after(RELEASE, shield=True):
            try:
                await self._put(lease)
            except ApiError as error:
                log.debug("Lease %s is not given back: %s", self._name, error)
