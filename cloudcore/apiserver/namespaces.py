"""Namespaces: each gets its default service account; a deleted one is emptied, then removed."""

from __future__ import annotations

import logging
from typing import Final

from cloudcore.apiserver import controller
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.kinds import Kind
from kube.objects import Object, is_deleting, name, namespace
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, LEASES, NAMESPACES, SERVICE_ACCOUNTS
from kube.status import ApiError

log = logging.getLogger(__name__)

_EVERY: Final = 30.0


class Namespaces:
    def __init__(self, api: Api) -> None:
        self._api = api

    async def run(self) -> None:
        """Looks again whenever a namespace, or something that may keep one from going, has changed."""
        await controller.run(self._api.store, self._watched, self.reconcile, every=_EVERY)

    def _watched(self) -> tuple[str, ...]:
        """Definitions, too: they bring kinds that a namespace may hold."""
        return (
            NAMESPACES.qualified,
            CUSTOM_RESOURCE_DEFINITIONS.qualified,
            *(kind.key for kind in self._contents() if kind.resource not in (EVENTS, LEASES)),
        )

    def _contents(self) -> list[Kind]:
        return [kind for kind in self._api.registry.stored() if kind.resource.namespaced]

    async def reconcile(self) -> None:
        for entry in self._api.store.entries(NAMESPACES.qualified):
            try:
                if is_deleting(entry.obj):
                    await self._empty(name(entry.obj))
                else:
                    await self._default_account(name(entry.obj))
            except ApiError as error:
                log.debug("namespace %s changed meanwhile: %s", name(entry.obj), error)

    async def _default_account(self, where: str) -> None:
        kind = self._api.registry.of(SERVICE_ACCOUNTS)
        if self._api.store.get(kind.key, where, "default") is None:
            await self._api.create(kind, where, {"metadata": {"name": "default"}})

    async def _empty(self, where: str) -> None:
        left = 0
        for kind in self._contents():
            for entry in self._api.store.entries(kind.key, where):
                if not is_deleting(entry.obj):
                    await self._api.delete(kind, namespace(entry.obj), name(entry.obj))
                if self._api.store.get(kind.key, where, name(entry.obj)) is not None:
                    left += 1
        if left == 0:
            await self._api.update(self._api.registry.of(NAMESPACES), "", where, _release, subresource="finalize")


def _release(found: Object) -> Object:
    found["spec"] = {}
    return found
