"""Two candidates for one Lease of a real API."""

from __future__ import annotations

import trio
from clouds.standalone import config_for, running_cloud

from kube.election import Election, Terms
from kube.leader import Leader
from kube.resources import LEASES

QUICK = Terms(lease=1.0, renew=0.6, retry=0.1)
PATIENT = Terms(lease=30.0, renew=20.0, retry=0.05)
"""Nobody loses a Lease by a moment without a processor."""


class Candidate:
    def __init__(self, client, name: str, terms: Terms) -> None:
        self.name = name
        self.leader = Leader(client, Election("default", "cloudcore", name, terms))
        self.working = False
        self.terms = 0
        self.scope = trio.CancelScope()

    async def duties(self) -> None:
        self.working = True
        self.terms += 1
        try:
            await trio.sleep_forever()
        finally:
            self.working = False

    async def run(self) -> None:
        with self.scope:
            await self.leader.run(self.duties)


async def until(condition) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.02)


async def test_one_works_and_the_other_takes_over_when_it_stops(tmp_path) -> None:
    async with running_cloud(config_for(tmp_path), tmp_path) as cloud, trio.open_nursery() as nursery:
        one, two = (Candidate(cloud.client, name, PATIENT) for name in ("one", "two"))
        nursery.start_soon(one.run)
        await until(lambda: one.working)
        nursery.start_soon(two.run)
        renewals = set()
        with trio.fail_after(20):
            while len(renewals) < 4:
                lease = await cloud.client.get(LEASES, "cloudcore", namespace="default")
                renewals.add(lease["spec"]["renewTime"])
                await trio.sleep(0.02)
        assert one.working
        assert not two.working
        one.scope.cancel()
        await until(lambda: two.working)
        lease = await cloud.client.get(LEASES, "cloudcore", namespace="default")
        assert lease["spec"]["holderIdentity"] == "two"
        two.scope.cancel()
        await until(lambda: not two.working)
        nursery.cancel_scope.cancel()


async def test_who_cannot_renew_stops_working_before_another_one_begins(tmp_path) -> None:
    async with running_cloud(config_for(tmp_path), tmp_path) as cloud, trio.open_nursery() as nursery:
        one, two = (Candidate(cloud.client, name, QUICK) for name in ("one", "two"))
        nursery.start_soon(one.run)
        await until(lambda: one.working)
        nursery.start_soon(two.run)
        both = []

        async def watch() -> None:
            while True:
                both.append(one.working and two.working)
                await trio.sleep(0.01)

        nursery.start_soon(watch)
        real = one.leader._put
        one.leader._put = _never  # type: ignore[method-assign]
        await until(lambda: two.working)
        assert not one.working
        one.leader._put = real  # type: ignore[method-assign]
        two.scope.cancel()
        await until(lambda: one.working)
        assert one.terms == 2
        assert not any(both)
        nursery.cancel_scope.cancel()


async def _never(lease: object) -> dict:
    await trio.sleep_forever()
    raise AssertionError
