"""Serves what definitions define: names accepted, kinds in the registry, objects removed when their definition goes."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from importlib.resources import files
from typing import Final

import msgspec
import trio
import yaml

from cloudcore.apiserver import controller, heavy
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.crd.custom_kind import served_kinds, stored_kind
from cloudcore.apiserver.crd.definition_kind import FINALIZER, is_true, set_condition
from cloudcore.apiserver.crd.naming import accept
from cloudcore.apiserver.history import Entry
from kube.objects import Object, is_deleting, name, namespace
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS
from kube.status import ApiError, NotFound

log = logging.getLogger(__name__)

_EVERY: Final = 30.0
_GAP: Final = 0.01
_AT_ONCE: Final = 64


class Definitions:
    """``load`` before anything is served, then keep ``run`` running."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kind = api.registry.of(CUSTOM_RESOURCE_DEFINITIONS)
        self._served: dict[str, tuple[object, ...]] = {}

    async def load(self) -> None:
        """Installs the definitions that come with cloudcore, and serves every one that is stored."""
        await self.reconcile()  # one of them may have been on its way out
        for definition in shipped():
            await self._install(definition)
        await self.reconcile()

    async def _install(self, definition: Object) -> None:
        key = name(definition)

        def renew(present: Object) -> Object:
            return {**present, "spec": definition["spec"]}

        if self._api.store.get(self._kind.key, "", key) is None:
            await self._api.create(self._kind, "", definition)
        else:
            await self._api.update(self._kind, "", key, renew)

    async def run(self) -> None:
        await controller.run(self._api.store, self._watched, self.reconcile, every=_EVERY, gap=_GAP)

    def _watched(self) -> tuple[str, ...]:
        """Also the objects of definitions that wait for them to go."""
        going = [name(entry.obj) for entry in self._entries() if is_deleting(entry.obj)]
        return (self._kind.key, *going)

    def _entries(self) -> list[Entry]:
        return self._api.store.entries(self._kind.key)

    async def reconcile(self) -> None:
        """Brings what is served, and what definitions say of themselves, in line with the definitions."""
        for entry in self._entries():
            try:
                if is_deleting(entry.obj):
                    await self._serve(name(entry.obj))
                    await self._remove(name(entry.obj))
                else:
                    await self._accept(name(entry.obj))
            except ApiError as error:
                log.debug("definition %s changed meanwhile: %s", name(entry.obj), error)
            await self._serve(name(entry.obj))
        for key in set(self._served) - {name(entry.obj) for entry in self._entries()}:
            await self._serve(key)

    async def _accept(self, key: str) -> None:
        await self._offer(key)

        def change(present: Object) -> Object:
            accept(present, (entry.obj for entry in self._entries()))
            return present

        await self._api.update(self._kind, "", key, change, subresource="names")

    async def _offer(self, key: str) -> None:
        """Serves what will be established before that is said: who reads it finds the kinds, however long they take to make."""
        entry = self._api.store.get(self._kind.key, "", key)
        if entry is None or is_true(entry.obj, "Established"):
            return
        promised: Object = msgspec.json.decode(entry.raw)
        accept(promised, (other.obj for other in self._entries()))
        if is_true(promised, "Established"):
            await self._serve_as(key, promised, entry)

    async def _serve(self, key: str) -> None:
        """Puts the kinds of a definition into the registry, unless they are there as they should be."""
        entry = self._api.store.get(self._kind.key, "", key)
        if entry is None or not is_true(entry.obj, "Established"):
            if self._served.pop(key, None) is not None:
                self._api.registry.remove(key)
            return
        await self._serve_as(key, entry.obj, entry)

    async def _serve_as(self, key: str, definition: Object, entry: Entry) -> None:
        """definition: that of ``entry``, but perhaps with another status."""
        found = definition["metadata"]
        accepted = definition["status"]["acceptedNames"]
        state = (found["uid"], found["generation"], is_deleting(definition), str(accepted))
        if self._served.get(key) != state:
            kinds = await heavy.beside(len(entry.raw), partial(served_kinds, definition, entry.revision))
            self._api.registry.install(key, kinds)
            self._served[key] = state

    async def _remove(self, key: str) -> None:
        """Removes the objects of a definition that goes, and lets it go when there are none left."""
        entry = self._api.get(self._kind, "", key)
        if FINALIZER not in entry.obj["metadata"].get("finalizers", []):
            return
        kind, room = stored_kind(entry.obj), trio.CapacityLimiter(_AT_ONCE)

        async def delete(one: Entry) -> None:
            async with room:
                with suppress(NotFound):
                    await self._api.delete(kind, namespace(one.obj), name(one.obj))

        present = self._api.store.entries(kind.key)
        async with trio.open_nursery() as nursery:
            for one in present:
                if not is_deleting(one.obj):
                    nursery.start_soon(delete, one)
        left = self._api.store.count(kind.key)

        def change(found: Object) -> Object:
            if left:
                why = f"CustomResource deletion is in progress: {left} left"
                set_condition(found, "Terminating", "True", "InstanceDeletionInProgress", why)
            else:
                set_condition(found, "Terminating", "False", "InstanceDeletionCompleted", "removed all instances")
                found["metadata"]["finalizers"] = [one for one in found["metadata"]["finalizers"] if one != FINALIZER]
            return found

        await self._api.update(self._kind, "", key, change, subresource="finalize")


def shipped() -> list[Object]:
    """The definitions that come with cloudcore, as a cluster gets them from ``keadm init`` or the chart."""
    folder = files("cloudcore") / "crds"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
