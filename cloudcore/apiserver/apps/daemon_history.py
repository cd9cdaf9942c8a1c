"""The templates that a DaemonSet has had: ControllerRevisions. Kubernetes 1.32: pkg/controller/daemon/update.go."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps import template
from cloudcore.apiserver.apps.adoption import claim
from cloudcore.apiserver.apps.daemon_steps import REVISION_HASH
from cloudcore.apiserver.apps.ownership import Ownership
from kube import objects
from kube.objects import Object, labels, name, namespace, status, uid
from kube.ownership import controller_reference
from kube.resources import CONTROLLER_REVISIONS
from kube.status import NotFound


def _data(owner: Object) -> Object:
    """What a revision keeps: a patch that brings the template back."""
    return {"spec": {"template": {**copy.deepcopy(owner["spec"]["template"]), "$patch": "replace"}}}


class DaemonHistory:
    def __init__(self, api: Api, index: Ownership) -> None:
        self._api = api
        self._index = index
        self._kind = api.registry.of(CONTROLLER_REVISIONS)

    async def current(self, owner: Object) -> tuple[str, list[Object]]:
        """The hash of the present template, which has a revision from now on, and the other revisions, oldest first.

        Raises ApiError.
        """
        found = [entry.obj for entry in await claim(self._api, self._index, self._kind, owner)]
        found.sort(key=lambda revision: (revision["revision"], name(revision)))
        data = _data(owner)
        same = [revision for revision in found if revision.get("data") == data]
        old = [revision for revision in found if revision not in same]
        number = max((revision["revision"] for revision in old), default=0) + 1
        if not same:
            made = await self._make(owner, data, number)
            return labels(made)[REVISION_HASH], old
        if same[-1]["revision"] < number:
            await self._renumber(same[-1], number)
        return labels(same[-1]).get(REVISION_HASH, name(same[-1])), old

    async def _make(self, owner: Object, data: Object, number: int) -> Object:
        short = template.digest(owner["spec"]["template"], status(owner).get("collisionCount", 0))
        body: Object = {
            "metadata": {
                "name": f"{name(owner)}-{short}",
                "labels": {**labels(owner["spec"]["template"]), REVISION_HASH: short},
                "annotations": dict(objects.annotations(owner)),
                "ownerReferences": [controller_reference(owner)],
            },
            "data": data,
            "revision": number,
        }
        return (await self._api.create(self._kind, namespace(owner), body)).obj

    async def _renumber(self, revision: Object, number: int) -> None:
        def change(present: Object) -> Object:
            present["revision"] = number
            return present

        await self._api.update(self._kind, namespace(revision), name(revision), change)

    async def clean_up(self, owner: Object, old: list[Object], pods: Iterable[Object]) -> None:
        """Removes the oldest revisions beyond the limit, but none that still has pods."""
        surplus = len(old) - owner["spec"].get("revisionHistoryLimit", 10)
        living = {labels(pod).get(REVISION_HASH) for pod in pods}
        dead = [revision for revision in old if labels(revision).get(REVISION_HASH) not in living]
        for revision in dead[: max(surplus, 0)]:
            try:
                await self._api.delete(self._kind, namespace(revision), name(revision), uid=uid(revision))
            except NotFound:
                continue
