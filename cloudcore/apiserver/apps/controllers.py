"""Starts what makes apps/v1 live."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from beehive.supervise import supervise
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps.daemon_sets import DaemonSets
from cloudcore.apiserver.apps.deployments import Deployments
from cloudcore.apiserver.apps.garbage import Garbage
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.apps.replica_sets import ReplicaSets
from kube.resources import EVENTS


def start(api: Api, nursery: trio.Nursery) -> None:
    """The controllers share one index of who owns what."""

    def kinds() -> Iterable[str]:
        return [kind.key for kind in api.registry.stored() if kind.resource != EVENTS]

    index = Ownership(api.store, kinds)
    nursery.start_soon(supervise, "replica sets", ReplicaSets(api, index).run)
    nursery.start_soon(supervise, "deployments", Deployments(api, index).run)
    nursery.start_soon(supervise, "garbage", Garbage(api, index).run)
    nursery.start_soon(supervise, "daemon sets", DaemonSets(api, index).run)
